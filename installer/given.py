"""The files an operator gave: cluster.yaml and join.yaml, read and fitted together."""

from __future__ import annotations

from pathlib import Path

from installer.agreement import joining_config
from installer.bundle.reader import Bundle
from installer.bundle.regularfile import read_regular
from installer.bundle.yamltext import LIMIT_BYTES
from installer.config import ClusterConfig
from installer.errors import InputError
from installer.installed import CONFIG_PATH
from installer.join import JoinFile
from installer.node import NodeView


def read_config(view: NodeView, path: Path | None, join: JoinFile | None) -> tuple[ClusterConfig, str | None]:
    """The configuration and its text: of the file given, else as kept from the last install here, if any.

    A joining node has the cluster's from the join file, and nothing of its own may contradict it.
    """
    text = saved_config(view) if path is None else read_given(path, "--config", "a cluster.yaml")
    if join is None:
        return ClusterConfig.from_text(text or "", where=str(path or CONFIG_PATH)), text
    return joining_config(join.cluster, text, where=str(path) if path else None)


def saved_config(view: NodeView) -> str | None:
    """The cluster.yaml an earlier install was given; ``None`` if it was given none."""
    return view.read_text(CONFIG_PATH)


def read_join(path: Path | None, role: str, bundle: Bundle) -> JoinFile | None:
    """The join file, of a cluster this bundle fits; a worker must have one. Whether it has ended is not asked here:
    a node that joined long ago needs nothing of it any more.
    """
    if path is None:
        if role == "worker":
            raise InputError(
                "a worker joins a cluster, and needs its join file",
                where="--join",
                wanted="join.yaml from the first control-plane node",
                got="no --join",
                next_step="copy join.yaml here, then:  sudo ./install --role worker --join join.yaml",
            )
        return None
    join = JoinFile.from_text(
        read_given(path, "--join", "join.yaml from the first control-plane node"), where=str(path)
    )
    here, there = bundle.index.kubernetes.lstrip("v"), join.kubernetes.lstrip("v")
    if here.split(".")[:2] != there.split(".")[:2]:
        raise InputError(
            "the bundle and the cluster are of different Kubernetes minors",
            where=str(path),
            wanted=f"a bundle of v{there}, which the cluster runs",
            got=f"v{here}",
            next_step="use the media set the first node was installed from",
        )
    return join


def read_given(path: Path, option: str, wanted: str) -> str:
    """The text of a file that was given with ``option``; :class:`InputError` where it cannot be read."""
    try:
        # the YAML reader refuses what is longer than it takes
        return read_regular(path, LIMIT_BYTES + 1).decode("utf-8")
    except OSError as error:
        got = error.strerror or str(error)
        raise InputError("cannot read a file", where=f"{option} {path}", wanted=wanted, got=got) from None
    except UnicodeDecodeError:
        raise InputError("the file is not text", where=f"{option} {path}", wanted="UTF-8") from None

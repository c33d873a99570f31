"""An upstream on loopback: a file server and a registry, and the two files that send a builder there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cache import cached, key_of
from tests.lab.errors import LabError
from tests.lab.filetree import serving_tree
from tests.lab.profiles import mini, real
from tests.lab.progress import timed
from tests.lab.registry import running_registry

PROFILES = ("mini", "real", "real-flannel", "internet")
_REAL = ("real", "real-flannel")
_FILE_HOSTS = ("dl.k8s.io", "get.helm.sh", "github.com", "helm.cilium.io", "postfinance.github.io")
_SOURCES = [
    Path(__file__).parent / name
    for name in ("images.py", "release_tree.py", "registry.py", "debian.py", "profiles", "pause")
]


@dataclass(frozen=True)
class Served:
    """What is being served: the arguments for ``--mirror`` and ``--catalog``, the addresses, and the list of parts.

    ``files`` and ``registry`` are empty for the ``internet`` profile, which serves nothing itself.
    """

    profile: str
    mirror: Path
    catalog: Path
    parts: Path
    files: str = ""
    registry: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The ready line's fields."""
        return {key: str(value) for key, value in asdict(self).items()}


@contextmanager
def serving(profile: str, folder: Path, *, binaries: Path | None = None) -> Iterator[Served]:
    """Serves ``profile`` while the block runs; ``folder`` gets ``mirror.yaml``, ``catalog/`` and ``parts.json``.

    ``binaries`` is a folder of release binaries to serve in a ``real`` profile instead of compiling them.
    """
    if binaries is not None and profile not in _REAL:
        raise LabError("release binaries belong to the real profile", wanted="--profile real", got=profile)
    folder.mkdir(parents=True, exist_ok=True)
    if profile == "internet":
        yield _internet(folder)
        return
    tree = made_tree(profile, binaries)
    with serving_tree(tree / "files") as files, running_registry(tree / "registry", read_only=True) as registry:
        shutil.rmtree(folder / "catalog", ignore_errors=True)
        shutil.copytree(tree / "catalog", folder / "catalog")
        shutil.copyfile(tree / "parts.json", folder / "parts.json")
        document = {
            "schema": 1,
            "name": f"lab-{profile}",
            "fallback": False,
            "files": [{"prefix": f"https://{host}/", "replace": [f"{files}{host}/"]} for host in _FILE_HOSTS],
            "images": [{"prefix": "", "replace": [{"base": registry, "plain_http": True}]}],
        }
        _write(folder / "mirror.yaml", yaml.safe_dump(document, sort_keys=False))
        yield Served(
            profile, folder / "mirror.yaml", folder / "catalog", folder / "parts.json", files=files, registry=registry
        )


def made_tree(profile: str, binaries: Path | None = None) -> Path:
    """The tree of ``profile`` out of the cache, made first when something it is made from has changed."""
    if profile == "mini":
        key = key_of(*_SOURCES, *mini.inputs())
        make = mini.make
    else:
        has_network = profile == "real-flannel"
        given = real.given_binaries(binaries)
        key = key_of(*_SOURCES, *real.inputs(given, has_network=has_network))

        def make(out: Path) -> None:
            real.make(out, given, has_network=has_network)

    with timed("upstream", f"{profile}"):
        return cached("upstream", f"{profile}-{key}", make)


def _internet(folder: Path) -> Served:
    """The true upstreams: a profile without rules, and an overlay that says nothing."""
    catalog = folder / "catalog"
    shutil.rmtree(catalog, ignore_errors=True)
    catalog.mkdir()
    _write(catalog / "catalogue.yaml", yaml.safe_dump({"schema": 1, "name": "lab-internet"}))
    _write(folder / "mirror.yaml", yaml.safe_dump({"schema": 1, "name": "lab-internet", "fallback": True}))
    everything = [{"name": "everything", "version": "", "made": "the true upstream's"}]
    _write(folder / "parts.json", json.dumps(everything, indent=2) + "\n")
    return Served("internet", folder / "mirror.yaml", catalog, folder / "parts.json")


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)

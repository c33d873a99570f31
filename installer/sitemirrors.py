"""How nodes find the images of a bundle in the site's registry: mirrors in ``cluster.yaml``, and on this node at once.

Each registry that the images are named after gets one host: the site's, with the path that they were pushed below.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.bundle.imagepush import registry_path
from installer.bundle.index import BundledImage
from installer.bundle.reader import Bundle
from installer.bundle.siteregistry import SiteRegistry
from installer.config import ClusterConfig
from installer.errors import InputError
from installer.execute import Executor, Phase, Plan, StepResult
from installer.given import saved_config
from installer.install import Report, demand_root, listener
from installer.installed import CONFIG_PATH, Installed
from installer.journal import open_journal
from installer.node import Node, NodeView
from installer.recording import RecordingNode
from installer.registries import Registry, RegistryHost
from installer.steps.registries import RegistryHosts
from installer.steps.textfile import TextFile
from installer.yamltext import dump_yaml, load_yaml


def mirrors_of(images: Iterable[BundledImage], site: SiteRegistry, ca: str | None) -> tuple[Registry, ...]:
    """A mirror for every registry that ``images`` are named after; whatever it lacks is asked of nobody else."""
    names = sorted({image.reference.registry for image in images})
    prefix = f"{site.prefix}/" if site.prefix else ""
    return tuple(
        Registry(
            name,
            (RegistryHost(f"{site.base}/v2/{prefix}{registry_path(name)}", ca=ca, override_path=True),),
            site.base,
        )
        for name in names
    )


def mirrors_document(mirrors: Iterable[Registry]) -> dict[str, Any]:
    """``containerd.registries`` of ``cluster.yaml`` for the mirrors."""
    return {
        mirror.name: {"server": mirror.server, "hosts": [_host(host) for host in mirror.hosts]} for mirror in mirrors
    }


def mirrors_text(mirrors: Iterable[Registry]) -> str:
    """The lines for ``cluster.yaml``."""
    return dump_yaml({"containerd": {"registries": mirrors_document(mirrors)}})


@dataclass(frozen=True)
class MirrorsHere:
    """The mirrors on this node: the registries there are to be, and the ``cluster.yaml`` it keeps that says so."""

    registries: tuple[Registry, ...]
    kept: str

    @property
    def plan(self) -> Plan:
        """The steps: first the hosts, then what a later install goes by."""
        kept = TextFile("runtime/cluster-yaml", CONFIG_PATH, self.kept, 0o600, "the mirrors in the kept cluster.yaml")
        return Plan((Phase("runtime", (RegistryHosts(self.registries), kept)),))


def mirrors_here(view: NodeView, mirrors: tuple[Registry, ...]) -> MirrorsHere:
    """What is to be on this node for the ``mirrors``; :class:`InputError` where they cannot be used here."""
    unwritten = "leave --use out, and put the printed lines into the cluster.yaml of the install"
    record = Installed.demand_node(view, unwritten)
    text = saved_config(view) or ""
    there = {registry.name: registry for registry in ClusterConfig.from_text(text, where=CONFIG_PATH).registries}
    if record.containerd_owner == "site" and not there:
        raise InputError(
            "the site's containerd may not read hosts.toml files yet",
            where=CONFIG_PATH,
            wanted="a node with containerd.registries in its cluster.yaml, or a containerd of the bundle",
            got="a containerd of the site",
            next_step="put the printed lines into cluster.yaml, then:  sudo ./install --role … --config cluster.yaml",
        )
    others = [mirror.name for mirror in mirrors if mirror.name in there and there[mirror.name] != mirror]
    if others:
        raise InputError(
            "this node's cluster.yaml names other hosts for these registries",
            where=f"{CONFIG_PATH}, containerd.registries",
            wanted="no entry, or the one for this registry",
            got=", ".join(others),
            next_step="decide between them in cluster.yaml, then:  sudo ./install --role … --config cluster.yaml",
        )
    document: dict[str, Any] = load_yaml(text, where=CONFIG_PATH) or {}
    containerd = document.get("containerd") or {}
    registries = {**(containerd.get("registries") or {}), **mirrors_document(mirrors)}
    kept = dump_yaml({**document, "containerd": {**containerd, "registries": registries}})
    merged = {**there, **{mirror.name: mirror for mirror in mirrors}}
    return MirrorsHere(tuple(merged[name] for name in sorted(merged)), kept)


def demand_staying(ca_file: Path | None, bundle: Bundle) -> None:
    """Raises :class:`InputError` for a CA file on the medium, which goes when the medium does."""
    if ca_file is not None and ca_file.resolve().is_relative_to(bundle.path.resolve().parent):
        raise InputError(
            "the CA file is on the medium, and containerd reads it at every pull",
            where=f"--ca-file {ca_file}",
            wanted="a file that stays on this machine",
            got="one in the media set's folder",
            next_step="copy it to /etc/ssl, the same path on every node, and name it there",
        )


def use_mirrors(node: Node, wanted: MirrorsHere, report: Report, folder: Path) -> tuple[StepResult, ...]:
    """Writes them. containerd reads hosts.toml at its next pull, so nothing is restarted."""
    demand_root(node)
    with open_journal(folder, "images push") as journal:
        return Executor(RecordingNode(node, journal), listener(journal, report)).run(wanted.plan)


def _host(host: RegistryHost) -> dict[str, Any]:
    ca = {} if host.ca is None else {"ca": host.ca}
    return {"url": host.url, **ca, "overridePath": host.override_path}

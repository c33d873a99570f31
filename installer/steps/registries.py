"""The registries of ``cluster.yaml`` in containerd's ``certs.d``: written, and removed when no longer named."""

from __future__ import annotations

from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.registries import Registry
from installer.render import registry as render
from installer.render.containerd import REGISTRY_DIR
from installer.steps.judged import judged
from installer.steps.textfile import is_written
from installer.wording import count

KEPT_SUFFIX = ".before-airgap-bundle"


@dataclass(frozen=True)
class RegistryHosts:
    """Each registry's hosts.toml as rendered; a file the site wrote for the same registry is kept beside."""

    registries: tuple[Registry, ...]
    id: str = "runtime/registries"
    title: str = "hosts of the site's registries"

    def check(self, view: NodeView) -> CheckResult:
        """The files named by cluster.yaml are there as rendered, and no other one of ours."""
        changes = [f"write {path}" for path, text in self._files.items() if not is_written(view, path, text)]
        changes += [f"remove {path}" for path in self._leftovers(view)]
        there = count(len(self.registries), "registry", "registries") if self.registries else "none configured"
        return judged(changes, there)

    def apply(self, node: Node) -> str:
        """Writes and removes what differs; containerd reads the files at its next pull."""
        for path, text in self._files.items():
            found = node.read_bytes(path)
            if found is not None and not render.is_ours(found) and node.stat(path + KEPT_SUFFIX) is None:
                node.write_file(path + KEPT_SUFFIX, found)
            node.write_file(path, text.encode())
        for path in self._leftovers(node):
            node.remove(path)
        return ", ".join(registry.name for registry in self.registries) or "none configured"

    @property
    def _files(self) -> dict[str, str]:
        return {render.path(registry.name): render.hosts_file(registry) for registry in self.registries}

    def _leftovers(self, view: NodeView) -> list[str]:
        paths = (render.path(name) for name in view.list_dir(REGISTRY_DIR))
        return [path for path in paths if path not in self._files and render.is_ours(view.read_bytes(path) or b"")]

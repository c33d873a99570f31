"""Taking a node out again: what kubeadm and this tool made is removed, what a site keeps is unpinned."""

from __future__ import annotations

from dataclasses import dataclass

from installer import probes
from installer.execute import CheckResult, Step
from installer.join import PATH as JOIN_PATH
from installer.node import Node, NodeView
from installer.render import haproxy, kube_vip, resolver
from installer.render import kubeadm as render
from installer.render.containerd import DEFAULT_SOCKET, sandbox_of
from installer.steps import coredns
from installer.steps.endpoint import NoBridge
from installer.steps.imagestore import ImageStore
from installer.steps.judged import judged
from installer.steps.kubeadm import BEGUN_MARK, KUBEADM
from installer.steps.pins import recorded_pins
from installer.steps.runtime import effective_config
from installer.vip import proof

_RESET_TIMEOUT_SECONDS = 900.0
_ADMIN_FILES = (render.ADMIN_KUBECONFIG, "/etc/kubernetes/super-admin.conf")
_OWN_FILES = (
    JOIN_PATH,
    BEGUN_MARK,
    render.KUBELET_PATCH_PATH,
    resolver.OWN_PATH,
    coredns.PATH,
    coredns.KEPT_PATH,
    haproxy.CONFIG_PATH,
    haproxy.MANIFEST_PATH,
    kube_vip.MANIFEST_PATH,
    proof.PATH,
)


@dataclass(frozen=True)
class RemoveKubeconfigs:
    """No copy of the cluster's administrator file in anybody's home; a kubeconfig of another cluster stays."""

    id: str = "reset/kubeconfigs"
    title: str = "no kubeconfig of this cluster in a home folder"

    def check(self, view: NodeView) -> CheckResult:
        """None has the bytes of ``admin.conf``, which is compared while it is there: before kubeadm's own reset."""
        return judged([f"remove {path}" for path in self._left(view)], "none")

    def apply(self, node: Node) -> str:
        """Removes them."""
        left = self._left(node)
        for path in left:
            node.remove(path)
        return ", ".join(left)

    def _left(self, view: NodeView) -> list[str]:
        ours = {view.read_bytes(path) for path in _ADMIN_FILES} - {None}
        homes = ("/root", *(f"/home/{name}" for name in view.list_dir("/home")))
        copies = (f"{home}/.kube/config" for home in homes)
        return [path for path in copies if ours and view.read_bytes(path) in ours]


@dataclass(frozen=True)
class KubeadmReset:
    """Nothing left of a cluster on this node: no static pods, no kubelet configuration, no etcd data."""

    socket: str
    id: str = "reset/kubeadm"
    title: str = "no cluster on this node"

    def check(self, view: NodeView) -> CheckResult:
        """None of what kubeadm leaves is there."""
        left = probes.cluster_paths(view)
        return judged([f"remove {path}" for path in left], "none")

    def apply(self, node: Node) -> str:
        """Runs ``kubeadm reset``, which stops the pods, and removes what it leaves behind."""
        argv = [KUBEADM, "reset", "--force", "--cri-socket", f"unix://{self.socket}"]
        node.run(argv, timeout_seconds=_RESET_TIMEOUT_SECONDS)
        for path in probes.cluster_paths(node):
            node.remove_tree(path) if _is_folder(node, path) else node.remove(path)
        return "pods stopped, configuration and etcd data removed"


@dataclass(frozen=True)
class RemoveFiles:
    """Files of one cluster are gone: those this tool wrote for it, or those its pods left."""

    id: str
    title: str
    paths: tuple[str, ...]

    def check(self, view: NodeView) -> CheckResult:
        """None of them is there."""
        return judged([f"remove {path}" for path in self._left(view)], "none")

    def apply(self, node: Node) -> str:
        """Removes them."""
        left = self._left(node)
        for path in left:
            node.remove(path)
        return f"{len(left)} removed"

    def _left(self, view: NodeView) -> list[str]:
        return [path for path in self.paths if view.stat(path) is not None]


@dataclass(frozen=True)
class UnpinImages:
    """No image is kept from garbage collection by this tool any more; the images stay until the space is needed.

    For a containerd whose images stay. Its own sandbox image is left out: containerd pins that one itself, and does so
    again when the pin is taken off.
    """

    store: ImageStore
    config_dump: tuple[str, ...]
    id: str = "reset/images"
    title: str = "no images pinned by this tool"

    def check(self, view: NodeView) -> CheckResult:
        """No name this tool pinned still is; a containerd that does not run keeps nothing."""
        pinned = self._pinned(view)
        return judged([f"unpin {name}" for name in pinned], "none pinned")

    def apply(self, node: Node) -> str:
        """Takes the pins off."""
        pinned = self._pinned(node)
        for name in pinned:
            self.store.unpin(node, name)
        return f"{len(pinned)} unpinned"

    def _pinned(self, view: NodeView) -> tuple[str, ...]:
        stored = self.store.read(view) or {}
        ours = recorded_pins(view) - {sandbox_of(effective_config(view, self.config_dump))}
        return tuple(name for name, image in stored.items() if image.pinned and name in ours)


def _is_folder(view: NodeView, path: str) -> bool:
    found = view.stat(path)
    return found is not None and found.kind == "directory"


def leave_cluster(socket: str = DEFAULT_SOCKET) -> tuple[Step, ...]:
    """What takes the node out of its cluster; binaries, containerd and the images stay."""
    own = RemoveFiles("reset/files", "no join file and no settings of the old cluster", _OWN_FILES)
    return (RemoveKubeconfigs(), KubeadmReset(socket), NoBridge(socket), own)

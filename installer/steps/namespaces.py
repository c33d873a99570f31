"""Others who use the containerd of this install: their namespaces are theirs, and with them containerd stays."""

from __future__ import annotations

from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import containerd
from installer.steps.imagestore import CTR, NAMESPACE
from installer.steps.judged import judged

_SOCKET = "/run/containerd/containerd.sock"
_TIMEOUT_SECONDS = 120.0
_FILES = (
    *("/usr/local/bin/containerd", "/usr/local/bin/ctr", "/usr/local/bin/runc", "/usr/local/sbin/runc"),
    *("/etc/containerd", containerd.UNIT_PATH),
)


def namespaces_of_others(view: NodeView) -> tuple[str, ...]:
    """Namespaces besides the kubelet's that hold containers or images; none where containerd does not answer."""
    if view.stat(CTR) is None:
        return ()
    names = view.query([CTR, "-a", _SOCKET, "namespaces", "ls", "-q"]).stdout.split()
    return tuple(name for name in names if name != NAMESPACE and _holds(view, name))


def is_of_containerd(path: str) -> bool:
    """Whether a file this tool placed is a part of containerd: a program, a setting, its unit."""
    return path.startswith(_FILES)


@dataclass(frozen=True)
class EmptyNamespace:
    """The kubelet's namespace holds no images; every other namespace is as it was."""

    id: str = "reset/namespace"
    title: str = f"no images in containerd's namespace {NAMESPACE}"

    def check(self, view: NodeView) -> CheckResult:
        """None is listed."""
        left = _listed(view, NAMESPACE, "images")
        return judged([f"remove {len(left)} image names from {NAMESPACE}"] if left else [], "none")

    def apply(self, node: Node) -> str:
        """Removes them all; content that nobody else's image leads to goes with them."""
        left = _listed(node, NAMESPACE, "images")
        node.run([CTR, "-a", _SOCKET, "-n", NAMESPACE, "images", "rm", *left], timeout_seconds=_TIMEOUT_SECONDS)
        return f"{len(left)} names removed"


def _holds(view: NodeView, namespace: str) -> bool:
    return any(_listed(view, namespace, kind) for kind in ("containers", "images"))


def _listed(view: NodeView, namespace: str, kind: str) -> list[str]:
    return view.query([CTR, "-a", _SOCKET, "-n", namespace, kind, "ls", "-q"]).stdout.split()

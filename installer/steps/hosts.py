"""The node's own name, known to the node itself, so that nobody on the network is asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.steps.judged import judged

PATH = "/etc/hosts"


@dataclass(frozen=True)
class OwnName:
    """A line for ``name`` in ``/etc/hosts``: kubeadm looks the node's name up, and would ask a DNS server for it."""

    name: str
    address: str
    id: str = "kubeadm/own-name"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.name} resolves without asking anyone"

    def check(self, view: NodeView) -> CheckResult:
        """Some line of the file has the name, whichever address it gives."""
        known = self.name in names(view.read_text(PATH) or "")
        return judged([] if known else [f"add {self._line.strip()} to {PATH}"], f"in {PATH}")

    def apply(self, node: Node) -> str:
        """Adds one line; every other stays as it is."""
        old = node.read_bytes(PATH) or b""
        separator = b"" if not old or old.endswith(b"\n") else b"\n"
        node.write_file(PATH, old + separator + self._line.encode())
        return f"added to {PATH}"

    @property
    def _line(self) -> str:
        return f"{self.address}\t{self.name}\n"


def names(hosts: str) -> frozenset[str]:
    """Every name the file has a line for."""
    lines = (line.partition("#")[0].split() for line in hosts.splitlines())
    return frozenset(name for fields in lines for name in fields[1:])

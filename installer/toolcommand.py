"""The ``airgap-bundle`` command a node keeps: the same verbs as ``install``, with the medium gone."""

from __future__ import annotations

from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView

PATH = "/usr/local/bin/airgap-bundle"
COMMAND_VARIABLE = "AIRGAP_COMMAND"
"""What the installer is called by, for its own help."""


@dataclass(frozen=True)
class ToolCommand:
    """A script that starts the installer in ``runtime``, the folder that ``install`` unpacked itself to."""

    runtime: str
    id: str = "node/command"
    title: str = f"{PATH} starts this installer"

    @property
    def _content(self) -> bytes:
        start = f'exec {self.runtime}/python/bin/python3 -I -B -m installer.cli "$@"'
        return f"#!/bin/sh\n{COMMAND_VARIABLE}=airgap-bundle\nexport {COMMAND_VARIABLE}\n{start}\n".encode()

    def check(self, view: NodeView) -> CheckResult:
        """The script is there, as it should be, for everybody to run."""
        found = view.stat(PATH)
        wanted = found is not None and found.mode == 0o755 and view.read_bytes(PATH) == self._content
        return CheckResult(wanted, PATH, (f"write {PATH}",))

    def apply(self, node: Node) -> str:
        """Writes it."""
        node.write_file(PATH, self._content, mode=0o755)
        return PATH

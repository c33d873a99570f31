"""Changing ``/etc/fstab``: the first file is kept beside it, and systemd reads the new one."""

from __future__ import annotations

from installer.node import Node, NodeView
from installer.render.fstab import PATH

KEPT = f"{PATH}.before-airgap-bundle"
_TIMEOUT_SECONDS = 120.0


def read(view: NodeView) -> str:
    """The text, whatever bytes are in it: written back by :func:`rewrite` they are the same ones."""
    return (view.read_bytes(PATH) or b"").decode("utf-8", "surrogateescape")


def rewrite(node: Node, text: str) -> None:
    """Replaces the file; what was there before this tool first touched it stays as :data:`KEPT`."""
    if node.stat(KEPT) is None:
        node.write_file(KEPT, node.read_bytes(PATH) or b"")
    found = node.stat(PATH)
    mode = found.mode if found is not None else 0o644
    node.write_file(PATH, text.encode("utf-8", "surrogateescape"), mode=mode)
    node.run(["systemctl", "daemon-reload"], timeout_seconds=_TIMEOUT_SECONDS)

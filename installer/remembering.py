"""Views of a node that stand on another view: one passes everything through, one asks no question twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from installer.bundle.digest import Digest
from installer.node import QUERY_TIMEOUT_SECONDS, READ_LIMIT_BYTES, CommandResult, DiskSpace, FileStat, NodeView


class ViewThrough:
    """A :class:`~installer.node.NodeView` that passes every look on to ``view``."""

    def __init__(self, view: NodeView) -> None:
        self._view = view

    def read_bytes(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> bytes | None:
        """See :class:`~installer.node.NodeView`."""
        return self._view.read_bytes(path, limit_bytes)

    def read_text(self, path: str, limit_bytes: int = READ_LIMIT_BYTES) -> str | None:
        """See :class:`~installer.node.NodeView`."""
        return self._view.read_text(path, limit_bytes)

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """See :class:`~installer.node.NodeView`."""
        return self._view.read_chunks(path)

    def stat(self, path: str) -> FileStat | None:
        """See :class:`~installer.node.NodeView`."""
        return self._view.stat(path)

    def list_dir(self, path: str) -> tuple[str, ...]:
        """See :class:`~installer.node.NodeView`."""
        return self._view.list_dir(path)

    def digest(self, path: str) -> Digest | None:
        """See :class:`~installer.node.NodeView`."""
        return self._view.digest(path)

    def disk_space(self, path: str) -> DiskSpace:
        """See :class:`~installer.node.NodeView`."""
        return self._view.disk_space(path)

    def which(self, program: str) -> str | None:
        """See :class:`~installer.node.NodeView`."""
        return self._view.which(program)

    def query(self, argv: Sequence[str], *, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> CommandResult:
        """See :class:`~installer.node.NodeView`."""
        return self._view.query(argv, timeout_seconds=timeout_seconds)

    def effective_uid(self) -> int:
        """See :class:`~installer.node.NodeView`."""
        return self._view.effective_uid()

    def now_seconds(self) -> float:
        """See :class:`~installer.node.NodeView`."""
        return self._view.now_seconds()


class RememberingView(ViewThrough):
    """Asks each question of a program once: for the time in which nobody changes anything, and no longer.

    Half a dozen steps look at the same unit, store or list, and each look is a program to start.
    """

    def __init__(self, view: NodeView) -> None:
        super().__init__(view)
        self._answers: dict[tuple[str, ...], CommandResult] = {}

    def query(self, argv: Sequence[str], *, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> CommandResult:
        """See :class:`~installer.node.NodeView`."""
        words = tuple(argv)
        if words not in self._answers:
            self._answers[words] = super().query(words, timeout_seconds=timeout_seconds)
        return self._answers[words]

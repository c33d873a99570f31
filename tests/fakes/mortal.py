"""A process that is killed at a chosen moment: from then on it changes nothing and writes nothing, as after kill -9."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NoReturn, TypeVar

from installer.bundle.digest import Digest
from installer.node import CommandResult
from tests.fakes.node import FakeNode

_Result = TypeVar("_Result")
Moment = Literal["before", "after"]


class Killed(BaseException):
    """The process is no more."""


class MortalNode:
    """``node`` in the hands of a process that dies just before or after its change number ``last`` (from 0).

    ``changes`` counts what it did. Once dead it cannot even look, so that no ``finally`` can tidy up behind it.
    """

    def __init__(self, node: FakeNode, last: int | None = None, moment: Moment = "before") -> None:
        self._node = node
        self._last = last
        self._moment = moment
        self.changes: list[str] = []
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        if self.dead:
            raise Killed
        return getattr(self._node, name)

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """See :class:`~installer.node.Node`."""
        self._change(path, lambda: self._node.write_file(path, data, mode=mode, uid=uid, gid=gid))

    def place(self, path: str, chunks: Iterable[bytes], *, mode: int, digest: Digest | None = None) -> Digest:
        """See :class:`~installer.node.Node`."""
        return self._change(path, lambda: self._node.place(path, chunks, mode=mode, digest=digest))

    def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """See :class:`~installer.node.Node`."""
        self._change(path, lambda: self._node.make_dir(path, mode=mode))

    def symlink(self, target: str, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        self._change(path, lambda: self._node.symlink(target, path))

    def remove(self, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        self._change(path, lambda: self._node.remove(path))

    def remove_tree(self, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        self._change(path, lambda: self._node.remove_tree(path))

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        """See :class:`~installer.node.Node`."""
        return self._change(
            " ".join(argv),
            lambda: self._node.run(argv, stdin=stdin, timeout_seconds=timeout_seconds, secrets=secrets),
        )

    def _change(self, what: str, act: Callable[[], _Result]) -> _Result:
        if self.dead:
            raise Killed
        is_last = len(self.changes) == self._last
        self.changes.append(what)
        if is_last and self._moment == "before":
            self._die()
        done = act()
        if is_last:
            self._die()
        return done

    def _die(self) -> NoReturn:
        self.dead = True
        raise Killed

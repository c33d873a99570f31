"""A node that writes every change into the journal before it makes it, with what was there before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, BinaryIO

from installer.bundle.digest import Digest
from installer.errors import CommandError
from installer.journal import Journal
from installer.node import CommandResult, Node, masked
from installer.remembering import ViewThrough
from installer.reversal import before_command, changes_images, images_now

_SHARED_TEXT_BYTES = 1_000_000
_FOR_ALL = 0o004
"""Texts that everybody may read are those that others write too; what is private is ours and is not kept twice."""


class RecordingNode(ViewThrough):
    """``node``, with each change in ``journal`` first; looking goes straight through.

    With ``keeps_content`` off, what is replaced or removed is named but its content is not kept, for files that are
    this tool's own; ``except_of`` are paths whose content is kept in any case.
    """

    def __init__(
        self, node: Node, journal: Journal, *, keeps_content: bool = True, except_of: Collection[str] = ()
    ) -> None:
        super().__init__(node)
        self._node = node
        self._journal = journal
        self._keeps_content = keeps_content
        self._except_of = except_of
        self._knows_images = False

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """See :class:`~installer.node.Node`."""
        before = self._before(path)
        after = _file(mode, Digest.of(data))
        if "kept" in before and mode & _FOR_ALL and len(data) <= _SHARED_TEXT_BYTES:
            after["kept"] = self._journal.keep([data])  # so that this change alone can be taken out of a shared text
        self._record("write", path, before, after)
        self._node.write_file(path, data, mode=mode, uid=uid, gid=gid)

    def append(self, path: str, data: bytes, *, mode: int = 0o640) -> None:
        """See :class:`~installer.node.Node`; only this tool's own logs are added to, and nothing takes that back."""
        self._node.append(path, data, mode=mode)

    def place(self, path: str, chunks: Iterable[bytes], *, mode: int, digest: Digest | None = None) -> Digest:
        """See :class:`~installer.node.Node`."""
        self._record("write", path, self._before(path), _file(mode, digest))
        placed = self._node.place(path, chunks, mode=mode, digest=digest)
        if digest is None:
            self._journal.record("placed", path=path, after=_file(mode, placed))
        return placed

    def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """See :class:`~installer.node.Node`."""
        self._record("make folder", path, self._before(path), {"kind": "directory", "mode": f"{mode:04o}"})
        self._node.make_dir(path, mode=mode)

    def symlink(self, target: str, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        self._record("link", path, self._before(path), {"kind": "symlink", "target": target})
        self._node.symlink(target, path)

    def remove(self, path: str) -> None:
        """See :class:`~installer.node.Node`."""
        self._record("remove", path, self._before(path), {"kind": "absent"})
        self._node.remove(path)

    def remove_tree(self, path: str) -> None:
        """See :class:`~installer.node.Node`; the content is not kept."""
        self._journal.record("change", act="remove tree", path=path)
        self._node.remove_tree(path)

    def unnamed_file(self, path: str) -> BinaryIO:
        """See :class:`~installer.node.Node`."""
        return self._node.unnamed_file(path)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        """See :class:`~installer.node.Node`."""
        words = [masked(word, secrets) for word in argv]
        before = self._before_command(argv)
        self._journal.record("command", argv=words, **({"before": before} if before else {}))
        try:
            result = self._node.run(argv, stdin=stdin, timeout_seconds=timeout_seconds, secrets=secrets)
        except CommandError as error:
            self._journal.record("command ended", argv=words, code=error.code)
            raise
        self._journal.record("command ended", argv=words, code=result.code, seconds=round(result.seconds, 3))
        return result

    def sleep(self, seconds: float) -> None:
        """See :class:`~installer.node.Node`."""
        self._node.sleep(seconds)

    def _record(self, act: str, path: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        made = self._missing_parents(path)
        self._journal.record("change", act=act, path=path, made=made, before=before, after=after)

    def _before_command(self, argv: Sequence[str]) -> dict[str, Any]:
        if not changes_images(argv):
            return before_command(self._node, argv)
        known, self._knows_images = self._knows_images, True
        return {} if known else images_now(self._node, argv)

    def _before(self, path: str) -> dict[str, Any]:
        found = self._node.stat(path)
        if found is None:
            return {"kind": "absent"}
        before: dict[str, Any] = {"kind": found.kind, "mode": f"{found.mode:04o}", "uid": found.uid, "gid": found.gid}
        if found.kind == "symlink":
            before["target"] = found.link_target
        elif found.kind == "file" and (self._keeps_content or path in self._except_of):
            before["kept"] = self._journal.keep(self._node.read_chunks(path))
        return before

    def _missing_parents(self, path: str) -> list[str]:
        """The folders above ``path`` that will be made on the way, outermost first."""
        parts = [part for part in path.split("/") if part][:-1]
        parents = ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
        return [parent for parent in parents if self._node.stat(parent) is None]


def _file(mode: int, digest: Digest | None) -> dict[str, Any]:
    return {"kind": "file", "mode": f"{mode:04o}", "digest": None if digest is None else str(digest)}

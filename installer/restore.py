"""Going back: steps that lead to what the journal says was there before this tool changed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.bundle.digest import Digest
from installer.errors import OperatorError
from installer.execute import CheckResult
from installer.history import Before, Change
from installer.journal import read_kept
from installer.lines import take_back
from installer.node import Node, NodeView
from installer.steps.runtime import RESTART_MARK, UNIT
from installer.steps.units import RESTART_TIMEOUT_SECONDS

_SHARED_TEXT_BYTES = 1_000_000
_PLUGINS = "/usr/libexec/kubernetes/kubelet-plugins"
DAEMON_FOLDERS = (
    *("/opt/containerd/bin", "/opt/containerd/lib", "/opt/containerd"),
    *(f"{_PLUGINS}/volume/exec", f"{_PLUGINS}/volume", _PLUGINS, "/usr/libexec/kubernetes"),
)
"""Folders that containerd and the kubelet make when they start, each after those in it."""


@dataclass(frozen=True)
class RestoreFiles:
    """Every file this tool wrote is gone again, and every file it replaced is back.

    ``changes`` are those of each path, the paths in the order in which they go back. Where somebody else has changed
    a text since, only this tool's lines go from it; where that cannot be told apart, the file goes back whole.
    """

    changes: Mapping[str, tuple[Change, ...]]
    journal_folder: Path
    id: str = "reset/restore"
    title: str = "files as they were before the first install"

    def check(self, view: NodeView) -> CheckResult:
        """Each path is as it was; folders that hold other things by now may stay."""
        told = tuple(self._told(view, before) for before in self._pending(view))
        return CheckResult(not told, "as before", told)

    def apply(self, node: Node) -> str:
        """Removes what was not there, puts back what was."""
        pending = tuple(self._pending(node))
        for before in pending:
            self._restore(node, before)
        back = sum(1 for before in pending if before.kind != "absent")
        return f"{len(pending) - back} removed, {back} put back"

    def is_back(self, view: NodeView) -> bool:
        """Whether nothing is left to do."""
        return next(self._pending(view), None) is None

    def edited(self, view: NodeView) -> tuple[str, ...]:
        """The files that are to go and that somebody else has changed since this tool wrote them."""
        return tuple(before.path for before in self._pending(view) if self._is_edited(view, before.path))

    def _pending(self, view: NodeView) -> Iterator[Before]:
        gone: set[str] = set()
        for path, of_path in self.changes.items():
            before = of_path[0].before
            if self._differs(view, before, gone):
                gone.add(path)
                yield before

    def _differs(self, view: NodeView, before: Before, gone: set[str]) -> bool:
        found = view.stat(before.path)
        if before.kind == "absent":
            if found is not None and found.kind == "directory":
                inside = {f"{before.path}/{name}" for name in view.list_dir(before.path)}
                return inside <= gone
            return found is not None
        if before.kind == "symlink":
            return found is None or found.link_target != before.target
        if before.kind == "directory":
            return found is None or (found.kind == "directory" and found.mode != before.mode)
        return before.kept is not None and not self._is_as_it_was(view, before)

    def _is_as_it_was(self, view: NodeView, before: Before) -> bool:
        found = view.stat(before.path)
        wanted = ("file", before.mode, before.uid, before.gid)
        if found is None or (found.kind, found.mode, found.uid, found.gid) != wanted:
            return False
        return view.digest(before.path) == Digest.of(self._wanted(view, before))

    def _wanted(self, view: NodeView, before: Before) -> bytes:
        """The content a file that was replaced is to have: as it was, with what others changed in it since."""
        first = read_kept(self.journal_folder, before.kept or "")
        found = view.stat(before.path)
        if found is None or found.kind != "file" or found.size_bytes > _SHARED_TEXT_BYTES:
            return first
        text: bytes | None = view.read_bytes(before.path) or b""
        if text == first:
            return first
        for change in reversed(self.changes[before.path]):
            if text is None or change.before.kept is None:
                return first
            was = read_kept(self.journal_folder, change.before.kept)
            if change.after.digest == str(Digest.of(text)):
                text = was
            elif change.after.kept is not None:
                text = take_back(was, read_kept(self.journal_folder, change.after.kept), text)
            else:
                return first
        return first if text is None else text

    def _is_edited(self, view: NodeView, path: str) -> bool:
        last, found = self.changes[path][-1].after, view.stat(path)
        if found is None or found.kind != "file" or last.digest is None or found.size_bytes > _SHARED_TEXT_BYTES:
            return False  # what is that large is a program, and nobody edits those
        return str(view.digest(path)) != last.digest

    def _restore(self, node: Node, before: Before) -> None:
        if before.kind == "absent":
            node.remove(before.path)
        elif before.kind == "symlink":
            node.symlink(before.target or "", before.path)
        elif before.kind == "directory":
            node.make_dir(before.path, mode=before.mode)
        elif before.kept is None:
            raise OperatorError("the journal kept no content", where=before.path)
        else:
            data = self._wanted(node, before)
            node.write_file(before.path, data, mode=before.mode, uid=before.uid, gid=before.gid)

    def _told(self, view: NodeView, before: Before) -> str:
        since = ", changed since by somebody else" if self._is_edited(view, before.path) else ""
        if before.kind == "absent":
            return f"remove {before.path}{since}"
        if since and self._wanted(view, before) != read_kept(self.journal_folder, before.kept or ""):
            return f"take this tool's lines out of {before.path}{since}"
        return f"put back {before.path}{since}"


@dataclass(frozen=True)
class RestoreSiteConfig(RestoreFiles):
    """The configuration of a containerd that the site owns is as before, and in force; containers keep running."""

    id: str = "reset/containerd"
    title: str = "the site's containerd as before the first install"

    def check(self, view: NodeView) -> CheckResult:
        """The files are as they were, and the daemon has restarted since."""
        found = super().check(view)
        changes = found.changes if view.stat(RESTART_MARK) is None else (*found.changes, f"restart {UNIT}")
        return CheckResult(not changes, found.detail, changes)

    def apply(self, node: Node) -> str:
        """Puts the files back and restarts the daemon."""
        node.write_file(RESTART_MARK, b"")
        said = super().apply(node)
        node.run(["systemctl", "restart", UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        node.remove(RESTART_MARK)
        return said


@dataclass(frozen=True)
class RemoveData:
    """Folders that parts of a cluster filled are empty or gone."""

    folders: tuple[str, ...]
    id: str = "reset/data"
    title: str = "no data of containers, pods or etcd"

    def check(self, view: NodeView) -> CheckResult:
        """Nothing is in them."""
        left = tuple(folder for folder in self.folders if view.list_dir(folder))
        return CheckResult(not left, "none left", tuple(f"remove everything in {folder}" for folder in left))

    def apply(self, node: Node) -> str:
        """Removes them with all that is in them."""
        left = [folder for folder in self.folders if node.list_dir(folder)]
        for folder in left:
            node.remove_tree(folder)
        return ", ".join(left)


@dataclass(frozen=True)
class RemoveEmpty:
    """Folders that daemons and kubeadm made for themselves are gone, as far as nothing is in them or mounted there."""

    folders: tuple[str, ...]
    id: str = "reset/empty"
    title: str = "no empty folders of containerd, the kubelet and etcd"

    def check(self, view: NodeView) -> CheckResult:
        """None of them is there and empty; one that is to hold nothing but others of them counts as empty."""
        left = self._left(view)
        return CheckResult(not left, "none", tuple(f"remove {folder}" for folder in left))

    def apply(self, node: Node) -> str:
        """Removes them, the inner ones first."""
        left = self._left(node)
        for folder in left:
            node.remove(folder)
        return ", ".join(left)

    def _left(self, view: NodeView) -> list[str]:
        gone: list[str] = []
        for folder in self.folders:
            found = view.stat(folder)
            inside = {f"{folder}/{name}" for name in view.list_dir(folder)}
            mounted = view.disk_space(folder).mount == folder
            if found is not None and found.kind == "directory" and inside <= set(gone) and not mounted:
                gone.append(folder)
        return gone

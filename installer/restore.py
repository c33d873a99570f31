"""Going back: what the journal says was there before this tool changed it, as steps of a reset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.bundle.digest import Digest
from installer.errors import OperatorError
from installer.execute import CheckResult
from installer.journal import Run, read_kept
from installer.node import Node, NodeView
from installer.steps.runtime import RESTART_MARK, UNIT
from installer.steps.units import RESTART_TIMEOUT_SECONDS


@dataclass(frozen=True)
class Before:
    """What was at ``path`` before the first change: ``absent``, a ``file`` (``kept`` in the journal), a ``symlink``
    to ``target``, or a ``directory``.
    """

    path: str
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    kept: str | None = None
    target: str | None = None

    @classmethod
    def of(cls, path: str, record: dict[str, Any]) -> Before:
        """From a change's ``before`` record."""
        kind, mode = str(record.get("kind", "absent")), int(str(record.get("mode", "0")), 8)
        uid, gid = int(record.get("uid", 0)), int(record.get("gid", 0))
        return cls(path, kind, mode, uid, gid, record.get("kept"), record.get("target"))


def first_states(runs: tuple[Run, ...]) -> tuple[Before, ...]:
    """What each changed path was before this tool first touched it, last touched first; a finished reset clears all.

    Folders made on the way count as absent before, and come after everything that lies in them.
    """
    states: dict[str, Before] = {}
    for run in runs:
        for record in run.of("change"):
            for folder in record.get("made", ()):
                states.setdefault(folder, Before(folder, "absent"))
            if "before" in record:
                states.setdefault(record["path"], Before.of(record["path"], record["before"]))
        if run.verb == "reset" and run.outcome == "done":
            states.clear()
    return tuple(reversed(states.values()))


@dataclass(frozen=True)
class RestoreFiles:
    """Every file this tool wrote is gone again, and every file it replaced is back."""

    states: tuple[Before, ...]
    journal_folder: Path
    id: str = "reset/restore"
    title: str = "files as they were before the first install"

    def check(self, view: NodeView) -> CheckResult:
        """Each path is as it was; folders that hold other things by now may stay."""
        pending = tuple(self._pending(view))
        return CheckResult(not pending, "as before", tuple(_told(before) for before in pending))

    def apply(self, node: Node) -> str:
        """Removes what was not there, puts back what was."""
        pending = tuple(self._pending(node))
        for before in pending:
            self._restore(node, before)
        back = sum(1 for before in pending if before.kind != "absent")
        return f"{len(pending) - back} removed, {back} put back"

    def _pending(self, view: NodeView) -> Iterator[Before]:
        gone: set[str] = set()
        for before in self.states:
            if self._differs(view, before, gone):
                gone.add(before.path)
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
        if before.kind == "file" and before.kept is not None:
            if found is None or found.kind != "file" or found.mode != before.mode:
                return True
            return view.digest(before.path) != Digest.of(read_kept(self.journal_folder, before.kept))
        return False

    def _restore(self, node: Node, before: Before) -> None:
        if before.kind == "absent":
            node.remove(before.path)
        elif before.kind == "symlink":
            node.symlink(before.target or "", before.path)
        elif before.kept is None:
            raise OperatorError("the journal kept no content", where=before.path)
        else:
            data = read_kept(self.journal_folder, before.kept)
            node.write_file(before.path, data, mode=before.mode, uid=before.uid, gid=before.gid)


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
class StopServices:
    """The services this tool set up neither run nor start at boot."""

    units: tuple[str, ...]
    id: str = "reset/services"
    title: str = "the services of the install stopped"

    def check(self, view: NodeView) -> CheckResult:
        """None is active or enabled."""
        left = self._left(view)
        return CheckResult(not left, "stopped", tuple(f"stop {unit}" for unit in left))

    def apply(self, node: Node) -> str:
        """Stops and disables them."""
        left = self._left(node)
        for unit in left:
            node.run(["systemctl", "disable", "--now", unit], timeout_seconds=180)
        return ", ".join(left)

    def _left(self, view: NodeView) -> list[str]:
        asked = ("is-active", "is-enabled")
        return [unit for unit in self.units if any(view.query(["systemctl", word, unit]).ok for word in asked)]


@dataclass(frozen=True)
class RemoveInterfaces:
    """The pod network's own interfaces are gone."""

    names: tuple[str, ...]
    id: str = "reset/interfaces"
    title: str = "no interfaces of the pod network"

    def check(self, view: NodeView) -> CheckResult:
        """None is there."""
        left = self._left(view)
        return CheckResult(not left, "none", tuple(f"delete {name}" for name in left))

    def apply(self, node: Node) -> str:
        """Deletes them."""
        left = self._left(node)
        for name in left:
            node.run(["ip", "link", "delete", name], timeout_seconds=30)
        return ", ".join(left)

    def _left(self, view: NodeView) -> list[str]:
        return [name for name in self.names if view.stat(f"/sys/class/net/{name}") is not None]


def _told(before: Before) -> str:
    return f"{'remove' if before.kind == 'absent' else 'put back'} {before.path}"

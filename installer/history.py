"""What the runs of this tool did to this machine, read from the journal: how each file, unit and setting was before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from installer.journal import Run


@dataclass(frozen=True)
class Before:
    """What was at ``path`` before a change: ``absent``, a ``file`` (``kept`` in the journal), a ``symlink`` to
    ``target``, or a ``directory``.
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


@dataclass(frozen=True)
class After:
    """What a change left: ``absent``, a ``file`` with this ``digest`` (``None`` where it was not told), a ``symlink``
    to ``target``, or a ``directory``; ``kept`` where the journal has the new content too.
    """

    kind: str
    mode: int = 0
    digest: str | None = None
    kept: str | None = None
    target: str | None = None

    @classmethod
    def of(cls, record: dict[str, Any]) -> After:
        """From a change's ``after`` record; a journal of an older version has none."""
        kind, mode = str(record.get("kind", "unknown")), int(str(record.get("mode", "0")), 8)
        return cls(kind, mode, record.get("digest"), record.get("kept"), record.get("target"))


@dataclass(frozen=True)
class Change:
    """One change of one path."""

    before: Before
    after: After


def effective_runs(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs whose changes still count: since the last finished reset, without those that were undone.

    Resets and undos themselves are left out: they only lead back to what the others found.
    """
    found: list[Run] = []
    for run in runs:
        if run.verb == "reset":
            if run.outcome == "done":
                found.clear()
        elif run.verb == "undo":
            if run.outcome == "done":
                found = [other for other in found if other.name != run.undoes]
        else:
            found.append(run)
    return tuple(found)


def changes(runs: Iterable[Run]) -> dict[str, tuple[Change, ...]]:
    """Every change of each path by these runs, in order; the path touched first comes last, as it must go back last.

    Folders made on the way count as absent before, and come after everything that lies in them.
    """
    found: dict[str, list[Change]] = {}
    for record in _records(runs, "change", "placed"):
        path = str(record["path"])
        for folder in record.get("made", ()):
            found.setdefault(folder, [Change(Before(folder, "absent"), After("directory", 0o755))])
        after = After.of(record.get("after", {}))
        if record["what"] == "placed":  # the end of a change whose digest was not known at its beginning
            found[path][-1] = Change(found[path][-1].before, after)
        elif "before" in record:
            found.setdefault(path, []).append(Change(Before.of(path, record["before"]), after))
    return {path: tuple(found[path]) for path in reversed(found)}


@dataclass(frozen=True)
class UnitBefore:
    """How systemd had a unit: ``enabled`` is its word (``enabled``, ``masked``; empty for a unit it did not know)."""

    unit: str
    enabled: str
    active: bool

    @property
    def started(self) -> bool:
        """Whether it ran or was to start at boot."""
        return self.active or self.enabled.startswith("enabled")


@dataclass(frozen=True)
class SysctlBefore:
    """A live kernel setting: what it was, and what it was set to last."""

    key: str
    value: str
    given: str


@dataclass(frozen=True)
class SwapBefore:
    """A swap area that was in use; a negative priority is the kernel's own choice."""

    device: str
    priority: int


@dataclass(frozen=True)
class CommandsBefore:
    """What commands changed, as it was before the first of them. ``modules`` were loaded and stay."""

    units: tuple[UnitBefore, ...] = ()
    sysctls: tuple[SysctlBefore, ...] = ()
    swaps: tuple[SwapBefore, ...] = ()
    modules: tuple[str, ...] = ()


def commands_before(runs: Iterable[Run]) -> CommandsBefore:
    """What the commands of these runs changed."""
    units: dict[str, UnitBefore] = {}
    sysctls: dict[str, SysctlBefore] = {}
    swaps: dict[str, SwapBefore] = {}
    modules: list[str] = []
    for record in _records(runs, "command"):
        before, argv = record.get("before", {}), [str(word) for word in record.get("argv", ())]
        if "unit" in before:
            name = str(before["unit"])
            units.setdefault(name, UnitBefore(name, str(before.get("enabled", "")), bool(before.get("active"))))
        elif "sysctl" in before:
            key, given = str(before["sysctl"]), argv[-1].partition("=")[2]
            first = sysctls.get(key, SysctlBefore(key, str(before.get("value", "")), given))
            sysctls[key] = SysctlBefore(key, first.value, given)
        elif "swaps" in before:
            for device, priority in before["swaps"]:
                swaps.setdefault(str(device), SwapBefore(str(device), int(priority)))
        elif argv[:1] == ["modprobe"]:
            modules += [name for name in argv[1:] if name not in modules]
    return CommandsBefore(tuple(units.values()), tuple(sysctls.values()), tuple(swaps.values()), tuple(modules))


def images_before(run: Run) -> tuple[dict[str, bool], tuple[str, ...]]:
    """The names in the image store before ``run`` changed it, each with whether it was pinned, and those it pinned.

    Nothing at all where the store did not say what was in it.
    """
    before: dict[str, bool] | None = None
    pinned: list[str] = []
    for record in run.of("command"):
        before = record.get("before", {}).get("images", before)
        argv = [str(word) for word in record.get("argv", ())]
        if "label" in argv:
            pinned.append(argv[argv.index("label") + 1])
    return ({}, ()) if before is None else (before, tuple(pinned))


def changed_cluster(run: Run) -> bool:
    """Whether ``run`` had Helm or kubectl change something in the cluster."""
    return any(str(record["argv"][0]).endswith(("/helm", "/kubectl")) for record in run.of("command"))


def began_kubeadm(run: Run) -> bool:
    """Whether ``run`` began to initialise or join; what kubeadm did to the cluster cannot be taken back by files."""
    return any(
        len(argv) > 1 and str(argv[0]).endswith("kubeadm") and argv[1] in ("init", "join") and "phase" not in argv
        for argv in (record.get("argv", ()) for record in run.of("command"))
    )


def _records(runs: Iterable[Run], *kinds: str) -> Iterator[dict[str, Any]]:
    return (record for run in runs for record in run.records if record.get("what") in kinds)

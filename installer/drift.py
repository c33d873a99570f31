"""What of the install is not as it was installed any more: each file, unit, setting and pinned image in three states.

What was installed is what the journal says the runs left, so no medium is needed. Every file is read and hashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from installer import probes
from installer.bundle.digest import Digest
from installer.history import Change, began_kubeadm, changes, commands_before
from installer.installed import STATE_FOLDER
from installer.journal import Run, read_kept
from installer.lines import take_back
from installer.node import NodeView
from installer.reversal import unit_now
from installer.steps import coredns
from installer.steps.imagestore import ImageStore

State = Literal["as installed", "changed", "missing"]
SHARED = ("/etc/fstab", "/etc/hosts")
"""Texts in which others have lines of their own: only this tool's lines count."""
_VOLATILE = ("/run/", f"{STATE_FOLDER}/")
_KUBELET = "kubelet.service"
_SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True)
class Item:
    """One thing that was installed; ``wanted`` and ``got`` are short, and empty where there is nothing to compare."""

    kind: str
    name: str
    state: State
    wanted: str = ""
    got: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {"kind": self.kind, "name": self.name, "state": self.state, "wanted": self.wanted, "got": self.got}


def find_drift(view: NodeView, runs: Sequence[Run], journal_folder: Path) -> tuple[Item, ...]:
    """Every installed thing and its state, by the runs that still count."""
    return (
        *_files(view, runs, journal_folder),
        *_units(view, runs),
        *_sysctls(view, runs),
        *_images(view, runs),
        *_corefile(view),
    )


def _files(view: NodeView, runs: Sequence[Run], journal_folder: Path) -> Iterator[Item]:
    for path, of_path in sorted(changes(runs).items()):
        if path.startswith(_VOLATILE):
            continue
        last = of_path[-1].after
        if last.kind == "symlink":
            found = view.stat(path)
            got = "" if found is None else found.link_target or found.kind
            yield Item("link", path, _state(found is not None, got == last.target), last.target or "", got)
        elif last.kind == "file" and last.digest is not None:
            yield _file(view, path, of_path, journal_folder)


def _file(view: NodeView, path: str, of_path: Sequence[Change], journal_folder: Path) -> Item:
    last, found = of_path[-1].after, view.stat(path)
    wanted = f"{Digest(last.digest or '').short} {last.mode:04o}"
    if found is None:
        return Item("file", path, "missing", wanted)
    digest = view.digest(path)
    got = f"{digest.short if digest else found.kind} {found.mode:04o}"
    same = str(digest) == last.digest and found.mode == last.mode
    if not same and path in SHARED:
        same = _has_our_lines(view, path, of_path[-1], journal_folder)
    return Item("file", path, "as installed" if same else "changed", wanted, got)


def _has_our_lines(view: NodeView, path: str, change: Change, journal_folder: Path) -> bool:
    """Whether the lines of this tool's last change are there, whatever others have written around them."""
    if change.before.kept is None or change.after.kept is None:
        return False
    before, after = (read_kept(journal_folder, kept) for kept in (change.before.kept, change.after.kept))
    now = view.read_bytes(path) or b""
    without = take_back(before, after, now)
    return without is not None and without != now


def _units(view: NodeView, runs: Sequence[Run]) -> Iterator[Item]:
    for unit, verbs in _last_unit_verbs(runs).items():
        enabled, active = unit_now(view, unit)
        wanted, got = [], []
        if verbs & {"enable", "mask"}:
            wanted.append("masked" if "mask" in verbs else "enabled")
            got.append(enabled or "unknown to systemd")
        if verbs & {"restart", "start"}:
            wanted.append("active")
            got.append("active" if active else "not active")
        yield Item("unit", unit, _state(bool(enabled), wanted == got), ", ".join(wanted), ", ".join(got))


def _last_unit_verbs(runs: Sequence[Run]) -> dict[str, set[str]]:
    """What each unit was last told to be: enabled or masked, and started."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for record in run.of("command"):
            argv = [str(word) for word in record.get("argv", ())]
            if argv[:1] == ["systemctl"] and "unit" in record.get("before", {}):
                verbs = found.setdefault(argv[-1], set())
                if argv[1] in ("disable", "stop", "mask", "unmask"):
                    verbs.clear()
                verbs.add(argv[1])
    installs = [run for run in runs if run.verb == "install"]
    if _KUBELET in found and any(began_kubeadm(run) for run in installs) and installs[-1].outcome == "done":
        found[_KUBELET].add("start")  # by kubeadm
    return {unit: verbs for unit, verbs in found.items() if verbs & {"enable", "mask", "restart", "start"}}


def _sysctls(view: NodeView, runs: Sequence[Run]) -> Iterator[Item]:
    for item in commands_before(runs).sysctls:
        got = probes.first_line(view, probes.sysctl_path(item.key))
        high_enough = got.isdigit() and item.given.isdigit() and int(got) >= int(item.given)
        yield Item("sysctl", item.key, _state(bool(got), high_enough), f"at least {item.given}", got)


def _images(view: NodeView, runs: Sequence[Run]) -> Iterator[Item]:
    pinned = _pinned_names(runs)
    stored = ImageStore(_SOCKET).read(view) if pinned else {}
    if stored is None:
        yield Item("image", f"{len(pinned)} names", "changed", "pinned", "containerd does not answer")
        return
    for name in pinned:
        image = stored.get(name)
        got = "" if image is None else "not whole" if not image.whole else "pinned" if image.pinned else "not pinned"
        yield Item("image", name, _state(image is not None, got == "pinned"), "pinned", got)


def _corefile(view: NodeView) -> Iterator[Item]:
    """CoreDNS' configuration in the cluster, on the node that wrote it."""
    wanted = view.read_bytes(coredns.PATH)
    if wanted is not None:
        live = coredns.live_corefile(view)
        got = "the API does not show it" if live is None else Digest.of(live.encode()).short
        state: State = "as installed" if live is not None and live.encode() == wanted else "changed"
        yield Item("configmap", "kube-system/coredns", state, Digest.of(wanted).short, got)


def _pinned_names(runs: Iterable[Run]) -> tuple[str, ...]:
    """The names these runs pinned and did not unpin or remove again."""
    names: dict[str, None] = {}
    for run in runs:
        for record in run.of("command"):
            argv = [str(word) for word in record.get("argv", ())]
            if "label" in argv and argv[-1].endswith("="):
                names.pop(argv[-2], None)
            elif "label" in argv:
                names[argv[-2]] = None
            elif "images" in argv and "rm" in argv:
                for name in argv[argv.index("rm") + 1 :]:
                    names.pop(name, None)
    return tuple(names)


def _state(is_there: bool, is_as_wanted: bool) -> State:
    return "missing" if not is_there else "as installed" if is_as_wanted else "changed"

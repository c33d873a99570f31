"""kill -9 at every single change of an install: run again, it ends in the same state; undone, all is as before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from installer.errors import CommandError, InputError
from installer.execute import Executor, Phase, Plan
from installer.install import listener
from installer.join import PATH as JOIN_PATH
from installer.journal import Journal, open_journal, read_runs
from installer.node import FileStat
from installer.plan import build_plan
from installer.recording import RecordingNode
from installer.toolcommand import ToolCommand
from installer.undo import plan_undo, run_to_undo, undo
from tests.fakes.addons import FLANNEL
from tests.fakes.cluster import Workload
from tests.fakes.debian import debian
from tests.fakes.machine import Machine
from tests.fakes.mortal import Killed, Moment, MortalNode
from tests.fakes.network import PacketFilter
from tests.fakes.node import Entry
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_install_addons import KEY
from tests.unit.test_leftovers import SITE
from tests.unit.test_plan import ADDRESS, CONFIG, cp_plan, facts, join_file

UNPINNED = ["io.cri-containerd.image=managed"]


class Quiet:
    """A report that says nothing."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args, **_more: None


@dataclass
class Bench:
    """A fresh machine with a site's own things on it, and one plan to carry out, as often as it takes."""

    plan: Plan
    folder: Path
    machine: Machine
    runs: int = 0

    def install(self, last: int | None = None, moment: Moment = "before") -> MortalNode:
        """One run of the installer, killed at change number ``last`` if there is one."""
        mortal = MortalNode(self.machine.node, last, moment)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Journal, "record", _mortal_record(mortal))
                with open_journal(self.folder, "install") as journal:
                    Executor(RecordingNode(mortal, journal), listener(journal, Quiet())).run(self.plan)  # type: ignore[arg-type]
        except Killed:
            assert mortal.dead
        return mortal

    def undo(self) -> None:
        """The undo verb."""
        run = run_to_undo(self.folder)
        node = self.machine.node
        undo(node, run, plan_undo(node, self.folder, run), Quiet(), self.folder)  # type: ignore[arg-type]

    def state(self) -> dict[str, Any]:
        """Everything that an install can change, without what is drawn by lot: secrets, process numbers."""
        node, machine = self.machine.node, self.machine
        proc = {path: data for path, data in node.files().items() if path.startswith("/proc/sys/")}
        return {
            "disk": {path: _shape(path, item) for path, item in node.entries().items()},
            "run": [path for path in node.files() if path.startswith("/run/airgap-bundle")],
            "units": {name: (unit.enabled, unit.masked, unit.pid != 0) for name, unit in machine.units.items()},
            "images": {name: (found.digest, sorted(found.labels)) for name, found in machine.images.items()},
            "kernel": (node.read_text("/proc/swaps"), node.read_text("/proc/modules"), proc),
            "containerd": machine.loaded_config,
            "rules": machine.net.filters["iptables"].saved(),
        }


def _shape(path: str, item: Entry) -> tuple[FileStat, bytes]:
    """An entry of the disk; of the join file not its size either, since YAML quotes a token of digits alone."""
    return (replace(item.stat, size_bytes=0), b"") if path == JOIN_PATH else (item.stat, item.data)


def _mortal_record(mortal: MortalNode) -> Callable[..., None]:
    record = Journal.record

    def written(journal: Journal, what: str, **fields: Any) -> None:
        if mortal.dead:
            raise Killed
        record(journal, what, **fields)

    return written


@pytest.fixture(params=["cp", "cp with a network", "further cp", "worker"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Bench]:
    """Makes benches, each with a machine as it comes and a journal of its own."""
    monkeypatch.setattr("os.fsync", lambda _handle: None)  # a fake machine loses no power
    has_network = request.param == "cp with a network"
    bundle = small_bundle(addons=(FLANNEL,)) if has_network else small_bundle()
    made: list[Bench] = []

    def make() -> Bench:
        if request.param.startswith("cp"):
            plan = cp_plan(bundle)
        else:
            role = "worker" if request.param == "worker" else "cp"
            plan = build_plan(bundle, role, CONFIG, facts(), address=ADDRESS, join=join_file())
        plan = Plan((*plan.phases, Phase("node", (ToolCommand("/opt/airgap-bundle/runtime/abc"),))))
        machine = debian()
        if has_network:
            machine.network = KEY
            machine.cluster.workloads[KEY] = Workload("flannel", takes_seconds=30)
        machine.node.with_files({"/etc/hosts": "127.0.0.1 localhost\n", "/etc/containerd/config.toml": "version = 2\n"})
        machine.net.filters["iptables"] = PacketFilter(SITE)
        made.append(Bench(plan, tmp_path / f"journal-{len(made)}", machine))
        return made[-1]

    return make


def test_killed_after_any_change_and_run_again_it_ends_in_the_same_state(bench: Callable[[], Bench]) -> None:
    """Just before a change the machine is as it was just after the one before, so one moment is enough here."""
    undisturbed = bench()
    changes = undisturbed.install().changes
    assert len(changes) > 60
    for last, what in enumerate(changes):
        found = bench()
        assert found.install(last, "after").dead
        found.install()
        assert [run.outcome for run in read_runs(found.folder)] == ["cut off", "done"]
        state, wanted = found.state(), undisturbed.state()
        differing = [key for key in wanted if state[key] != wanted[key]]
        disks = state["disk"].items() ^ wanted["disk"].items()
        assert differing == [], f"killed after change {last}, {what}: {sorted(disks, key=repr)}"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_change_before_kubeadm_and_undone_all_is_as_before(
    bench: Callable[[], Bench], moment: Moment
) -> None:
    fresh = bench().state()
    changes = bench().install().changes
    kubeadm = next(number for number, what in enumerate(changes) if "kubeadm init" in what or "kubeadm join" in what)
    for last, what in enumerate(changes[:kubeadm]):
        found = bench()
        found.install(last, moment)
        found.undo()
        state = found.state()
        modules, images = state["kernel"][1], state.pop("images")
        assert {tuple(labels) for _digest, labels in images.values()} <= {tuple(UNPINNED)}, what
        differing = [key for key in state if key not in ("kernel", "units", "containerd") and state[key] != fresh[key]]
        assert differing == [], f"killed {moment} change {last}, {what}"
        assert not any(any(unit) for unit in state["units"].values()), what
        assert (state["kernel"][0], modules.split()[:1]) == (fresh["kernel"][0], modules.split()[:1])
        assert {path: data for path, data in state["kernel"][2].items() if path in fresh["kernel"][2]} == (
            fresh["kernel"][2]
        ), what
    started = bench()
    started.install(kubeadm, moment)
    with pytest.raises(InputError, match="cannot be undone"):
        started.undo()


def test_killed_while_kubeadm_works_and_run_again_it_ends_in_the_same_state(bench: Callable[[], Bench]) -> None:
    undisturbed = bench()
    undisturbed.install()
    found = bench()
    found.machine.fail_kubeadm_once = True  # half of its files are there
    with pytest.raises(CommandError):
        found.install()
    found.install()
    assert found.state() == undisturbed.state()


def test_what_is_drawn_by_lot_is_no_difference(bench: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the token is of digits alone, which YAML would take for a number if it were not quoted."""
    states = []
    for digit in "1a":
        monkeypatch.setattr("secrets.token_hex", lambda bytes_count, digit=digit: digit * 2 * bytes_count)
        machine = bench()
        machine.install()
        states.append(machine.state())
    assert states[0] == states[1]

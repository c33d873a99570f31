"""The moments at which installs are killed on machines: drawn by lot along a journal, and told from one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from installer.journal import Run
from tests.e2e.moments import AT_LEAST_STEPS, BEFORE_JOURNAL, Cut, Lots, cut_of, demand_spread
from tests.lab.errors import LabError

CHANGED, AS_WANTED = ("kernel/swap", "files/kubelet", "kubeadm/init"), "dns/coredns"


def run_of(*records: dict[str, Any]) -> Run:
    return Run("run", tuple({"at_seconds": float(number), **record} for number, record in enumerate(records)))


def step(name: str) -> list[dict[str, Any]]:
    named = {"what": "step", "id": name}
    command = {"what": "command", "step": name, "argv": ["modprobe", "overlay"]}
    return [{**named, "step": name, "outcome": "started"}, command, {**named, "outcome": "changed"}]


UNDISTURBED = run_of(
    {"what": "run", "verb": "install"},
    *(record for name in CHANGED for record in step(name)),
    {"what": "step", "id": AS_WANTED, "outcome": "as wanted"},
    {"what": "end", "outcome": "done"},
)


def test_a_seed_draws_the_same_moments_again_and_another_draws_others() -> None:
    first, again, other = (Lots(seed, UNDISTURBED, 5.0).chain(20) for seed in (1, 1, 2))
    assert first == again != other


def test_moments_are_in_the_order_of_the_install_and_within_its_steps() -> None:
    lots = Lots(6, UNDISTURBED, 5.0)
    assert lots.steps == 3
    drawn = lots.chain(400)
    order = (BEFORE_JOURNAL, *CHANGED)
    assert [order.index(moment.step) for moment in drawn] == sorted(order.index(moment.step) for moment in drawn)
    assert drawn[0].step == BEFORE_JOURNAL and 0 <= drawn[0].delay_seconds <= 5
    times = Counter(moment.step for moment in drawn)
    assert times.pop(BEFORE_JOURNAL) == 1
    assert min(times.values()) > 90, "each step alike"
    assert {moment.records for moment in drawn[1:]} == {1, 2}, "the end of a step is no moment in it"
    assert all(0 <= moment.delay_seconds <= 1 for moment in drawn[1:])
    assert Counter(moment.whole for moment in drawn)[True] > 150


def test_where_a_run_was_cut_off() -> None:
    for count, told in ((2, "in kernel/swap: step started"), (3, "in kernel/swap: command modprobe overlay")):
        assert cut_of(Run("run", UNDISTURBED.records[:count])).told == told
    assert cut_of(Run("run", UNDISTURBED.records[:4])) == Cut("", "after kernel/swap")
    assert cut_of(None).told == cut_of(Run("run", ())).told == "before the journal"


def test_kills_that_fall_on_few_steps_prove_nothing() -> None:
    spread = [Cut(f"files/{number}", "change") for number in range(AT_LEAST_STEPS)]
    said = demand_spread([*spread, Cut("", ""), Cut("", "after files/1")])
    assert (
        said
        == f"{AT_LEAST_STEPS} steps cut in the middle, at most 1 times the same (files/0), 1 between steps, "
        + ("1 before the journal")
    )
    for few in (spread[1:], [*spread, *[spread[0]] * 4], [], [Cut("", "after files/1")] * 50):
        with pytest.raises(LabError, match="not spread"):
            demand_spread(few)

"""The plan of each role as reviewed text: its steps in order, and what a dry run says on a fresh machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from installer.config import ClusterConfig
from installer.execute import Plan, look
from installer.foundcontainerd import FoundContainerd
from installer.plan import build_plan
from tests.fakes.addons import CILIUM, FLANNEL, METRICS, NODE_LOCAL_DNS
from tests.fakes.machine import Machine
from tests.fakes.small_bundle import small_bundle
from tests.golden.expectation import demand_same
from tests.unit.test_plan import ADDRESS, CLUSTER, LOCAL, cp_plan, facts, join_file

PLANS = {
    "plan-cp.txt": cp_plan(),
    "plan-cp-flannel.txt": cp_plan(small_bundle(addons=(FLANNEL, METRICS))),
    "plan-cp-cilium.txt": cp_plan(small_bundle(addons=(CILIUM, NODE_LOCAL_DNS)), ClusterConfig(kube_proxy_mode="none")),
    "plan-cp-joining.txt": build_plan(small_bundle(), "cp", CLUSTER, facts(), address="10.0.24.32", join=join_file()),
    "plan-worker.txt": build_plan(
        small_bundle(), "worker", replace(CLUSTER, node_name="w-1"), facts(), address=ADDRESS, join=join_file()
    ),
    "plan-worker-flannel.txt": build_plan(
        small_bundle(addons=(FLANNEL,)), "worker", CLUSTER, facts(), address="10.0.24.33", join=join_file()
    ),
    "plan-worker-local.txt": build_plan(
        small_bundle(),
        "worker",
        replace(LOCAL, node_name="w-1"),
        facts(),
        address=ADDRESS,
        join=join_file(cluster=LOCAL),
    ),
}


DOCKERS = '#   As Docker\'s package ships it\n\ndisabled_plugins = ["cri"]\n\n#root = "/var/lib/containerd"\n'


@pytest.mark.parametrize("name", PLANS)
def test_planned_as_reviewed(name: str) -> None:
    demand_same(name, _as_text(PLANS[name], Machine()))


def test_a_site_s_containerd_is_planned_as_reviewed() -> None:
    machine = Machine().with_site_containerd(DOCKERS)
    found = FoundContainerd("/usr/bin/containerd", "1.7.24", runc="/usr/sbin/runc")
    plan = build_plan(small_bundle(), "cp", ClusterConfig(), facts(runtime=found), address=ADDRESS)
    demand_same("plan-cp-site.txt", _as_text(plan, machine))


def _as_text(plan: Plan, machine: Machine) -> str:
    lines = [f"note {note}" for note in plan.notes]
    checks = {item.step.id: item.check for item in look(plan, machine.node)}
    for phase in plan.phases:
        lines.append(f"{phase.name}")
        for step in phase.steps:
            lines.append(f"  {step.id}: {step.title}")
            lines.extend(f"    {change}" for change in checks[step.id].changes)
    return "\n".join(lines) + "\n"

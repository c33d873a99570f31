"""The route to Services: the node's own where it has one, else a unit of ours that lasts over a reboot."""

from __future__ import annotations

from installer.execute import Executor, Phase, Plan, StepResult
from installer.render import route as render
from installer.steps.route import ServiceRoute
from tests.fakes.machine import Machine

STEP = ServiceRoute("10.96.0.0/12", "10.0.24.31")


def carry_out(machine: Machine) -> StepResult:
    return Executor(machine.node, lambda _event: None).run(Plan((Phase("network", (STEP,)),)))[-1]


def test_a_node_without_a_default_route_gets_one_to_services_only() -> None:
    machine = Machine()
    assert carry_out(machine).outcome == "changed"
    unit = machine.node.read_text(render.UNIT_PATH) or ""
    assert "ip route replace 10.96.0.0/12 dev airgap-svc src 10.0.24.31" in unit
    assert "default" not in unit.split("[Service]")[1]
    assert machine.units[render.UNIT].enabled
    assert carry_out(machine).outcome == "as wanted"


def test_a_node_with_a_default_route_is_left_alone() -> None:
    machine = Machine(default_route=True)
    assert carry_out(machine).outcome == "as wanted"
    assert machine.node.read_text(render.UNIT_PATH) is None
    assert machine.changes == []


def test_a_route_that_was_lost_comes_back() -> None:
    machine = Machine()
    carry_out(machine)
    machine.units[render.UNIT].pid = 0
    assert carry_out(machine).outcome == "changed"


def test_another_service_subnet_replaces_the_old_one() -> None:
    machine = Machine()
    carry_out(machine)
    other = ServiceRoute("172.30.0.0/16", "10.0.24.31")
    assert not other.check(machine.node).satisfied
    Executor(machine.node, lambda _event: None).run(Plan((Phase("network", (other,)),)))
    assert "172.30.0.0/16" in (machine.node.read_text(render.UNIT_PATH) or "")


def test_the_first_service_is_the_api_s() -> None:
    assert render.first_service("10.96.0.0/12") == "10.96.0.1"
    assert render.first_service("fd00:10:96::/112") == "fd00:10:96::1"

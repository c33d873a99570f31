"""A cluster without kube-proxy: what takes its place, what is refused, and what every part is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from installer.bundle.addon import BundledAddon
from installer.config import ClusterConfig
from installer.errors import InputError, StepError
from installer.execute import Plan
from installer.facts import gather
from installer.plan import build_plan
from installer.preflight import run_checks
from installer.preflight.subject import Subject
from installer.render import kubeadm
from tests.fakes.addons import CILIUM, FLANNEL
from tests.fakes.cluster import Workload
from tests.fakes.debian import debian
from tests.fakes.machine import Machine
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_plan import ADDRESS, LOCAL, carry_out, cp_plan, facts, join_file

NONE = ClusterConfig(kube_proxy_mode="none")
WITH_CILIUM = small_bundle(addons=(CILIUM,))


def ready_for_cilium() -> Machine:
    machine = Machine()
    machine.network = "kube-system/daemonset/cilium"
    machine.cluster.workloads[machine.network] = Workload("cilium", takes_seconds=3)
    return machine


def values_of_cilium(machine: Machine) -> dict[str, Any]:
    found = machine.cluster.release("kube-system", "cilium")
    assert found is not None
    return found.values


@pytest.mark.parametrize("minor", range(28, 37))
def test_kubeadm_makes_none_and_is_told_so_as_each_minor_can_be(minor: int) -> None:
    text = kubeadm.init_config(
        NONE,
        kubeadm.NodeIdentity("cp-1", ADDRESS),
        f"1.{minor}.0",
        proxy_mode="none",
        credentials=kubeadm.Credentials("abcdef.0123456789abcdef", 900),
    )
    documents = {document["kind"]: document for document in yaml.safe_load_all(text)}
    assert "KubeProxyConfiguration" not in documents
    skipped = documents["InitConfiguration"].get("skipPhases")
    disabled = documents["ClusterConfiguration"].get("proxy")
    assert (skipped, disabled) == ((["addon/kube-proxy"], None) if minor < 31 else (None, {"disabled": True}))


def test_cilium_takes_its_place_with_the_way_to_the_api_that_needs_no_service() -> None:
    machine = ready_for_cilium()
    plan = cp_plan(WITH_CILIUM, NONE)
    assert plan.notes[0] == "no kube-proxy: cilium leads to Services, as cluster.yaml says"
    done = carry_out(machine, plan)
    assert done["cluster/kube-proxy"].detail == "none"
    found = values_of_cilium(machine)
    assert (found["kubeProxyReplacement"], found["k8sServiceHost"], found["k8sServicePort"]) == (
        "true",
        ADDRESS,
        "6443",
    )
    assert not [name for name in machine.images if "kube-proxy" in name]
    assert {result.outcome for result in carry_out(machine, plan).values()} <= {"as wanted", "proven"}


def test_with_the_endpoint_on_every_node_cilium_asks_there() -> None:
    plan = cp_plan(WITH_CILIUM, replace(LOCAL, kube_proxy_mode="none"))
    values = next(step for step in plan.steps if step.id == "cilium/values")
    assert '"k8sServiceHost": "k8s-api"' in values.content  # type: ignore[attr-defined]
    assert '"k8sServicePort": "16443"' in values.content  # type: ignore[attr-defined]


def test_beside_kube_proxy_cilium_leaves_services_to_it() -> None:
    machine = ready_for_cilium()
    done = carry_out(machine, cp_plan(WITH_CILIUM))
    assert values_of_cilium(machine)["kubeProxyReplacement"] == "false"
    assert done["cluster/kube-proxy"].detail == "there"


@pytest.mark.parametrize(
    ("addons", "got"), [((), "without a network"), ((FLANNEL,), "flannel v0.28.9, which does not")]
)
@pytest.mark.parametrize("joins", [False, True])
def test_without_anything_in_its_place_it_is_refused(addons: tuple[BundledAddon, ...], got: str, joins: bool) -> None:
    join = join_file() if joins else None
    with pytest.raises(InputError, match="no Service would be reached") as caught:
        build_plan(small_bundle(addons=addons), "cp", NONE, facts(), address=ADDRESS, join=join)
    assert got in str(caught.value.got)


@pytest.mark.parametrize(("mode", "own"), [("none", False), ("none", "false"), ("ipvs", True), ("auto", "true")])
def test_values_that_contradict_the_mode_are_refused(mode: str, own: object) -> None:
    config = ClusterConfig(kube_proxy_mode=mode, addons={"cilium": {"kubeProxyReplacement": own}})
    with pytest.raises(InputError, match="both lead to Services, or neither") as caught:
        cp_plan(WITH_CILIUM, config)
    assert caught.value.where == "cluster.yaml, addons.cilium.values.kubeProxyReplacement"


@pytest.mark.parametrize(("mode", "own"), [("none", True), ("none", "true"), ("ipvs", False)])
def test_values_that_say_the_same_are_none(mode: str, own: object) -> None:
    assert cp_plan(WITH_CILIUM, ClusterConfig(kube_proxy_mode=mode, addons={"cilium": {"kubeProxyReplacement": own}}))


@pytest.mark.parametrize(("made", "wanted", "there"), [("auto", "none", "there"), ("none", "auto", "none")])
def test_a_cluster_that_runs_keeps_the_mode_it_was_made_with(made: str, wanted: str, there: str) -> None:
    machine = ready_for_cilium()
    carry_out(machine, cp_plan(WITH_CILIUM, ClusterConfig(kube_proxy_mode=made)))
    before = values_of_cilium(machine)
    with pytest.raises(StepError, match="made with another") as caught:
        carry_out(machine, cp_plan(WITH_CILIUM, ClusterConfig(kube_proxy_mode=wanted)))
    assert caught.value.got == f"kube-proxy: {there}"
    assert values_of_cilium(machine) == before, "refused before the network is told otherwise"


def test_a_joining_node_carries_no_image_and_its_preflight_asks_for_no_port_of_it() -> None:
    machine = Machine()
    cluster = replace(join_file().cluster, kube_proxy_mode="none")
    plan = build_plan(WITH_CILIUM, "worker", cluster, facts(), address=ADDRESS, join=join_file(cluster=cluster))
    carry_out(machine, Plan(plan.phases[:-1]))
    assert not [name for name in machine.images if "kube-proxy" in name]
    found = replace(gather(debian().node), listening_ports=(10249, 10256))
    subject = Subject(found, WITH_CILIUM.index, "worker", cluster, ADDRESS, joins=True)
    findings = {finding.name: finding for finding in run_checks(subject)}
    assert findings["ports"].level == "ok"
    assert findings["kube-proxy"].seen == "none: the pod network leads to Services"
    taken = {finding.name: finding for finding in run_checks(replace(subject, config=join_file().cluster))}
    assert taken["ports"].level == "problem"

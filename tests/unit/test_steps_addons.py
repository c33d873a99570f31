"""A pod network that comes as a chart, on a fake machine: installed, seen to work, mended, and gone on with."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from installer.errors import CommandError, StepError
from installer.execute import Event, Executor, StepFinished
from installer.plan import build_plan
from installer.queries import is_read_only
from installer.settings import Timeouts
from installer.steps import helm
from installer.steps.addons import HelmRelease, Namespace
from installer.steps.charts import PlaceChart, chart_path, values_path
from installer.steps.reset import RemoveFiles
from tests.fakes.addons import FLANNEL, METRICS
from tests.fakes.cluster import Revision, Workload
from tests.fakes.machine import Machine
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_plan import CONFIG, carry_out, cp_plan, facts, join_file

BUNDLE = small_bundle(addons=(FLANNEL, METRICS))
KEY = "kube-flannel/daemonset/kube-flannel-ds"
CHART = "/var/lib/airgap-bundle/charts/flannel-v0.28.9.tgz"
VALUES = "/etc/airgap-bundle/addons/flannel.values.yaml"


def machine(**flannel: Any) -> Machine:
    made = Machine(network=KEY)
    made.cluster.workloads[KEY] = Workload("flannel", **{"takes_seconds": 20.0} | flannel)
    made.cluster.workloads["kube-system/deployment/metrics-server"] = Workload("metrics")
    return made


def changed(done: dict[str, Any]) -> set[str]:
    return {name for name, result in done.items() if result.outcome == "changed"}


def test_a_control_plane_gets_its_pod_network_before_it_is_ready_and_a_second_run_changes_nothing() -> None:
    node = (made := machine()).node
    done = carry_out(made, cp_plan(BUNDLE))
    order = list(done)
    start = order.index("cluster/registered")
    assert order[start:] == [
        "cluster/registered",
        "network/alone",
        *(f"flannel/{part}" for part in ("namespace", "release", "ready")),
        "cluster/ready",
        "cluster/join-file",
        *(f"metrics-server/{part}" for part in ("namespace", "release", "ready")),
    ]
    before = [f"{name}/{part}" for name in ("flannel", "metrics-server") for part in ("chart", "values", "images")]
    assert order[order.index("flannel/chart") :][:6] == before
    assert order.index("metrics-server/images") < order.index("kubeadm/init")
    assert done["flannel/release"].detail == "v0.28.9 in kube-flannel"
    assert done["flannel/ready"].detail == "kube-flannel-ds 1 of 1 pod ready"
    assert done["cluster/ready"].detail == "cp-1 is Ready"
    assert node.digest(CHART) == BUNDLE.index.addons[0].chart
    assert json.loads(node.read_text(VALUES) or "")["podCidr"] == "10.244.0.0/16"
    assert node.stat(VALUES).mode == 0o600  # type: ignore[union-attr]
    assert made.cluster.namespaces["kube-flannel"]["pod-security.kubernetes.io/enforce"] == "privileged"

    files, ran = node.files(), len(node.ran)
    assert changed(carry_out(made, cp_plan(BUNDLE))) == set()
    assert node.files() == files
    assert not [words for words in node.ran[ran:] if words[0].endswith(("helm", "kubectl")) and not is_read_only(words)]


def test_what_the_pod_network_needs_is_installed_before_it_and_the_rest_in_the_bundle_s_order() -> None:
    definitions, base = replace(METRICS, name="definitions"), replace(METRICS, name="base")
    addons = (definitions, replace(FLANNEL, needs=("definitions",)), base, replace(METRICS, needs=("base",)))
    plan = cp_plan(small_bundle(addons=addons))
    releases = {phase.name: [step.id for step in phase.steps if step.id.endswith("/release")] for phase in plan.phases}
    assert releases["network"] == ["definitions/release", "flannel/release"]
    assert releases["add-ons"] == ["base/release", "metrics-server/release"]
    plan = cp_plan(small_bundle(addons=(base, METRICS)))
    assert "network" not in [phase.name for phase in plan.phases]


def test_a_joining_node_runs_no_chart_and_is_done_only_when_truly_ready() -> None:
    plan = build_plan(BUNDLE, "worker", CONFIG, facts(), address="10.0.24.32", join=join_file())
    assert [step.id for step in plan.steps if step.id.startswith(("flannel/", "metrics-server/"))] == [
        "flannel/plugins"
    ]
    assert [step.id for step in plan.phases[-1].steps] == ["cluster/ready"]
    with pytest.raises(StepError, match="cluster/ready") as caught:
        carry_out(Machine(), plan)
    assert "cni plugin not initialized" in str(caught.value.got)
    assert carry_out(Machine(ready="True"), plan)["cluster/ready"].detail == "cp-1 is Ready"


def test_a_missing_cni_plugin_stops_the_install_before_there_is_a_cluster() -> None:
    made = machine()
    needs = small_bundle(addons=(replace(FLANNEL, plugins=("bridge", "vrf")),))
    with pytest.raises(StepError, match="calls CNI plugins") as caught:
        carry_out(made, cp_plan(needs))
    assert (caught.value.wanted, caught.value.got) == ("bridge, vrf", "without vrf")
    assert not made.kubeadm_configs


def test_a_changed_chart_or_value_is_installed_again() -> None:
    made = machine()
    carry_out(made, cp_plan(BUNDLE))
    own = replace(CONFIG, addons={"flannel": {"flannel": {"backend": "host-gw"}}})
    done = carry_out(made, cp_plan(BUNDLE, own))
    assert changed(done) == {"flannel/values", "flannel/release"}
    newer = small_bundle(addons=(replace(FLANNEL, version="v0.29.0"), METRICS))
    done = carry_out(made, cp_plan(newer, own))
    assert changed(done) >= {"flannel/chart", "flannel/release"}
    assert done["flannel/release"].detail == "v0.29.0 in kube-flannel, was flannel-v0.28.9"
    made.node.write_file(chart_path(newer.index.addons[0]), b"tampered")
    assert changed(carry_out(made, cp_plan(newer, own))) == {"flannel/chart"}


@pytest.mark.parametrize("after", [step.id for step in cp_plan(BUNDLE).steps])
def test_cut_off_after_any_step_the_next_run_comes_to_the_same_end(after: str) -> None:
    def cut(event: Event) -> None:
        if isinstance(event, StepFinished) and event.result.step_id == after:
            raise KeyboardInterrupt

    made = machine()
    with pytest.raises(KeyboardInterrupt):
        Executor(made.node, cut).run(cp_plan(BUNDLE))
    carry_out(made, cp_plan(BUNDLE))
    found = made.cluster.release("kube-flannel", "flannel")
    assert found
    assert (found.status, len(made.cluster.releases["kube-flannel", "flannel"])) == ("deployed", 1)


def test_a_helm_killed_in_its_first_install_is_recovered_without_taking_pods_down() -> None:
    made = machine()
    made.cluster.dies_in = "pending-install"
    with pytest.raises(KeyboardInterrupt):
        carry_out(made, cp_plan(BUNDLE))
    assert made.cluster.release("kube-flannel", "flannel").status == "pending-install"  # type: ignore[union-attr]
    done = carry_out(made, cp_plan(BUNDLE))
    assert done["flannel/release"].detail == "v0.28.9 in kube-flannel, was pending-install"
    assert not [words for words in made.node.ran if "uninstall" in words]


def test_a_helm_killed_in_an_upgrade_goes_on_from_the_last_whole_revision() -> None:
    made = machine()
    carry_out(made, cp_plan(BUNDLE))
    made.cluster.dies_in = "pending-upgrade"
    newer = cp_plan(small_bundle(addons=(replace(FLANNEL, version="v0.29.0"), METRICS)))
    with pytest.raises(KeyboardInterrupt):
        carry_out(made, newer)
    carry_out(made, newer)
    revisions = made.cluster.releases["kube-flannel", "flannel"]
    assert [(item.status, item.chart) for item in revisions][-1] == ("deployed", "flannel-v0.29.0")
    assert not [item for item in revisions if item.status.startswith("pending")]


@pytest.mark.parametrize(
    ("status", "first"),
    [
        ("failed", "upgrade"),
        ("superseded", "upgrade"),
        ("uninstalling", "uninstall"),
        ("uninstalled", "uninstall"),
        ("pending-rollback", "delete"),
    ],
)
def test_every_state_of_a_release_leads_to_deployed(status: str, first: str) -> None:
    made = machine()
    carry_out(made, cp_plan(BUNDLE))
    made.cluster.releases["kube-flannel", "flannel"] = [Revision(status, "flannel-v0.28.9", {})]
    ran = len(made.node.ran)
    done = carry_out(made, cp_plan(BUNDLE))
    assert done["flannel/release"].detail == f"v0.28.9 in kube-flannel, was {status}"
    changes = [words for words in made.node.ran[ran:] if words[0].endswith(("helm", "kubectl"))]
    assert next(words[3] for words in changes if not is_read_only(words)) == first


def test_a_helm_that_is_still_at_work_is_left_to_it() -> None:
    made = machine()
    carry_out(made, cp_plan(BUNDLE))
    (revision,) = made.cluster.releases["kube-flannel", "flannel"]
    revision.status = "pending-install"
    sleep = made.node.sleep

    def finishing(seconds: float) -> None:
        sleep(seconds)
        revision.status = "deployed"

    made.node.sleep = finishing  # type: ignore[method-assign]
    carry_out(made, cp_plan(BUNDLE))
    assert not [words for words in made.node.ran if "delete" in words]


def test_a_dry_run_says_that_an_interrupted_run_is_cleared() -> None:
    made = machine()
    carry_out(made, cp_plan(BUNDLE))
    made.cluster.releases["kube-flannel", "flannel"] = [Revision("pending-install", "flannel-v0.28.9", {})]
    step = HelmRelease(BUNDLE.index.addons[0], {}, 300)
    found = step.check(made.node)
    assert found.detail == "Helm says pending-install"
    assert found.changes[0] == "clear Helm's record of an interrupted run (pending-install)"


@pytest.mark.parametrize(
    ("installed", "wanted", "same"),
    [
        ({"a": 1, "b": [1.0]}, {"b": [1], "a": 1.0}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": None}, {}, False),
        (None, {}, True),
        ({"a": "1"}, {"a": 1}, False),
    ],
)
def test_values_are_the_same_when_helm_would_see_the_same(installed: Any, wanted: dict[str, Any], same: bool) -> None:
    argv = [*helm._HELM, "get", "values", "flannel", "--namespace", "kube-flannel", "-o", "json"]
    node = FakeNode().script(argv, json.dumps(installed))
    assert helm.has_values(node, FLANNEL, wanted) is same


@pytest.mark.parametrize(
    ("chart", "same"),
    [("flannel-v0.28.9", True), ("flannel-0.28.9", True), ("flannel-10.28.9", False), ("flannel-v0.28.9-rc1", False)],
)
def test_the_chart_s_version_is_told_with_or_without_its_v(chart: str, same: bool) -> None:
    assert helm.Release("deployed", chart).is_of(FLANNEL) is same


@pytest.mark.parametrize("answer", ["{", "[3]", '[{"name": "flannel"}]'])
def test_a_list_that_cannot_be_read_is_an_error(answer: str) -> None:
    node = FakeNode()
    node.script([helm.HELM], answer)
    with pytest.raises(StepError, match="list of releases"):
        helm.read_release(node, FLANNEL)


def test_a_cluster_that_does_not_answer_helm_is_told_and_changes_nothing() -> None:
    node = FakeNode().script([helm.HELM], code=1, stderr="Error: Kubernetes cluster unreachable")
    step = HelmRelease(FLANNEL, {}, 300)
    assert step.check(node).detail == "Error: Kubernetes cluster unreachable"
    with pytest.raises(CommandError):
        step.apply(node)
    assert not [words for words in node.ran if not is_read_only(words)]


def test_a_namespace_that_lost_a_label_gets_it_back_and_one_being_deleted_is_named() -> None:
    made = machine()
    carry_out(made, cp_plan(BUNDLE))
    made.cluster.namespaces["kube-flannel"] = {"site": "theirs"}
    assert changed(carry_out(made, cp_plan(BUNDLE))) == {"flannel/namespace"}
    assert made.cluster.namespaces["kube-flannel"]["site"] == "theirs"
    asked = "/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf get namespace kube-flannel -o json"
    node = FakeNode().script(asked, json.dumps({"metadata": {}, "status": {"phase": "Terminating"}}))
    assert Namespace(FLANNEL).check(node).detail.startswith("kube-flannel is being deleted")


def test_a_damaged_chart_is_not_placed() -> None:
    blobs = dict(BUNDLE.blobs)
    addon = BUNDLE.index.addons[0]
    blobs[addon.chart] = b"damaged"
    node = FakeNode()
    with pytest.raises(Exception, match="wrong bytes"):
        PlaceChart(replace(BUNDLE, blobs=blobs), addon).apply(node)
    assert node.stat(chart_path(addon)) is None


def test_pods_that_never_come_up_are_told_with_the_reason() -> None:
    made = machine(takes_seconds=1e9)
    waits = {"reason": "ErrImageNeverPull", "message": "image is not present"}
    made.cluster.workloads[KEY].pods = [
        {
            "metadata": {"name": "kube-flannel-ds-x7"},
            "status": {"initContainerStatuses": [{"name": "install-cni", "state": {"waiting": waits}}]},
        }
    ]
    began = made.node.now_seconds()
    config = replace(CONFIG, timeouts=Timeouts(addon_seconds=40))
    with pytest.raises(StepError, match="flannel/ready") as caught:
        carry_out(made, cp_plan(BUNDLE, config))
    assert str(caught.value.got).splitlines() == [
        "daemonset/kube-flannel-ds: 0 of 1 pod ready",
        "  kube-flannel-ds-x7: install-cni ErrImageNeverPull: image is not present",
    ]
    assert 40 <= made.node.now_seconds() - began < 60


def test_reset_takes_what_the_pods_wrote_on_the_node() -> None:
    node = FakeNode().with_files({"/opt/cni/bin/flannel": "f", "/opt/cni/bin/bridge": "b"})
    step = RemoveFiles("reset/network-files", "-", ("/opt/cni/bin/flannel", "/etc/cni/net.d/10-flannel.conflist"))
    assert step.check(node).changes == ("remove /opt/cni/bin/flannel",)
    step.apply(node)
    assert step.check(node).satisfied
    assert list(node.files()) == ["/opt/cni/bin/bridge"]


def test_values_lie_where_they_are_said_to() -> None:
    assert (chart_path(FLANNEL), values_path(FLANNEL)) == (CHART, VALUES)

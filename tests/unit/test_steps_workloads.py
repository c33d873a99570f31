"""Whether an add-on works: what counts as ready, what is waited for, and what is said of a pod that is not there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from installer.execute import CheckResult
from installer.steps.workloads import WorkloadsReady, standing
from tests.fakes.addons import METRICS
from tests.fakes.node import FakeNode

_GET = "/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf get"
_CONTROL_PLANE = "0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }."
_NOT_READY = "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }."

ESTABLISHED = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}


def daemonset(wanted: int = 2, ready: int = 2, updated: int | None = None, observed: int = 3) -> dict[str, Any]:
    names = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
    status = dict(zip(names, (wanted, ready, wanted if updated is None else updated), strict=True))
    spec = {"selector": {"matchLabels": {"app": "x", "a": "b"}}}
    return {"metadata": {"generation": 3}, "spec": spec, "status": status | {"observedGeneration": observed}}


def replicas(wanted: int = 1, ready: int = 0, updated: int = 1, **status: Any) -> dict[str, Any]:
    said = {"observedGeneration": 3, "readyReplicas": ready, "updatedReplicas": updated} | status
    spec = {"replicas": wanted, "selector": {"matchLabels": {"app": "x", "a": "b"}}}
    return {"metadata": {"generation": 3}, "spec": spec, "status": said}


def pod(name: str = "x-1", node: str = "n-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"nodeName": node}, "status": {"phase": "Pending"} | status}


def unplaced(message: str) -> dict[str, Any]:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"metadata": {"name": "x-1"}, "spec": {}, "status": {"phase": "Pending", "conditions": [said]}}


def ready(name: str) -> dict[str, Any]:
    return pod(name, conditions=[{"type": "Ready", "status": "True"}])


def look(workload: str, document: dict[str, Any] | None, *pods: dict[str, Any], silent: str = "") -> CheckResult:
    node = FakeNode()
    missing = "" if document else "Error from server (NotFound): no such thing"
    said = json.dumps(document) if document else ""
    node.script(f"{_GET} -n ns {workload.replace('/', ' ')} -o json", said, code=1 if missing else 0, stderr=missing)
    node.script(f"{_GET} -n ns pods -l a=b,app=x -o json", json.dumps({"items": pods}))
    conditions = [{"type": "Ready", "status": "Unknown"}]
    nodes = [
        {"metadata": {"name": silent}, "status": {"conditions": conditions}},
        {"metadata": {"name": "n-9"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}},
    ]
    node.script(f"{_GET} nodes -o json", json.dumps({"items": nodes}))
    return standing(node, "ns", workload)


@pytest.mark.parametrize(
    ("workload", "document", "detail"),
    [
        ("daemonset/x", daemonset(), "2 of 2 pods ready"),
        ("daemonset/x", daemonset(1, 1), "1 of 1 pod ready"),
        ("deployment/x", replicas(2, 2, 2), "2 of 2 pods ready"),
        ("deployment/x", replicas(0, 0, 0), "0 of 0 pods ready"),
        ("statefulset/x", replicas(3, 3, 3), "3 of 3 pods ready"),
    ],
)
def test_complete_by_its_status_no_pod_is_asked_for(workload: str, document: dict[str, Any], detail: str) -> None:
    assert look(workload, document) == CheckResult(True, detail)


@pytest.mark.parametrize(
    ("workload", "document"),
    [
        ("daemonset/x", daemonset(2, 1)),
        ("daemonset/x", daemonset(0, 0)),
        ("daemonset/x", daemonset(2, 2, updated=1)),
        ("daemonset/x", daemonset(observed=2)),
        ("deployment/x", replicas(2, 1, 2)),
        ("deployment/x", replicas(2, 2, 1)),
        ("deployment/x", replicas(1, 1, 1, observedGeneration=2)),
        ("deployment/x", {"metadata": {"generation": 1}, "spec": {}}),
        ("deployment/x", None),
    ],
)
def test_not_complete_is_waited_for(workload: str, document: dict[str, Any] | None) -> None:
    assert not look(workload, document, ready("x-1")).satisfied


def test_what_is_not_there_yet_is_told_as_the_api_tells_it() -> None:
    assert look("deployment/x", None).detail == "Error from server (NotFound): no such thing"


def test_a_pod_that_no_node_takes_is_named_and_not_waited_for() -> None:
    found = look("deployment/x", replicas(), unplaced(_CONTROL_PLANE))
    assert found == CheckResult(True, "0 of 1 pod ready; x-1 waits for a node that takes it")


def test_a_pod_kept_away_only_until_the_node_is_ready_is_waited_for() -> None:
    found = look("deployment/x", replicas(), unplaced(_NOT_READY))
    assert not found.satisfied
    assert "untolerated taint {node.kubernetes.io/not-ready" in found.detail


def test_a_pod_on_a_node_that_does_not_answer_is_not_waited_for() -> None:
    late = pod("x-2", "n-2", phase="Running")
    found = look("daemonset/x", daemonset(2, 1), ready("x-1"), late, silent="n-2")
    assert found == CheckResult(True, "1 of 2 pods ready; x-2 is on n-2, which does not answer")
    assert not look("daemonset/x", daemonset(2, 1), ready("x-1"), pod("x-2", "n-9"), silent="n-2").satisfied
    assert not look("daemonset/x", daemonset(3, 1), pod("x-3"), late, silent="n-2").satisfied


def test_an_ordered_set_stops_at_the_first_pod_that_no_node_takes() -> None:
    assert look("statefulset/x", replicas(3, 0, 1), unplaced(_CONTROL_PLANE)).satisfied
    assert not look("deployment/x", replicas(3, 0, 1), unplaced(_CONTROL_PLANE)).satisfied


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({}, "Pending, not ready yet"),
        (
            {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "c ImagePullBackOff",
        ),
        (
            {
                "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "PodInitializing"}}}],
                "initContainerStatuses": [
                    {"name": "i", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off\n5m"}}}
                ],
            },
            "i CrashLoopBackOff: back-off 5m",
        ),
        (
            {"containerStatuses": [{"name": "c", "state": {"terminated": {"reason": "Error", "exitCode": 1}}}]},
            "c Error",
        ),
        ({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"running": {}}}]}, "Running, not ready"),
    ],
)
def test_a_pod_says_what_it_waits_for(status: dict[str, Any], reason: str) -> None:
    found = look("daemonset/x", daemonset(1, 0), pod(**status))
    assert not found.satisfied
    assert found.detail.splitlines()[1].startswith(f"  x-1: {reason}")


def test_a_workload_may_be_in_another_namespace() -> None:
    node = FakeNode().script(f"{_GET} -n calico-system daemonset calico-node -o json", json.dumps(daemonset()))
    assert standing(node, "tigera-operator", "calico-system/daemonset/calico-node") == CheckResult(
        True, "2 of 2 pods ready"
    )


@pytest.mark.parametrize(
    ("conditions", "satisfied", "detail"),
    [
        ([{"type": "Established", "status": "True"}], True, "served"),
        (
            [{"type": "Established", "status": "False", "message": "not all names are accepted"}],
            False,
            "not served yet: not all names are accepted",
        ),
        ([{"type": "NamesAccepted", "status": "True"}], False, "not served yet: the API says nothing of it"),
        (None, False, "not served yet: the API says nothing of it"),
    ],
)
def test_a_definition_is_served_or_it_is_waited_for(conditions: Any, satisfied: bool, detail: str) -> None:
    document = {"status": {"conditions": conditions}}
    node = FakeNode().script(f"{_GET} crd things.example.org -o json", json.dumps(document))
    assert standing(node, "ns", "crd/things.example.org") == CheckResult(satisfied, detail)


def test_a_definition_that_is_not_there_is_told_as_the_api_tells_it() -> None:
    node = FakeNode().script(f"{_GET} crd x -o json", code=1, stderr="Error from server (NotFound): no such thing\n")
    assert standing(node, "ns", "crd/x") == CheckResult(False, "Error from server (NotFound): no such thing")


def test_what_is_not_ready_is_named_as_the_add_on_names_it() -> None:
    shown = ("crd/things.example.org", "other/deployment/operator")
    node = FakeNode().script(f"{_GET} crd things.example.org -o json", code=1, stderr="no")
    node.script(f"{_GET} -n other deployment operator -o json", json.dumps(replicas(1, 1, 1)))
    found = WorkloadsReady(replace(METRICS, ready=shown), 3.0).check(node)
    assert found.detail == "crd/things.example.org: no"
    assert found.changes == ("wait for crd/things.example.org", "wait for other/deployment/operator")
    node = FakeNode().script(f"{_GET} crd things.example.org -o json", json.dumps(ESTABLISHED))
    node.script(f"{_GET} -n other deployment operator -o json", json.dumps(replicas(1, 1, 1)))
    found = WorkloadsReady(replace(METRICS, ready=shown), 3.0).check(node)
    assert found == CheckResult(True, "things.example.org served; operator 1 of 1 pod ready")


def test_many_pods_are_told_in_a_few_lines_and_those_that_leave_in_none() -> None:
    pods = [pod(f"x-{number}") for number in range(9)]
    pods[0]["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
    lines = look("daemonset/x", daemonset(9, 0), *pods).detail.splitlines()
    assert lines[1].startswith("  x-1: ")
    assert (len(lines), lines[-1]) == (7, "  and 3 more")


@pytest.mark.parametrize("answer", ["", "{", "[]"])
def test_an_answer_that_cannot_be_read_is_no_readiness(answer: str) -> None:
    node = FakeNode().script(f"{_GET} -n ns daemonset x -o json", answer)
    assert standing(node, "ns", "daemonset/x") == CheckResult(False, "the API does not answer")

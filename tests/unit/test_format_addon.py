"""Add-ons in the index: their values carry only what JSON can hold and facts that somebody fills."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer.bundle.addon import BundledAddon
from installer.bundle.hostneeds import HostNeeds
from installer.bundle.index import BundleIndex
from installer.bundle.strict import Fields, Problems
from installer.bundle.values import SAMPLE, fill, problems
from installer.errors import OperatorError
from tests.fakes.addons import FLANNEL, METRICS
from tests.fakes.small_bundle import small_bundle


def read(document: dict[str, Any]) -> tuple[BundledAddon, Problems]:
    found = Problems()
    return BundledAddon.read(Fields(document, found)), found


def test_an_addon_is_read_as_it_was_written() -> None:
    ready = ("daemonset/x", "calico-system/daemonset/calico-node", "crd/installations.operator.tigera.io")
    host = HostNeeds(("iscsiadm",), ("iscsi_tcp",), ("iscsid.service",))
    longer = replace(METRICS, ready=ready, needs=("base",), host=host, roles=("worker",))
    for addon in (FLANNEL, METRICS, longer):
        assert read(addon.to_dict()) == (addon, [])


def test_an_add_on_of_an_older_bundle_is_read_and_written_as_it_was() -> None:
    old = {
        "chart": METRICS.chart,
        "images_told_by": "helm",
        "kind": "addon",
        "name": "metrics-server",
        "namespace": "kube-system",
        "namespace_labels": {},
        "plugins": [],
        "ready": ["deployment/metrics-server"],
        "source": METRICS.source.to_dict(),
        "values": METRICS.values,
        "version": "3.13.1",
    }
    addon, problems = read(dict(old))
    assert (addon, problems, addon.to_dict()) == (METRICS, [], old)
    assert (addon.needs, addon.host, addon.roles) == ((), HostNeeds(), ("cp", "worker"))


def test_what_two_need_of_a_machine_is_needed_once() -> None:
    one, two = HostNeeds(("a", "b"), (), ("x.service",)), HostNeeds(("b", "c"), ("m",))
    assert one | two == HostNeeds(("a", "b", "c"), ("m",), ("x.service",))
    assert bool(one) and not HostNeeds()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "other"}, "kind: wanted one of cni, addon"),
        ({"name": "Flannel"}, "name: wanted at most 53 lower-case"),
        ({"ready": []}, "ready: wanted at least one workload"),
        ({"ready": ["pod/x"]}, "ready[0]: wanted [NAMESPACE/]daemonset/NAME"),
        ({"ready": ["ns/crd/x"]}, "ready[0]: wanted [NAMESPACE/]daemonset/NAME"),
        ({"ready": ["a/b/deployment/x"]}, "ready[0]: wanted [NAMESPACE/]daemonset/NAME"),
        ({"needs": ["base@1.0.0"]}, "needs[0]: wanted the name of an add-on"),
        ({"host": {"commands": [""]}}, "host.commands[0]: wanted a program's name"),
        ({"host": {"modules": ["/etc"]}}, "host.modules[0]: wanted a kernel module's name"),
        ({"roles": []}, "roles: wanted one or both"),
        ({"values": {"a": ["${podCidr}"]}}, "values.a[0]: unknown fact ${podCidr}"),
        ({"values": []}, "values: wanted a mapping"),
        ({"values": {"a": float("inf")}}, "values.a: wanted a number, got inf"),
        ({"notes": [3]}, "notes: wanted a list of strings"),
        ({"extra": 1}, "extra: unknown field"),
    ],
)
def test_what_nobody_could_install_is_refused_by_its_path(change: dict[str, Any], told: str) -> None:
    _addon, found = read(FLANNEL.to_dict() | change)
    assert any(told in problem for problem in found), found


def test_facts_are_filled_in_at_any_depth_and_the_rest_is_kept() -> None:
    values = {"a": [{"b": "${apiHost}:${apiPort}"}], "c": 3, "d": None, "e": True}
    assert fill(values, {"apiHost": "10.0.0.1", "apiPort": "6443"}) == {
        "a": [{"b": "10.0.0.1:6443"}],
        "c": 3,
        "d": None,
        "e": True,
    }
    assert not list(problems(values))
    assert fill("${podSubnet}", SAMPLE) == "10.244.0.0/16"


def test_a_bundle_has_at_most_one_pod_network() -> None:
    index = small_bundle().index
    other = replace(FLANNEL, name="other", chart=index.files[0].blob)
    one = replace(index, addons=(replace(FLANNEL, chart=index.files[0].blob),))
    assert BundleIndex.from_bytes(one.to_bytes(), where="test") == one
    with pytest.raises(OperatorError, match="format") as error:
        BundleIndex.from_bytes(replace(one, addons=(*one.addons, other)).to_bytes(), where="test")
    assert "more than one pod network" in (error.value.got or "")


@pytest.mark.parametrize(
    ("addons", "told"),
    [
        ((METRICS, METRICS), "addons: metrics-server is listed twice"),
        ((replace(METRICS, needs=("base",)),), "addons: metrics-server needs base, which is not before it"),
        (
            (replace(METRICS, needs=("base",)), replace(METRICS, name="base")),
            "addons: metrics-server needs base, which is not before it",
        ),
    ],
)
def test_add_ons_stand_in_the_order_of_their_installation(addons: tuple[BundledAddon, ...], told: str) -> None:
    index = small_bundle().index
    placed = tuple(replace(addon, chart=index.files[0].blob) for addon in addons)
    with pytest.raises(OperatorError) as error:
        BundleIndex.from_bytes(replace(index, addons=placed).to_bytes(), where="test")
    assert told in (error.value.got or "")

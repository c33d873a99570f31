"""Add-ons in the index: their values carry only what JSON can hold and facts that somebody fills."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer.bundle.addon import BundledAddon
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
    for addon in (FLANNEL, METRICS):
        assert read(addon.to_dict()) == (addon, [])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "other"}, "kind: wanted one of cni, addon"),
        ({"name": "Flannel"}, "name: wanted at most 53 lower-case"),
        ({"ready": []}, "ready: wanted at least one workload"),
        ({"ready": ["pod/x"]}, "ready[0]: wanted daemonset/"),
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

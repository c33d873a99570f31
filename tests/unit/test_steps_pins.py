"""Which image names are pinned by this tool, and that only those are ever unpinned."""

from __future__ import annotations

import pytest

from installer.config import ClusterConfig
from installer.errors import CommandError
from installer.nodeimages import node_images
from installer.steps.imagestore import PIN_LABEL, ImageStore
from installer.steps.pins import RECORD_PATH, record_pins, recorded_pins
from installer.steps.reset import UnpinImages
from installer.steps.runtime import CONFIG_DUMP
from tests.fakes.machine import Machine, StoredName
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_plan import carry_out, cp_plan

PAUSE = "registry.k8s.io/pause:3.10"
NEWER = small_bundle(pause=PAUSE)
SITES = "registry.example.com/site:1"


def pinned(machine: Machine) -> set[str]:
    return {name for name, found in machine.images.items() if PIN_LABEL in found.labels}


@pytest.fixture
def machine() -> Machine:
    """A machine that was installed, with an image the site pinned by itself; its kubeadm is the newer bundle's."""
    machine = Machine()
    carry_out(machine, cp_plan())
    machine.images[SITES] = StoredName("sha256:" + "1" * 64, labels=[PIN_LABEL])
    machine.kubeadm_pause = PAUSE
    return machine


def test_a_newer_bundle_unpins_what_only_the_old_one_had(machine: Machine) -> None:
    old = pinned(machine)
    done = carry_out(machine, cp_plan(NEWER))
    assert done["images/replaced"].detail == "2 names unpinned"
    wanted = {name for image in node_images(NEWER.index, "cp", ClusterConfig()) for name in image.names()}
    assert pinned(machine) == wanted | {SITES}
    assert {name.partition("@")[0].partition(":")[0] for name in old - pinned(machine)} == {"registry.k8s.io/pause"}
    assert recorded_pins(machine.node) == wanted


def test_an_interrupted_import_has_already_recorded_what_it_may_have_pinned(machine: Machine) -> None:
    ctr = ("/usr/local/bin/ctr", "-a", "/run/containerd/containerd.sock", "-n", "k8s.io")
    machine.node.script([*ctr, "images", "label", PAUSE, PIN_LABEL], code=1, stderr="killed")
    with pytest.raises(CommandError):
        carry_out(machine, cp_plan(NEWER))
    assert {PAUSE, "registry.k8s.io/pause:3.9"} <= recorded_pins(machine.node)


def test_a_replaced_image_that_is_gone_is_only_forgotten(machine: Machine) -> None:
    carry_out(machine, cp_plan(NEWER))
    record_pins(machine.node, recorded_pins(machine.node) | {"registry.k8s.io/gone:1"})
    assert carry_out(machine, cp_plan(NEWER))["images/replaced"].detail == "0 names unpinned"
    assert "registry.k8s.io/gone:1" not in recorded_pins(machine.node)


def test_a_reset_unpins_ours_and_leaves_the_site_s_and_what_containerd_pins_itself(machine: Machine) -> None:
    step = UnpinImages(ImageStore("/run/containerd/containerd.sock"), CONFIG_DUMP)
    step.apply(machine.node)
    assert pinned(machine) == {SITES, "registry.k8s.io/pause:3.9"}
    assert step.check(machine.node).satisfied


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"schema": 2, "names": ["a"]}', '{"schema": 1}'])
def test_a_record_that_cannot_be_read_claims_nothing(text: str) -> None:
    assert recorded_pins(FakeNode().with_files({RECORD_PATH: text})) == frozenset()

"""Placed binaries, text files and the node's own name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from installer.bundle.index import BundledFile
from installer.bundle.placement import Placement
from installer.errors import FormatError, IntegrityError
from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.steps.files import RECORD_DIR, PlaceFile
from installer.steps.hosts import OwnName, names
from installer.steps.textfile import TextFile
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import SmallBundle, small_bundle

BUNDLE = small_bundle()
RECORD = f"{RECORD_DIR}/containerd.json"


def item(component: str, bundle: SmallBundle = BUNDLE) -> BundledFile:
    return next(item for item in bundle.index.files if item.component == component)


def carry_out(node: FakeNode, step: Step) -> StepResult:
    return Executor(node, lambda _event: None).run(Plan((Phase("files", (step,)),)))[0]


def test_a_binary_is_placed_with_its_mode_and_proven_by_its_digest() -> None:
    node, step = FakeNode(), PlaceFile(BUNDLE, item("kubeadm"))
    assert step.check(node).changes == ("place /usr/local/bin/kubeadm",)
    assert carry_out(node, step).detail == "1.30.14, 1 file"
    found = node.stat("/usr/local/bin/kubeadm")
    assert found is not None
    assert found.mode == 0o755
    assert carry_out(node, step).outcome == "as wanted"
    assert node.files().keys() == {"/usr/local/bin/kubeadm"}, "a plain file needs no record"


def test_an_archive_s_files_are_placed_and_recorded() -> None:
    node, step = FakeNode(), PlaceFile(BUNDLE, item("containerd"))
    assert carry_out(node, step).detail == "1.7.27, 3 files"
    assert node.read_bytes("/usr/local/bin/containerd-shim-runc-v2") == b"shim"
    assert carry_out(node, step).outcome == "as wanted"


@pytest.mark.parametrize("record", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "blob": "x", "files": {}}', "null"])
def test_a_record_that_proves_nothing_has_the_files_placed_again(record: str) -> None:
    node, step = FakeNode(), PlaceFile(BUNDLE, item("containerd"))
    carry_out(node, step)
    node.with_files({RECORD: record})
    assert not step.check(node).satisfied
    assert carry_out(node, step).outcome == "changed"


def test_another_release_s_record_does_not_count() -> None:
    node = FakeNode()
    carry_out(node, PlaceFile(BUNDLE, item("containerd")))
    newer = PlaceFile(small_bundle("1.7.28"), replace(item("containerd"), blob=item("kubelet").blob))
    assert not newer.check(node).satisfied


def test_a_link_in_a_binary_s_place_is_replaced() -> None:
    node, step = FakeNode(), PlaceFile(BUNDLE, item("kubectl"))
    node.with_files({"/opt/kubectl": BUNDLE.blobs[item("kubectl").blob]})
    node.symlink("/opt/kubectl", "/usr/local/bin/kubectl")
    assert carry_out(node, step).outcome == "changed"
    found = node.stat("/usr/local/bin/kubectl")
    assert found is not None
    assert found.kind == "file"


def test_damaged_bytes_are_not_placed() -> None:
    broken = replace(BUNDLE, blobs=BUNDLE.blobs | {item("kubeadm").blob: b"other bytes"})
    node = FakeNode()
    with pytest.raises(IntegrityError):
        carry_out(node, PlaceFile(broken, item("kubeadm")))
    assert node.files() == {}


def test_an_archive_that_lacks_a_wanted_member_is_told_and_not_recorded() -> None:
    wanted = replace(
        item("crictl"), placement=Placement(0o755, None, "tar+gzip", {"critest": "/usr/local/bin/critest"})
    )
    node = FakeNode()
    with pytest.raises(FormatError, match="lacks"):
        carry_out(node, PlaceFile(BUNDLE, wanted))
    assert node.files() == {}


def test_a_text_file_is_wanted_by_bytes_and_mode() -> None:
    node, step = FakeNode(), TextFile("files/x", "/etc/x.yaml", "a: b\n", 0o600)
    assert carry_out(node, step).outcome == "changed"
    assert carry_out(node, step).outcome == "as wanted"
    node.write_file("/etc/x.yaml", b"a: b\n", mode=0o644)
    assert carry_out(node, step).outcome == "changed"


def test_the_node_s_own_name_is_added_once_and_other_lines_stay() -> None:
    node, step = FakeNode(), OwnName("cp-1", "10.0.24.31")
    node.with_files({"/etc/hosts": "127.0.0.1 localhost\n10.0.24.31 cp-10 # cp-1"})
    assert carry_out(node, step).outcome == "changed"
    assert node.read_text("/etc/hosts") == "127.0.0.1 localhost\n10.0.24.31 cp-10 # cp-1\n10.0.24.31\tcp-1\n"
    assert carry_out(node, step).outcome == "as wanted"


def test_a_name_the_node_knows_is_left_as_it_is() -> None:
    node = FakeNode().with_files({"/etc/hosts": "127.0.1.1\tcp-1.example cp-1\n"})
    assert OwnName("cp-1", "10.0.24.31").check(node).satisfied
    assert names("::1 localhost # not-me\n\n# 10.0.0.1 nor-me\n") == {"localhost"}

"""The runtime steps against a real containerd: configuration, import, pins, and the sandbox image read back."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pytest

from installer.bundle.digest import Digest
from installer.bundle.index import BundledImage
from installer.bundle.platform import Platform
from installer.errors import CommandError, IntegrityError
from installer.render import containerd as render
from installer.steps.images import ImportImages, pinned_names
from installer.steps.imagestore import ImageStore
from installer.steps.pins import UnpinReplaced, recorded_pins
from installer.steps.reset import UnpinImages
from installer.steps.runtime import CONFIG_DUMP, ContainerdConfig, effective_config
from installer.steps.sandbox import SandboxAgreement
from tests.fakes.small_bundle import PAUSE, PLATFORM, SmallBundle, small_bundle
from tests.integration.containerd_generations import Generation, every_generation
from tests.integration.containerd_lab import ContainerdLab, LabNode, carry_out
from tests.lab.profiles.mini import STAND_INS
from tests.lab.toolchain import built


def _import(lab: ContainerdLab, bundle: SmallBundle, role: str = "cp") -> ImportImages:
    return ImportImages(bundle, bundle.index.images_for(role), PLATFORM, ImageStore(lab.socket))


@every_generation
@pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
def test_every_name_is_pinned_by_as_few_programs_as_its_version_allows(
    lab: ContainerdLab, node: LabNode, containerd: Generation, snapshotter: str
) -> None:
    bundle = small_bundle()
    store = ImageStore(lab.socket, containerd.version, snapshotter)
    images = bundle.index.images_for("cp")
    carry_out(node, ImportImages(bundle, images, PLATFORM, store))
    stored = store.demand(node)
    assert all(stored[name].pinned for name in pinned_names(images))
    labelled = [words for words in node.ran if "label" in words]
    assert len(labelled) == (0 if containerd.version.startswith("2.") else len(pinned_names(images)))


def test_images_are_imported_pinned_and_left_alone_the_second_time(lab: ContainerdLab, node: LabNode) -> None:
    bundle = small_bundle()
    first = carry_out(node, _import(lab, bundle))
    assert first[0].outcome == "changed"
    assert first[0].detail.startswith("9 images")

    stored = ImageStore(lab.socket).demand(node)
    for image in bundle.index.images:
        for name in image.names():
            assert (stored[name].digest, stored[name].pinned, stored[name].whole) == (image.blob, True, True)

    node.ran.clear()
    second = carry_out(node, _import(lab, bundle))
    assert (second[0].outcome, node.ran) == ("as wanted", [])


def test_only_what_the_role_needs_is_imported(lab: ContainerdLab, node: LabNode) -> None:
    carry_out(node, _import(lab, small_bundle(), "worker"))
    stored = ImageStore(lab.socket).demand(node)
    assert not [name for name in stored if "etcd" in name or "apiserver" in name]
    assert PAUSE in stored


def test_the_sandbox_image_is_pinned_before_the_others_arrive(lab: ContainerdLab, node: LabNode) -> None:
    carry_out(node, _import(lab, small_bundle()))
    kinds = [(words[-3] if words[-3] == "label" else words[-2], words[-2]) for words in node.ran]
    assert [kind for kind, _ in kinds][:3] == ["import", "label", "label"]
    assert kinds[1][1] == PAUSE


def test_a_missing_name_and_a_missing_pin_are_mended(lab: ContainerdLab, node: LabNode) -> None:
    bundle = small_bundle()
    carry_out(node, _import(lab, bundle))
    ctr = [*lab.ctr, "images"]
    pinned = next(image for image in bundle.index.images if "etcd" in str(image.reference)).names()[1]
    subprocess.run([*ctr, "rm", pinned], check=True, capture_output=True)
    subprocess.run([*ctr, "label", PAUSE, "io.cri-containerd.pinned="], check=True, capture_output=True)
    done = carry_out(node, _import(lab, bundle))
    assert done[0].detail.startswith("1 image,")
    stored = ImageStore(lab.socket).demand(node)
    assert stored[pinned].pinned
    assert stored[PAUSE].pinned


@dataclass(frozen=True)
class _Damaged(SmallBundle):
    """A medium that turns out to be damaged while an image streams."""

    def oci_tar(
        self, images: Iterable[BundledImage], platforms: tuple[Platform, ...], later: Iterable[BundledImage] = ()
    ) -> Iterator[bytes]:
        tar = b"".join(super().oci_tar(images, platforms, later))
        yield tar[: len(tar) // 2]
        raise IntegrityError("wrong bytes", where="part 3 of 5")


def test_damage_found_while_streaming_is_told_as_damage_and_no_image_appears(lab: ContainerdLab, node: LabNode) -> None:
    whole = small_bundle()
    with pytest.raises(IntegrityError, match="wrong bytes"):
        carry_out(node, _import(lab, _Damaged(whole.index, whole.blobs)))
    assert ImageStore(lab.socket).demand(node) == {}


@every_generation
def test_import_pins_and_sandbox_image_survive_a_restart(
    lab: ContainerdLab, node: LabNode, containerd: Generation
) -> None:
    """Import, pin, the sandbox image read back from four places, restart, a second import that does nothing, unpin."""
    node.others = built(STAND_INS)  # kubeadm that lists what 1.30.14 does, crictl that asks the real CRI
    bundle = small_bundle()
    agreement = SandboxAgreement("1.30.14", _pause_of(bundle), ImageStore(lab.socket))
    config = ContainerdConfig(containerd.version, lab.settings(PAUSE))
    store = ImageStore(lab.socket)
    done = carry_out(node, _import(lab, bundle), config, agreement)
    assert [result.outcome for result in done] == ["changed", "changed", "proven"]
    assert render.sandbox_of(effective_config(node)) == PAUSE
    names = {name for image in bundle.index.images for name in image.names()}
    assert {name for name, image in store.demand(node).items() if image.whole and image.pinned} >= names

    assert lab.restart().ok, lab.log
    node.ran.clear()
    again = carry_out(node, _import(lab, bundle), config, agreement)
    assert [result.outcome for result in again] == ["as wanted", "as wanted", "proven"]
    assert node.ran == []

    newer = small_bundle(pause="registry.k8s.io/pause:3.10")
    wanted = pinned_names(newer.index.images)
    newer_config = ContainerdConfig(containerd.version, lab.settings("registry.k8s.io/pause:3.10"))
    carry_out(node, _import(lab, newer), newer_config, UnpinReplaced(store, wanted))
    assert {name for name, image in store.demand(node).items() if image.pinned and name in names | wanted} == wanted


@every_generation
def test_reset_takes_our_pins_off_and_the_daemon_keeps_that_of_its_own_sandbox_image(
    lab: ContainerdLab, node: LabNode, containerd: Generation
) -> None:
    """A pin that the daemon sets itself would come back, and the step would never be found done."""
    carry_out(node, _import(lab, small_bundle()), ContainerdConfig(containerd.version, lab.settings(PAUSE)))
    store = ImageStore(lab.socket)
    unpin = UnpinImages(store, CONFIG_DUMP)
    assert carry_out(node, unpin)[0].outcome == "changed"
    assert {name for name, image in store.demand(node).items() if image.pinned and name in recorded_pins(node)} == {
        PAUSE
    }
    assert lab.restart().ok, lab.log
    assert carry_out(node, unpin)[0].outcome == "as wanted"


@every_generation
def test_images_are_unpacked_for_another_snapshotter(lab: ContainerdLab, node: LabNode, containerd: Generation) -> None:
    settings = replace(lab.settings(None), snapshotter="native")
    node.write_file(render.CONFIG_PATH, render.config(containerd.version, settings).encode())
    assert lab.restart().ok, lab.log
    store = ImageStore(lab.socket, containerd.version, "native")
    bundle = small_bundle()
    step = ImportImages(bundle, bundle.index.images_for("cp"), PLATFORM, store)
    assert [carry_out(node, step)[0].outcome, carry_out(node, step)[0].outcome] == ["changed", "as wanted"]
    assert not ImageStore(lab.socket, containerd.version).demand(node)[PAUSE].whole, "not for overlayfs"


@every_generation
def test_the_running_daemon_uses_the_systemd_cgroup_driver(
    lab: ContainerdLab, node: LabNode, containerd: Generation
) -> None:
    carry_out(node, _import(lab, small_bundle()), ContainerdConfig(containerd.version, lab.settings(PAUSE)))
    told = re.sub(r'[\\"]', "", lab.log)
    assert re.search(r"SystemdCgroup:\s?true", told), "what the CRI says when it starts"


def _pause_of(bundle: SmallBundle) -> BundledImage:
    return next(image for image in bundle.index.images if str(image.reference) == PAUSE)


def test_witnesses_that_differ_or_cannot_be_asked_say_so(
    lab: ContainerdLab, node: LabNode, containerd: Generation
) -> None:
    bundle = small_bundle()
    pause = _pause_of(bundle)
    carry_out(node, _import(lab, bundle), ContainerdConfig(containerd.version, lab.settings(PAUSE)))
    answers = SandboxAgreement("1.30.14", pause, ImageStore(lab.socket)).answers(node)
    assert (answers["containerd config dump"], answers["image store"]) == (PAUSE, PAUSE)
    assert answers["kubeadm config images list"].startswith("does not answer")

    store = ImageStore(lab.socket)
    store.unpin(node, PAUSE)
    assert SandboxAgreement("1.30.14", pause, store).answers(node)["image store"] == f"{PAUSE} is not pinned"
    other = BundledImage(pause.reference, Digest.of(b"x"), "", pause.roles, pause.platforms, pause.source)
    answer = SandboxAgreement("1.30.14", other, store).answers(node)["image store"]
    assert answer == f"{PAUSE} at {pause.blob}"


@every_generation
def test_a_configuration_the_daemon_cannot_start_with_gives_way_to_the_old_one(
    lab: ContainerdLab, node: LabNode, containerd: Generation
) -> None:
    old = lab.config_path.read_text(encoding="utf-8")
    blocker = lab.folder / "blocker"
    blocker.write_text("a file where the new state folder should go", encoding="utf-8")
    settings = render.RuntimeSettings(PAUSE, root=f"{blocker}/root", state=f"{blocker}/state", socket=lab.socket)
    with pytest.raises(CommandError):
        carry_out(node, ContainerdConfig(containerd.version, settings))
    assert lab.config_path.read_text(encoding="utf-8") == old
    assert ImageStore(lab.socket).read(node) == {}

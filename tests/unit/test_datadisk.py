"""The data disk: an empty device is used, our own is used again, whatever holds anything is named and left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer.check import Finding
from installer.config import ClusterConfig
from installer.datadisk import LABEL, look_at, read_device
from installer.errors import InputError, StepError
from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.facts import gather
from installer.install import with_data_disk
from installer.preflight import run_checks
from installer.preflight.disk import needed_bytes
from installer.preflight.subject import Subject
from installer.render import fstab as render
from installer.settings import DataDiskSettings
from installer.steps.datadisk import DataDisk, ReleaseDataDisk
from installer.steps.fstab import KEPT
from tests.fakes.debian import ADDRESS, debian
from tests.fakes.disk import BEFORE, DEVICE, ROOT, UUID, Disk
from tests.fakes.small_bundle import small_bundle

STEP = DataDisk(DEVICE, "ext4", ROOT)


def carry_out(disk: Disk, step: Step = STEP) -> StepResult:
    return Executor(disk.node, lambda _event: None).run(Plan((Phase("disk", (step,)),)))[-1]


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_an_empty_device_is_formatted_mounted_by_uuid_and_waited_for(filesystem: str) -> None:
    disk = Disk()
    step = replace(STEP, filesystem=filesystem)
    assert len(step.check(disk.node).changes) == 4
    assert carry_out(disk, step).outcome == "changed"
    assert disk.changed() == [f"mkfs.{filesystem}", "systemctl", "mount"]
    check = "2" if filesystem == "ext4" else "0"
    line = f"UUID={UUID} {ROOT} {filesystem} defaults,nofail,{render.MARK} 0 {check}\n"
    assert disk.fstab == f"{BEFORE}\n{line}"
    assert disk.node.read_text(KEPT) == BEFORE
    assert f"RequiresMountsFor={ROOT}" in (disk.node.read_text(render.DROP_IN_PATH) or "")
    ran = len(disk.changed())
    assert carry_out(disk, step).outcome == "as wanted"
    assert len(disk.changed()) == ran


def test_our_own_from_an_earlier_install_is_taken_again_with_what_is_on_it() -> None:
    disk = Disk()
    disk.hold("xfs", LABEL)
    carry_out(disk)
    assert "mkfs.ext4" not in disk.changed()
    assert f" {ROOT} xfs " in disk.fstab


def test_another_disk_leaves_one_line_of_ours() -> None:
    disk = Disk()
    old = render.line("11111111-aaaa", ROOT, "ext4")
    disk.node.with_files({"/etc/fstab": f"{BEFORE}\n{old}\nUUID=9 /home ext4 defaults 0 2\n"})
    carry_out(disk)
    assert [entry.split()[0] for entry in disk.fstab.splitlines() if render.is_ours(entry)] == [f"UUID={UUID}"]
    assert "UUID=9 /home" in disk.fstab


def held(kind: str) -> Disk:
    disk = Disk()
    if kind in ("ext4", "vfat"):
        disk.hold(kind, "theirs")
    elif kind in ("swap", "LVM2_member", "linux_raid_member", "crypto_LUKS"):
        disk.hold(kind, usage="other")
    elif kind == "gpt":
        disk.marks, disk.tags = ("gpt", "PMBR"), {"PTTYPE": "gpt"}
    elif kind == "dos seen by blkid alone":
        disk.tags = {"PTTYPE": "dos"}
    elif kind == "partitions":
        disk.row = {"children": [{"name": "/dev/vdb11", "type": "part"}]}
    elif kind == "mounted":
        disk.mount_at("/srv")
    elif kind == "swapped on":
        disk.node.with_files({"/proc/swaps": f"Filename Type\n{DEVICE} partition 8 0 -2\n"})
    elif kind == "write protected":
        disk.row = {"ro": True}
    elif kind == "unreadable":
        disk.node.script(["wipefs", "-n", "-p", DEVICE], code=1, stderr="Permission denied")
    elif kind == "ours and a partition table":
        disk.hold("ext4", LABEL)
        disk.marks = ("ext4", "gpt")
    return disk


HELD = {
    "ext4": "ext4 'theirs'",
    "vfat": "vfat 'theirs'",
    "swap": "swap",
    "LVM2_member": "LVM2_member",
    "linux_raid_member": "linux_raid_member",
    "crypto_LUKS": "crypto_LUKS",
    "gpt": "gpt; PMBR",
    "dos seen by blkid alone": "dos",
    "partitions": "part /dev/vdb11",
    "mounted": "the mount at /srv",
    "swapped on": "swap in use",
    "write protected": "a write protection",
    "unreadable": "what cannot be read",
    "ours and a partition table": "ext4 'airgap-data'; gpt",
}


@pytest.mark.parametrize("kind", HELD)
def test_a_device_that_holds_anything_is_named_and_left_alone(kind: str) -> None:
    disk = held(kind)
    state = look_at(disk.node, DEVICE, ROOT)
    assert state.refusal is not None
    assert state.refusal[0] == f"{DEVICE} holds {HELD[kind]}"
    assert not STEP.check(disk.node).satisfied
    with pytest.raises(StepError, match="the data disk cannot be used") as caught:
        carry_out(disk)
    assert HELD[kind] in str(caught.value.got)
    assert disk.changed() == []
    assert disk.fstab == BEFORE


def test_what_appears_on_it_between_looking_and_formatting_is_left_alone() -> None:
    disk = Disk()
    assert STEP.check(disk.node).changes
    disk.hold("ext4", "theirs")
    with pytest.raises(StepError):
        STEP.apply(disk.node)
    assert disk.changed() == []


@pytest.mark.parametrize(
    ("prepare", "seen"),
    [
        (lambda disk: disk.node.with_files({f"{ROOT}/io.containerd.content.v1.content/x": "x"}), f"{ROOT} holds io.c"),
        (lambda disk: disk.node.with_files({"/etc/fstab": f"UUID=7 {ROOT}/ ext4 defaults 0 2\n"}), "UUID=7"),
        (lambda disk: (disk.hold("ext4", LABEL), disk.mount_at("/srv")), f"{DEVICE} is mounted at /srv"),
        (lambda disk: disk.node.script(["lsblk"], "", code=32), ""),
    ],
)
def test_what_would_be_hidden_or_is_used_elsewhere_is_refused(prepare: Any, seen: str) -> None:
    disk = Disk()
    if seen:
        prepare(disk)
        state = look_at(disk.node, DEVICE, ROOT)
    else:
        state = look_at(disk.node, "/dev/nope", ROOT)
        seen = "/dev/nope is no block device here"
    assert state.refusal is not None
    assert state.refusal[0].startswith(seen)
    assert all(state.refusal)


def test_lost_and_found_is_no_content() -> None:
    disk = Disk()
    disk.node.make_dir(f"{ROOT}/lost+found")
    assert look_at(disk.node, DEVICE, ROOT).refusal is None


def test_reset_unmounts_it_takes_the_line_out_and_leaves_the_file_system() -> None:
    disk = Disk()
    carry_out(disk)
    assert len(ReleaseDataDisk().check(disk.node).changes) == 2
    assert carry_out(disk, ReleaseDataDisk()).outcome == "changed"
    assert disk.fstab == f"{BEFORE}\n"
    assert disk.changed()[-2:] == ["umount", "systemctl"]
    device = read_device(disk.node, DEVICE)
    assert device is not None
    assert (device.is_ours, device.mounts) == (True, ())
    assert carry_out(disk, ReleaseDataDisk()).outcome == "as wanted"
    assert carry_out(disk).outcome == "changed"


def finding(disk: Disk, config: ClusterConfig, name: str, **facts: Any) -> Finding:
    machine = debian()
    found = replace(gather(machine.node), data_disk=look_at(disk.node, DEVICE, ROOT), **facts)
    subject = Subject(found, small_bundle().index, "cp", config, ADDRESS, joins=False)
    return next(item for item in run_checks(subject) if item.name == name)


def test_preflight_says_what_becomes_of_it() -> None:
    config = ClusterConfig(data_disk=DataDiskSettings(DEVICE))
    disk = Disk()
    assert finding(disk, config, "data-disk").seen == "/dev/vdb1, 20000.0 MB: empty, becomes ext4"
    disk.hold("ext4", LABEL)
    assert "used again" in finding(disk, config, "data-disk").seen
    disk.hold("ext4", "theirs")
    judged = finding(disk, config, "data-disk")
    assert (judged.level, judged.seen) == ("problem", "/dev/vdb1 holds ext4 'theirs'")


def test_preflight_wants_room_for_the_images_and_the_tools() -> None:
    config = ClusterConfig(data_disk=DataDiskSettings(DEVICE, "xfs"))
    judged = finding(Disk(row={"size": 1000}), config, "data-disk")
    assert (judged.level, judged.why.startswith("the images alone need")) == ("problem", True)
    tools = dict(gather(debian().node).tools) | {"mkfs.xfs": None}
    assert "missing mkfs.xfs" in finding(Disk(), config, "data-disk", tools=tools).seen


def test_the_images_do_not_count_against_the_disk_they_do_not_go_to() -> None:
    config = ClusterConfig(data_disk=DataDiskSettings(DEVICE))
    plain = gather(debian().node)
    disk = Disk()
    index = small_bundle().index
    without = Subject(plain, index, "cp", ClusterConfig(), ADDRESS, joins=False)
    coming = Subject(replace(plain, data_disk=look_at(disk.node, DEVICE, ROOT)), index, "cp", config, ADDRESS, False)
    assert sum(needed_bytes(coming).values()) < sum(needed_bytes(without).values())


def test_the_command_line_names_the_disk_and_cluster_yaml_its_file_system() -> None:
    config = ClusterConfig.from_text("dataDisk: {device: /dev/sdc, filesystem: xfs}", where="cluster.yaml")
    assert config.data_disk == DataDiskSettings("/dev/sdc", "xfs")
    assert with_data_disk(config, None) == config
    assert with_data_disk(config, DEVICE).data_disk == DataDiskSettings(DEVICE, "xfs")
    assert with_data_disk(ClusterConfig(), DEVICE).data_disk == DataDiskSettings(DEVICE, "ext4")
    with pytest.raises(InputError, match="not a block device's path"):
        with_data_disk(config, "vdb1")


@pytest.mark.parametrize(
    "text", ["{}", "{device: vdb}", "{device: /dev/../etc/fstab}", "{device: /dev/sdb, filesystem: btrfs}"]
)
def test_a_data_disk_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        ClusterConfig.from_text(f"dataDisk: {text}", where="cluster.yaml")
    assert "dataDisk." in str(caught.value.got)

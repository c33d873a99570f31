"""Lab machines run by QEMU, on the processor itself (KVM) or translated (TCG), with Debian's own cloud kernel."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import BinaryIO, Literal

from tests.lab.cache import cached, key_of
from tests.lab.commands import run
from tests.lab.debian import candidates, unpacked
from tests.lab.errors import LabError
from tests.lab.hardware import KERNEL_ARGUMENTS, Hardware, Running, starts, while_we_live
from tests.lab.kernel import INIT, Kernel, make_initrd

Accelerator = Literal["kvm", "tcg"]
KERNEL_PACKAGE = "linux-image-cloud-amd64"
KVM_TRIAL_SECONDS = 5.0
# TCG pays for every look at a clock outside the processor.
ARGUMENTS = "console=ttyS0 tsc=reliable clocksource=tsc"
ACCELERATORS = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    "tcg": ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,la57=off"],
}
BARE = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]

# In the order they must be loaded; everything else the root needs is in Debian's kernel itself.
DISK_MODULES = (
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
)


def kernel() -> Kernel:
    """Debian's cloud kernel, as apt has it today."""
    package = _kernel_package()
    version = candidates([package])[package]
    return Kernel(cached("kernel", key_of(Path(__file__), INIT, package, version), _take))


def _take(folder: Path) -> None:
    package = unpacked([_kernel_package()])
    shutil.copy(next((package / "boot").glob("vmlinuz-*")), folder / "kernel")
    shutil.copytree(package / "lib" / "modules", folder / "root" / "lib" / "modules")
    (folder / "root" / "boot").mkdir()
    shutil.copy(next((package / "boot").glob("config-*")), folder / "root" / "boot")
    modules = next((package / "lib" / "modules").iterdir()) / "kernel"
    make_initrd(folder / "initrd.gz", [modules / name for name in DISK_MODULES])


def _kernel_package() -> str:
    """The package that holds the kernel: what the meta package depends on today."""
    for line in run(["apt-cache", "depends", "--important", KERNEL_PACKAGE]).splitlines():
        name = line.partition("Depends: ")[2].strip()
        if name.startswith("linux-image-"):
            return name
    raise LabError("apt knows no kernel", where=KERNEL_PACKAGE, next_step="apt-get update")


def kvm_works(kernel: Kernel) -> bool:
    """Whether a guest under KVM comes as far as our first process within a few seconds."""
    argv = ["qemu-system-x86_64", *ACCELERATORS["kvm"], "-m", "512", *BARE]
    argv += ["-kernel", str(kernel.program), "-initrd", str(kernel.initrd)]
    argv += ["-append", f"{KERNEL_ARGUMENTS} {ARGUMENTS}", "-serial", "stdio"]
    return starts(argv, KVM_TRIAL_SECONDS)


def boot(accelerator: Accelerator, kernel: Kernel, hardware: Hardware, messages: BinaryIO) -> Running:
    """Switch ``hardware`` on; what QEMU itself has to say goes to ``messages``."""
    agent = hardware.sockets / "agent"
    argv = ["qemu-system-x86_64", "-name", hardware.name, *ACCELERATORS[accelerator], *BARE]
    argv += ["-smp", str(hardware.cpus), "-m", f"{hardware.memory_bytes >> 20}M", "-rtc", "base=utc"]
    argv += ["-kernel", str(kernel.program), "-initrd", str(kernel.initrd)]
    argv += ["-append", f"{hardware.arguments} {ARGUMENTS}", "-serial", f"file:{hardware.console}"]
    for number, disk in enumerate(hardware.disks):
        argv += ["-drive", f"file={_overlay(hardware, number, disk)},format=qcow2,if=virtio,cache=unsafe,discard=unmap"]
    argv += ["-device", "virtio-rng-pci", "-device", "virtio-serial"]
    argv += ["-chardev", f"socket,id=agent,path={agent},server=on,wait=off"]
    argv += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
    argv += ["-netdev", _network(hardware), "-device", f"virtio-net-pci,netdev=lab,mac={hardware.mac}"]
    process = subprocess.Popen(
        while_we_live(argv), stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, start_new_session=True
    )
    return Running(process, lambda: _connected(agent))


def _overlay(hardware: Hardware, number: int, disk: Path) -> Path:
    overlay = hardware.overlay(number)
    if not overlay.exists():
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk.resolve()), str(overlay)])
    return overlay


def _network(hardware: Hardware) -> str:
    ours, theirs = hardware.ours, hardware.theirs
    return f"dgram,id=lab,local.type=unix,local.path={theirs},remote.type=unix,remote.path={ours}"


def _connected(path: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.connect(str(path))
    except OSError:
        line.close()
        raise
    return line

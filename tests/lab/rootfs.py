"""The disk a lab node starts from: a bare Debian root, its kernel and a small initrd, built once and cached.

The packages come from the Debian sources this machine is already configured for. The node has systemd and what
Kubernetes asks of a host, and neither Python, nor zstd, nor a name server.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cache import cached, key_of
from tests.lab.commands import run
from tests.lab.debian import unpacked
from tests.lab.errors import LabError
from tests.lab.progress import timed
from tests.lab.suites import debian_sources

HERE = Path(__file__).parent
NODE_FILES = HERE / "node"
NODE_PACKAGES = HERE / "node-packages.txt"
SUITE = "bookworm"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
IMAGE_SIZE = "24G"  # sparse: only what is written takes room

# In the order they must be loaded; everything else the root needs is in Debian's kernel itself.
DISK_MODULES = (
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
)


@dataclass(frozen=True)
class NodeRoot:
    """What every machine boots: a raw ext4 image (never written to), the kernel and the initrd."""

    image: Path
    kernel: Path
    initrd: Path


def node_root() -> NodeRoot:
    """The node root for the present package list and scripts, built when the cache has none."""
    folder = cached("node", key_of(Path(__file__), NODE_PACKAGES, NODE_FILES), _build)
    return NodeRoot(folder / "root.ext4", folder / "vmlinuz", folder / "initrd.gz")


def _build(folder: Path) -> None:
    with timed("node", "a bare Debian root for the machines"):
        kernel = unpacked([_kernel_package()])
        shutil.copy(next((kernel / "boot").glob("vmlinuz-*")), folder / "vmlinuz")
        _make_initrd(kernel, folder)
        _make_image(kernel, folder / "root.ext4")


def _make_image(kernel: Path, image: Path) -> None:
    packages = ",".join(NODE_PACKAGES.read_text().split())
    environment = {
        "LAB_FILES": str(NODE_FILES),
        "LAB_KERNEL": str(kernel),
        "LAB_IMAGE": str(image),
        "LAB_IMAGE_SIZE": IMAGE_SIZE,
    }
    argv = ["mmdebstrap", "--quiet", "--format=null", "--variant=minbase", "--skip=cleanup", f"--include={packages}"]
    argv += [f'--customize-hook="{NODE_FILES / "customize"}" "$1"', SUITE, "/dev/null", *_debian_sources()]
    run(argv, env=environment, hint="apt-get update")


def _debian_sources() -> list[str]:
    """The Debian sources of this machine's apt that belong to the node's suite, as one-line entries."""
    found = [source.entry for source in debian_sources() if source.release.split("-")[0] == SUITE]
    if not found:
        raise LabError(f"apt has no package lists of Debian {SUITE}", next_step="apt-get update")
    return found


def _kernel_package() -> str:
    """The package that holds the kernel: what the meta package depends on today."""
    for line in run(["apt-cache", "depends", "--important", KERNEL_PACKAGE]).splitlines():
        name = line.partition("Depends: ")[2].strip()
        if name.startswith("linux-image-"):
            return name
    raise LabError("apt knows no kernel", where=KERNEL_PACKAGE, next_step="apt-get update")


def _make_initrd(kernel: Path, folder: Path) -> None:
    """A gzip'd cpio archive of busybox, the disk driver and our first process; boots faster than Debian's own."""
    tree = folder / "initrd"
    for name in ("bin", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(unpacked(["busybox-static"]) / "bin" / "busybox", tree / "bin")
    shutil.copy(NODE_FILES / "init", tree)
    modules = next((kernel / "lib" / "modules").iterdir()) / "kernel"
    for module in DISK_MODULES:
        shutil.copy(modules / module, tree / "modules")
    (tree / "modules" / "order").write_text("".join(f"{Path(module).name}\n" for module in DISK_MODULES))
    archive = "find . -print0 | cpio --quiet --null -o -H newc -R 0:0 | gzip -1 >../initrd.gz"
    run(["sh", "-ec", archive], cwd=tree)
    shutil.rmtree(tree)

"""The disk a lab node starts from: a bare Debian root, its kernel and a small initrd, built once and cached.

The packages come from the Debian sources this machine is already configured for. The node has systemd and what
Kubernetes asks of a host, and neither Python, nor zstd, nor a name server.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NODE_FILES = HERE / "node"
NODE_PACKAGES = HERE / "node-packages.txt"
SUITE = "bookworm"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
IMAGE_SIZE = "24G"  # sparse: only what is written takes room
BUILD_TIMEOUT_SECONDS = 900.0

# In the order they must be loaded; everything else the root needs is in Debian's kernel itself.
DISK_MODULES = (
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
)


class LabError(Exception):
    """The lab itself did not work (not what it tests); the message says what and where to look."""


@dataclass(frozen=True)
class NodeRoot:
    """What every machine boots: a raw ext4 image (never written to), the kernel and the initrd."""

    image: Path
    kernel: Path
    initrd: Path


def cache_folder() -> Path:
    """Where the lab keeps what takes long to make: ``$XDG_CACHE_HOME/airgap-bundle-lab``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "airgap-bundle-lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, so that two runs do not build the same thing at once."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def node_root(cache: Path | None = None) -> NodeRoot:
    """The node root for the present package list and scripts, built when the cache has none."""
    cache = cache or cache_folder()
    folder = cache / f"node-{_key()}"
    with locked(cache / "node.lock"):
        if not folder.is_dir():
            _build(cache, folder)
    return NodeRoot(folder / "root.ext4", folder / "vmlinuz", folder / "initrd.gz")


def _key() -> str:
    """A short name for everything the root is made from, except the Debian versions of the day."""
    inputs = hashlib.sha256()
    for path in [Path(__file__), NODE_PACKAGES, *sorted(NODE_FILES.iterdir())]:
        inputs.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return inputs.hexdigest()[:16]


def _build(cache: Path, folder: Path) -> None:
    """Build into a folder of its own and rename, so that a broken-off build is never taken for a whole one."""
    with tempfile.TemporaryDirectory(prefix="node-", dir=cache) as scratch:
        work = Path(scratch)
        made = work / "made"
        made.mkdir()
        unpacked = work / "kernel"
        _unpack_package(_kernel_package(), work, unpacked)
        _unpack_package("busybox-static", work, work / "busybox")
        shutil.copy(next((unpacked / "boot").glob("vmlinuz-*")), made / "vmlinuz")
        _make_initrd(unpacked, work / "busybox" / "bin" / "busybox", made / "initrd.gz", work / "initrd")
        _make_image(unpacked, made / "root.ext4", work / "mmdebstrap.log")
        made.rename(folder)


def _make_image(kernel: Path, image: Path, log: Path) -> None:
    packages = ",".join(NODE_PACKAGES.read_text().split())
    environment = os.environ | {
        "LAB_FILES": str(NODE_FILES),
        "LAB_KERNEL": str(kernel),
        "LAB_IMAGE": str(image),
        "LAB_IMAGE_SIZE": IMAGE_SIZE,
    }
    argv = ["mmdebstrap", "--format=null", "--variant=minbase", "--skip=cleanup", f"--include={packages}"]
    argv += [f'--customize-hook="{NODE_FILES / "customize"}" "$1"', SUITE, "/dev/null", *_debian_sources()]
    with log.open("wb") as output:
        done = subprocess.run(
            argv, env=environment, stdout=output, stderr=output, timeout=BUILD_TIMEOUT_SECONDS, check=False
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise LabError(f"mmdebstrap could not make the node root (exit code {done.returncode}):\n{tail}")


def _debian_sources() -> list[str]:
    """The Debian sources of this machine's apt that belong to the node's suite, as one-line entries."""
    line = "$(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)"
    argv = ["apt-get", "indextargets", "--format", line, "Created-By: Packages"]
    rows = (row.split() for row in _output(argv).splitlines())
    entries = [
        f"deb {uri} {release} {component}"
        for origin, release, component, uri in (row for row in rows if len(row) == 4)
        if origin == "Debian" and release.split("-")[0] == SUITE
    ]
    if not entries:
        raise LabError(f"apt has no package lists of Debian {SUITE}; run: apt-get update")
    return entries


def _kernel_package() -> str:
    """The package that holds the kernel: what the meta package depends on today."""
    for line in _output(["apt-cache", "depends", "--important", KERNEL_PACKAGE]).splitlines():
        name = line.partition("Depends: ")[2].strip()
        if name.startswith("linux-image-"):
            return name
    raise LabError(f"apt knows no kernel behind {KERNEL_PACKAGE}; run: apt-get update")


def _unpack_package(package: str, work: Path, target: Path) -> None:
    """Download one Debian package through apt and unpack its files below ``target``; nothing is installed."""
    download = work / f"download-{package}"
    download.mkdir()
    _output(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], folder=download)
    _output(["dpkg-deb", "-x", str(next(download.glob("*.deb"))), str(target)])


def _make_initrd(kernel: Path, busybox: Path, initrd: Path, tree: Path) -> None:
    """A gzip'd cpio archive of busybox, the disk driver and our first process; boots faster than Debian's own."""
    for folder in ("bin", "modules"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin" / "busybox")
    shutil.copy(NODE_FILES / "init", tree / "init")
    modules = next((kernel / "lib" / "modules").iterdir()) / "kernel"
    for module in DISK_MODULES:
        shutil.copy(modules / module, tree / "modules")
    (tree / "modules" / "order").write_text("".join(f"{Path(module).name}\n" for module in DISK_MODULES))
    archive = 'cd "$1" && find . -print0 | cpio --quiet --null -o -H newc -R 0:0 | gzip -1 >"$2"'
    _output(["sh", "-ec", archive, "initrd", str(tree), str(initrd)])


def _output(argv: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise LabError(f"{argv[0]} failed (exit code {done.returncode}): {done.stderr.strip()[-500:]}")
    return done.stdout

"""The disk a lab node starts from: a bare Debian root, built once for a kernel and cached.

The packages come from the Debian sources this machine is already configured for. The node has systemd and what
Kubernetes asks of a host, and neither Python, nor zstd, nor a name server.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.accelerator import host
from tests.lab.cache import cached, key_of
from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.kernel import Kernel
from tests.lab.progress import timed
from tests.lab.suites import debian_sources

HERE = Path(__file__).parent
NODE_FILES = HERE / "node"
NODE_PACKAGES = HERE / "node-packages.txt"
SUITE = "bookworm"
IMAGE_SIZE = "24G"  # sparse: only what is written takes room


def node_root() -> Path:
    """The raw ext4 image every machine starts from and never writes to, with the modules of its kernel."""
    kernel = host().kernel
    key = key_of(Path(__file__), NODE_PACKAGES, NODE_FILES, kernel.folder.name)
    return cached("node", key, lambda folder: _build(kernel, folder)) / "root.ext4"


def _build(kernel: Kernel, folder: Path) -> None:
    with timed("node", "a bare Debian root for the machines"):
        _make_image(kernel.root, folder / "root.ext4")


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

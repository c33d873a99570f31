"""A kernel for lab nodes, and the small initrd that gives a node its identity before Debian starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import run
from tests.lab.debian import unpacked

INIT = Path(__file__).parent / "node" / "init"


@dataclass(frozen=True)
class Kernel:
    """A folder of the cache: ``kernel`` to start, ``initrd.gz``, and in ``root`` what the node's root gets of it."""

    folder: Path

    @property
    def program(self) -> Path:
        """What is started: an image for QEMU, a program of this machine for User-Mode Linux."""
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        """The first root, whose first process is ``node/init``."""
        return self.folder / "initrd.gz"

    @property
    def root(self) -> Path:
        """``boot/config-RELEASE`` and ``lib/modules/RELEASE``."""
        return self.folder / "root"


def make_initrd(archive: Path, modules: Sequence[Path] = ()) -> None:
    """A gzip'd cpio archive of busybox, ``modules`` in this order and our first process; boots faster than Debian's."""
    tree = archive.with_suffix(".tree")
    for name in ("bin", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(unpacked(["busybox-static"]) / "bin" / "busybox", tree / "bin")
    shutil.copy(INIT, tree)
    for module in modules:
        shutil.copy(module, tree / "modules")
    (tree / "modules" / "order").write_text("".join(f"{module.name}\n" for module in modules))
    run(["sh", "-ec", f"find . -print0 | cpio --quiet --null -o -H newc -R 0:0 | gzip -1 >'{archive}'"], cwd=tree)
    shutil.rmtree(tree)

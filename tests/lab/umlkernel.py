"""The kernel of lab machines that run by User-Mode Linux: Debian's source, our configuration, and our few changes.

Debian's own build has no cpusets and one processor, and kubeadm demands more.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from tests.lab.cache import cache_root, cached, key_of
from tests.lab.commands import run
from tests.lab.kernel import INIT, Kernel, make_initrd
from tests.lab.progress import timed
from tests.lab.suites import unpacked_from

OURS = Path(__file__).parent / "uml-kernel"
CONFIG = OURS / "kernel.config"
SOURCE_SUITE, SOURCE_PACKAGE = "sid", "linux-source-7.2"


def kernel() -> Kernel:
    """The kernel for the present configuration; compiled, in about ten minutes, when the cache has none."""
    return Kernel(cached("kernel", _key(), _compile))


def kernel_is_there() -> bool:
    """Whether :func:`kernel` would compile nothing."""
    return (cache_root() / "kernel" / _key()).is_dir()


def _key() -> str:
    return "uml-" + key_of(Path(__file__), INIT, OURS, SOURCE_PACKAGE, platform.machine())


def _compile(folder: Path) -> None:
    source = next((unpacked_from(SOURCE_SUITE, SOURCE_PACKAGE) / "usr" / "src").glob("linux-source-*.tar.xz"))
    tree = folder / "source"
    tree.mkdir()
    jobs = f"-j{os.cpu_count() or 1}"
    make = ["make", "-s", "ARCH=um", jobs, "-C", str(tree)]
    with timed("kernel", "compiling User-Mode Linux for the machines (about ten minutes, once)"):
        run(["tar", "-xf", str(source), "--strip-components=1", "-C", str(tree)])
        _changed(tree)
        run([*make, f"KCONFIG_ALLCONFIG={CONFIG}", "allnoconfig"])
        run([*make, "linux", "modules"])
        run([*make, f"INSTALL_MOD_PATH={folder / 'root'}", "INSTALL_MOD_STRIP=1", "modules_install"])
    release = next((folder / "root" / "lib" / "modules").iterdir()).name
    (folder / "root" / "boot").mkdir()
    shutil.copy(tree / ".config", folder / "root" / "boot" / f"config-{release}")
    for link in ("build", "source"):
        (folder / "root" / "lib" / "modules" / release / link).unlink(missing_ok=True)
    shutil.copy(tree / "linux", folder / "kernel")
    shutil.rmtree(tree)
    make_initrd(folder / "initrd.gz")


def _changed(tree: Path) -> None:
    """Put our changes into the source; an error where it is not the source they were written for.

    ``git apply`` wants every line around a change as it was; outside a repository it needs to be told that it is.
    """
    for patch in sorted(OURS.glob("*.patch")):
        run(["git", "apply", str(patch)], cwd=tree, env={"GIT_CEILING_DIRECTORIES": str(tree.parent)})

"""Which way this machine can run other machines, and with which kernel; found out once and remembered.

``kvm`` where it runs an ordinary guest; else ``uml`` (User-Mode Linux) once its kernel was compiled; else ``tcg``.
LAB_ACCELERATOR names one of them and nothing is tried.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal, get_args

from tests.lab import qemu, uml, umlkernel
from tests.lab.cache import cache_root
from tests.lab.errors import LabError
from tests.lab.hardware import Hardware, Running
from tests.lab.kernel import Kernel
from tests.lab.progress import say

Accelerator = Literal["kvm", "uml", "tcg"]
VARIABLE = "LAB_ACCELERATOR"


@dataclass(frozen=True)
class Host:
    """The way to run machines here."""

    accelerator: Accelerator
    kernel: Kernel

    def boot(self, hardware: Hardware, messages: BinaryIO) -> Running:
        """Switch a machine on."""
        if self.accelerator == "uml":
            return uml.boot(self.kernel, hardware, messages)
        return qemu.boot(self.accelerator, self.kernel, hardware, messages)


@functools.cache
def host() -> Host:
    """The fastest way this machine has without compiling anything."""
    accelerator = _wanted() or _fastest()
    return Host(accelerator, umlkernel.kernel() if accelerator == "uml" else qemu.kernel())


def prepare() -> Host:
    """:func:`host`, after compiling the kernel of User-Mode Linux where that is faster than what there is."""
    if not _wanted() and not _kvm_works() and platform.machine() == "x86_64" and not umlkernel.kernel_is_there():
        host.cache_clear()
        try:
            umlkernel.kernel()
        except LabError as error:
            say("kernel", f"User-Mode Linux cannot be compiled here, the machines are translated: {error.message}")
    return host()


def _wanted() -> Accelerator | None:
    for name in get_args(Accelerator):
        if os.environ.get(VARIABLE) == name:
            return name  # type: ignore[no-any-return]
    if os.environ.get(VARIABLE):
        raise LabError("unknown way to run machines", where=VARIABLE, got=os.environ[VARIABLE], wanted="kvm, uml, tcg")
    return None


def _fastest() -> Accelerator:
    if _kvm_works():
        return "kvm"
    if umlkernel.kernel_is_there() and _remembered(
        f"uml-{umlkernel.kernel().folder.name}", lambda: uml.works(umlkernel.kernel())
    ):
        return "uml"
    return "tcg"


def _kvm_works() -> bool:
    device = os.access("/dev/kvm", os.R_OK | os.W_OK)
    return device and _remembered("kvm", lambda: qemu.kvm_works(qemu.kernel()))


def _remembered(what: str, judge: Callable[[], bool]) -> bool:
    """The verdict of ``judge``, which takes seconds, for the kernel this machine runs now."""
    note = cache_root() / f"accelerator-{what}-{os.uname().release}"
    if not note.exists():
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("works" if judge() else "does not")
    return note.read_text() == "works"

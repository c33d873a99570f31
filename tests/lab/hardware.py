"""What a lab machine is made of, whoever runs it: the words that ``qemu`` and ``uml`` have in common."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# A throwaway node has nothing to protect, and emulation pays for every switch of page tables and guarded jump.
KERNEL_ARGUMENTS = "loglevel=5 net.ifnames=0 mitigations=off nopti systemd.show_status=0"


@dataclass(frozen=True)
class Hardware:
    """One machine. ``disks`` are images nobody writes to; what the machine writes goes to overlays in ``folder``.

    ``ours`` and ``theirs`` are the datagram sockets of its network card: the switch's and the machine's.
    """

    name: str
    address: str
    folder: Path
    sockets: Path
    memory_bytes: int
    cpus: int
    disks: tuple[Path, ...]
    ours: Path
    theirs: Path

    @property
    def digest(self) -> str:
        """What makes this machine itself, in 64 hexadecimal digits."""
        return hashlib.sha256(f"{self.name} {self.folder}".encode()).hexdigest()

    @property
    def mac(self) -> str:
        """A locally administered address; two machines of one run never share it."""
        return "52:54:00:" + ":".join(self.digest[start : start + 2] for start in (32, 34, 36))

    @property
    def arguments(self) -> str:
        """The kernel's command line: how it runs, and who it is (read by ``node/init``)."""
        identity = f"lab.name={self.name} lab.address={self.address} systemd.machine_id={self.digest[:32]}"
        return f"{KERNEL_ARGUMENTS} {identity}"

    @property
    def console(self) -> Path:
        """Where the machine's console output goes."""
        return self.folder / f"{self.name}.console"

    def overlay(self, number: int) -> Path:
        """The file for what the machine writes to disk ``number``."""
        return self.folder / f"{self.name}.disk{number}"


@dataclass(frozen=True)
class Running:
    """A machine that was switched on, and how to open the line to its agent (once the machine listens)."""

    process: subprocess.Popen[bytes]
    line: Callable[[], socket.socket]

    def power_off(self) -> None:
        """Pull the plug: all the processes that are this machine end at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def while_we_live(argv: Sequence[str]) -> list[str]:
    """``argv`` so that it is killed when this process ends, however that comes about."""
    return ["setpriv", "--pdeathsig", "KILL", *argv]


def starts(argv: Sequence[str], timeout_seconds: float) -> bool:
    """Whether ``argv``, which runs a machine with its console on standard output, comes to our first process."""
    with tempfile.TemporaryFile() as console:
        guest = subprocess.Popen(
            while_we_live(argv),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            guest.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(guest.pid, signal.SIGKILL)
            guest.wait()
        console.seek(0)
        return b"lab-init: " in console.read()

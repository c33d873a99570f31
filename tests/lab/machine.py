"""A lab node: a virtual machine started from the pristine node root, on the lab's private network only.

Everything written in the machine goes to overlays of its own and is gone with the machine's folder.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.lab.accelerator import host
from tests.lab.agent import Completed, GuestAgent
from tests.lab.errors import LabError
from tests.lab.hardware import Hardware, Running
from tests.lab.rootfs import node_root
from tests.lab.switch import Switch

BOOT_SECONDS = 240.0
COMMAND_SECONDS = 120.0
MEDIA_LABEL = "MEDIA"
MEDIA_MOUNT = "/media/usb"
MEDIA_SPARE_BYTES = 32 << 20


def media_disk(folder: Path, image: Path) -> Path:
    """Make ``image``, an ext4 disk labelled as our medium, holding ``folder`` under its own name."""
    with tempfile.TemporaryDirectory(dir=image.parent) as scratch:
        stick = Path(scratch) / "stick"
        shutil.copytree(folder, stick / folder.name, copy_function=os.link)
        size_bytes = sum(path.stat().st_size for path in stick.rglob("*") if path.is_file())
        size_bytes += size_bytes // 20 + MEDIA_SPARE_BYTES
        argv = ["mke2fs", "-q", "-t", "ext4", "-F", "-O", "^has_journal", "-m", "0", "-L", MEDIA_LABEL]
        argv += ["-d", str(stick), str(image), f"{size_bytes // 1024}k"]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=600)
    return image


@dataclass(frozen=True)
class Attempts:
    """What a machine tried that its network cannot do, as its own kernel counted since it started."""

    without_route: int
    look_ups: int


class Machine:
    """One virtual machine. Use it as a context: it is powered off hard at the end, its folder stays for evidence."""

    def __init__(
        self,
        name: str,
        address: str,
        switch: Switch,
        folder: Path,
        *,
        memory_bytes: int = 2 << 30,
        cpus: int = 2,
        disks: Sequence[Path] = (),
    ) -> None:
        """``address`` is the static address with its prefix length; ``folder`` takes logs and the disk overlay."""
        self.name = name
        self.address = address.partition("/")[0]
        self.log = folder / f"{name}.log"
        self._cidr = address
        self._switch = switch
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._cpus = cpus
        self._disks = tuple(disks)
        self._running: Running | None = None
        self._sockets = Path(tempfile.mkdtemp(prefix="lab-"))  # short: a socket's path has room for 107 bytes
        self._agent = GuestAgent(self._line, self.running)

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_off()
        for number in range(1 + len(self._disks)):
            self._hardware.overlay(number).unlink(missing_ok=True)
        shutil.rmtree(self._sockets, ignore_errors=True)

    @functools.cached_property
    def _hardware(self) -> Hardware:
        ours, theirs = self._switch.port(self.name)
        return Hardware(
            self.name,
            self._cidr,
            self._folder,
            self._sockets,
            self._memory_bytes,
            self._cpus,
            (node_root(), *self._disks),
            ours,
            theirs,
        )

    def start(self) -> None:
        """Switch the machine on and wait until commands run in it."""
        with (self._folder / f"{self.name}.host").open("ab") as messages:
            self._running = host().boot(self._hardware, messages)
        try:
            self._agent.connect(BOOT_SECONDS)
        except LabError as error:
            self.power_off()
            raise LabError(error.message, where=self.name, got=self._console_tail()) from error

    def power_off(self) -> None:
        """Pull the plug."""
        self._agent.close()
        if self._running is not None:
            self._running.power_off()
            self._running = None

    def running(self) -> bool:
        """Whether the machine is on."""
        return self._running is not None and self._running.process.poll() is None

    def _line(self) -> socket.socket:
        if self._running is None:
            raise LabError("the machine is off", where=self.name)
        return self._running.line()

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_seconds: float = COMMAND_SECONDS,
        on_output: Callable[[bytes], None] = lambda data: None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a shell script (text) or an argv as root; all output also goes to the machine's log as it comes."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        with self.log.open("ab", buffering=0) as log:
            log.write(f"\n[{time.strftime('%H:%M:%S')}] {self.name}# {shlex.join(argv)}\n".encode())

            def both(data: bytes) -> None:
                log.write(data)
                on_output(data)

            done = self._agent.run(argv, timeout_seconds=timeout_seconds, on_output=both, environment=environment)
            log.write(f"[exit code {done.code}, {done.seconds:.1f} s]\n".encode())
        return done

    def must(self, command: str | Sequence[str], *, timeout_seconds: float = COMMAND_SECONDS) -> str:
        """Run a command that has to work; its standard output."""
        done = self.run(command, timeout_seconds=timeout_seconds)
        if done.code != 0:
            raise LabError("a command failed", where=f"{self.name}: {shlex.join(done.argv)}", got=done.ending())
        return done.stdout

    def read(self, path: str) -> bytes:
        """A small file of the machine."""
        return self._agent.read(path)

    def write(self, path: str, data: bytes) -> None:
        """Put a small file into the machine."""
        self._agent.write(path, data)

    def mount_media(self) -> str:
        """Mount the medium read-only and say where."""
        self.must(f"mkdir -p {MEDIA_MOUNT} && mount -o ro -L {MEDIA_LABEL} {MEDIA_MOUNT}")
        return MEDIA_MOUNT

    def attempts(self) -> Attempts:
        """Packets the kernel had no route for, and name look-ups it had nobody to send to."""
        rows = [row.split() for row in self.read("/proc/net/snmp").decode().splitlines() if row.startswith("Ip:")]
        without_route = int(dict(zip(*rows, strict=True))["OutNoRoutes"])
        look_ups = self.must("iptables -t raw -L OUTPUT -v -x -n | awk '/lab-lookups/ {print $1}'")
        return Attempts(without_route, int(look_ups))

    def _console_tail(self) -> str:
        console = self._hardware.console
        if not console.exists():
            return "no console output"
        return "\n".join(console.read_text(errors="replace").splitlines()[-20:])

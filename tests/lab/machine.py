"""A lab node: a QEMU machine started from the pristine node root, on the lab's private network only.

KVM is used where it runs ordinary guests, QEMU's own translation (TCG) where not. Everything written in the machine
goes to an overlay of its own and is gone with the machine's folder.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.lab.agent import Completed, GuestAgent
from tests.lab.cache import cache_root
from tests.lab.errors import LabError
from tests.lab.rootfs import NodeRoot, node_root
from tests.lab.switch import Switch

BOOT_SECONDS = 240.0
KVM_TRIAL_SECONDS = 5.0
COMMAND_SECONDS = 120.0
MEDIA_LABEL = "MEDIA"
MEDIA_MOUNT = "/media/usb"
MEDIA_SPARE_BYTES = 32 << 20

# TCG pays for every switch of page tables, every guarded jump and every look at a clock outside the processor; a
# throwaway node has nothing to protect.
KERNEL_ARGUMENTS = (
    "console=ttyS0 loglevel=5 net.ifnames=0 mitigations=off nopti tsc=reliable clocksource=tsc systemd.show_status=0"
)
ACCELERATORS = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    "tcg": ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,la57=off"],
}


@functools.cache
def accelerator() -> str:
    """``kvm`` when this machine's KVM starts our kernel within a few seconds, else ``tcg``; remembered on disk."""
    remembered = cache_root() / f"accelerator-{os.uname().release}"
    if not remembered.exists():
        remembered.parent.mkdir(parents=True, exist_ok=True)
        verdict = "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) and _kvm_boots(node_root()) else "tcg"
        remembered.write_text(verdict)
    return remembered.read_text()


def _kvm_boots(root: NodeRoot) -> bool:
    """Whether a guest under KVM comes as far as our first process."""
    argv = ["qemu-system-x86_64", *ACCELERATORS["kvm"], "-m", "512", *_bare_options()]
    argv += ["-kernel", str(root.kernel), "-initrd", str(root.initrd), "-append", KERNEL_ARGUMENTS, "-serial", "stdio"]
    with tempfile.TemporaryFile() as console:
        guest = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.DEVNULL)
        try:
            guest.wait(KVM_TRIAL_SECONDS)
        except subprocess.TimeoutExpired:
            guest.kill()
            guest.wait()
        console.seek(0)
        return b"Run /init as init process" in console.read()


def _bare_options() -> list[str]:
    return ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]


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
        self.console = folder / f"{name}.console"
        self._cidr = address
        self._switch = switch
        self._overlay = folder / f"{name}.qcow2"
        self._memory_bytes = memory_bytes
        self._cpus = cpus
        self._disks = tuple(disks)
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = Path(tempfile.mkdtemp(prefix="lab-"))  # short: a socket's path has room for 107 bytes
        self._agent = GuestAgent(self._sockets / "agent", self.running)

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_off()
        self._overlay.unlink(missing_ok=True)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def start(self) -> None:
        """Switch the machine on and wait until commands run in it."""
        root = node_root()
        if not self._overlay.exists():
            argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(root.image), str(self._overlay)]
            subprocess.run(argv, check=True, timeout=60)
        with (self.log.parent / f"{self.name}.qemu").open("ab") as messages:
            self._process = subprocess.Popen(
                self._command(root), stdin=subprocess.DEVNULL, stdout=messages, stderr=messages
            )
        try:
            self._agent.connect(BOOT_SECONDS)
        except LabError as error:
            self.power_off()
            raise LabError(error.message, where=self.name, got=self._console_tail()) from error

    def power_off(self) -> None:
        """Pull the plug."""
        self._agent.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def running(self) -> bool:
        """Whether the machine is on."""
        return self._process is not None and self._process.poll() is None

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
        if not self.console.exists():
            return "no console output"
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-20:])

    def _command(self, root: NodeRoot) -> list[str]:
        ours, theirs = self._switch.port(self.name)
        digest = hashlib.sha256(f"{self.name} {self._overlay}".encode()).hexdigest()
        identity = f"lab.name={self.name} lab.address={self._cidr} systemd.machine_id={digest[:32]}"
        argv = ["qemu-system-x86_64", "-name", self.name, *ACCELERATORS[accelerator()], *_bare_options()]
        argv += ["-smp", str(self._cpus), "-m", f"{self._memory_bytes >> 20}M", "-rtc", "base=utc"]
        argv += ["-kernel", str(root.kernel), "-initrd", str(root.initrd)]
        argv += ["-append", f"{KERNEL_ARGUMENTS} {identity}", "-serial", f"file:{self.console}"]
        argv += ["-drive", f"file={self._overlay},format=qcow2,if=virtio,cache=unsafe,discard=unmap"]
        for disk in self._disks:
            # Writable for the machine, in an overlay that nobody keeps: the same medium serves every machine.
            argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe,snapshot=on"]
        argv += ["-device", "virtio-rng-pci", "-device", "virtio-serial"]
        argv += ["-chardev", f"socket,id=agent,path={self._sockets / 'agent'},server=on,wait=off"]
        argv += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
        argv += ["-netdev", _dgram(ours, theirs), "-device", f"virtio-net-pci,netdev=lab,mac={_mac(digest)}"]
        return argv


def _dgram(switch: Path, machine: Path) -> str:
    return f"dgram,id=lab,local.type=unix,local.path={machine},remote.type=unix,remote.path={switch}"


def _mac(digest: str) -> str:
    """A locally administered address; two machines of one run never share it."""
    return "52:54:00:" + ":".join(digest[start : start + 2] for start in (32, 34, 36))

"""Lab machines run by User-Mode Linux: a Linux kernel of their own, as a program of this machine.

Where a processor's own virtualization cannot be used, this is several times faster than translating every
instruction (docs/adr/0017-user-mode-linux.md).
"""

from __future__ import annotations

import os
import socket
import subprocess
from typing import BinaryIO

from tests.lab.hardware import KERNEL_ARGUMENTS, Hardware, Running, starts, while_we_live
from tests.lab.kernel import Kernel

TRIAL_SECONDS = 20.0
# The agent of QEMU's machines listens on a virtio port; here it is told to use the first serial line.
AGENT = "lab.agent=ttyS0"
SOCKET_BUFFER_BYTES = 4 << 20


def works(kernel: Kernel) -> bool:
    """Whether this machine lets the kernel come as far as our first process."""
    argv = [str(kernel.program), "mem=256M", f"initrd={kernel.initrd}", "con0=null,fd:1", "con=null", "ssl=null"]
    return starts([*argv, *KERNEL_ARGUMENTS.split()], TRIAL_SECONDS)


def boot(kernel: Kernel, hardware: Hardware, messages: BinaryIO) -> Running:
    """Switch ``hardware`` on; what the kernel says before it has a console goes to ``messages``."""
    line, their_line = socket.socketpair()
    with hardware.console.open("ab") as console, their_line, _network_card(hardware) as card:
        argv = [str(kernel.program), f"umid={hardware.name}", f"uml_dir={hardware.sockets}/"]
        argv += [f"mem={hardware.memory_bytes >> 20}M", f"ncpus={hardware.cpus}", "seccomp=auto"]
        argv += [f"initrd={kernel.initrd}", f"con0=null,fd:{console.fileno()}", "con=null"]
        argv += [f"ssl0=fd:{their_line.fileno()}", "ssl=null", AGENT]
        argv += [f"vec0:transport=fd,fd={card.fileno()},mac={hardware.mac}"]
        for number, disk in enumerate(hardware.disks):
            argv.append(f"ubd{number}c={hardware.overlay(number)},{disk.resolve()}")
        process = subprocess.Popen(
            while_we_live([*argv, *hardware.arguments.split()]),
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            env={**os.environ, "TMPDIR": "/dev/shm"},  # the machine's memory, never written to a disk
            pass_fds=[console.fileno(), their_line.fileno(), card.fileno()],
            start_new_session=True,  # its processes are processes here; switched off, all of them end
        )
    return Running(process, line.dup)


def _network_card(hardware: Hardware) -> socket.socket:
    """The machine's end of its wire to the switch."""
    card = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        card.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
    hardware.theirs.unlink(missing_ok=True)
    card.bind(str(hardware.theirs))
    card.connect(str(hardware.ours))
    return card

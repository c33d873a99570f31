"""The private network between the lab's machines: a small Ethernet switch over unix sockets.

QEMU hands every frame of a machine to this switch as one datagram; the host's own network stack never sees it, and
there is no gateway. Every frame that tries to go outside the lab's networks is counted and kept as evidence.
"""

from __future__ import annotations

import contextlib
import ipaddress
import selectors
import socket
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.frames import Network, leaving

MAXIMUM_FRAME_BYTES = 65_550
SOCKET_BUFFER_BYTES = 4 << 20
PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
PCAP_FRAME_LIMIT = 10_000
BROADCAST_BIT = 0x01
NODE_NETWORK = ipaddress.ip_network("10.77.0.0/24")
POD_NETWORK = ipaddress.ip_network("10.244.0.0/16")
SERVICE_NETWORK = ipaddress.ip_network("10.96.0.0/12")


class Switch:
    """Forwards frames between ports and counts the ones that would leave ``inside``.

    Runs in a thread of its own from :meth:`start` to :meth:`stop`. ``evidence`` becomes a pcap of the stray frames.
    """

    def __init__(self, folder: Path, inside: Sequence[Network], evidence: Path) -> None:
        self._folder = folder
        self._inside = tuple(inside)
        self._evidence_path = evidence
        self._selector = selectors.DefaultSelector()
        self._ports: dict[str, socket.socket] = {}
        self._learned: dict[bytes, str] = {}
        self._lock = threading.Lock()
        self._stray: Counter[str] = Counter()
        self._frames = 0
        self._thread = threading.Thread(target=self._serve, name="lab-switch", daemon=True)
        self._wake, self._woken = socket.socketpair()

    def start(self) -> None:
        """Begin to forward."""
        self._evidence_path.write_bytes(PCAP_HEADER)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close every port."""
        self._wake.send(b"q")
        self._thread.join(timeout=10)
        for port in self._ports.values():
            port.close()
        self._wake.close()
        self._woken.close()
        self._selector.close()

    def port(self, name: str) -> tuple[Path, Path]:
        """A new port: the socket paths (ours, the machine's) for QEMU's ``dgram`` network back end."""
        ours = self._path(name, "switch")
        port = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        port.setblocking(False)
        ours.unlink(missing_ok=True)
        port.bind(str(ours))
        with self._lock:
            self._ports[name] = port
            self._selector.register(port, selectors.EVENT_READ, name)
        self._wake.send(b"p")  # so that the thread waits on the new port too
        return ours, self._path(name, "machine")

    def stray(self) -> Counter[str]:
        """How often which destination outside the lab was tried, as seen on the wire so far."""
        with self._lock:
            return Counter(self._stray)

    def frames(self) -> int:
        """How many frames were seen at all: an oracle that saw nothing proves nothing."""
        return self._frames

    def _path(self, name: str, side: str) -> Path:
        return self._folder / f"{name}.{side}"

    def _serve(self) -> None:
        while True:
            for key, _events in self._selector.select():
                if key.data is not None:
                    self._drain(str(key.data))
                elif b"q" in self._woken.recv(16):
                    return

    def _drain(self, name: str) -> None:
        port = self._ports[name]
        with contextlib.suppress(BlockingIOError):
            for _turn in range(64):  # then give the other ports their turn
                self._forward(name, port.recv(MAXIMUM_FRAME_BYTES))

    def _forward(self, source: str, frame: bytes) -> None:
        self._frames += 1
        destination = leaving(frame, self._inside)
        if destination is not None:
            self._keep(f"{source} -> {destination}", frame)
        self._learned[frame[6:12]] = source
        target = None if frame[0] & BROADCAST_BIT else self._learned.get(frame[0:6])
        for name in [target] if target else list(self._ports):
            if name != source:
                self._send(name, frame)

    def _send(self, name: str, frame: bytes) -> None:
        # A machine that is off or slow loses frames, as on any wire.
        with contextlib.suppress(OSError):
            self._ports[name].sendto(frame, str(self._path(name, "machine")))

    def _keep(self, destination: str, frame: bytes) -> None:
        with self._lock:
            self._stray[destination] += 1
            kept = self._stray.total() <= PCAP_FRAME_LIMIT
        if kept:
            seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
            header = struct.pack("<IIII", seconds, nanoseconds // 1000, len(frame), len(frame))
            with self._evidence_path.open("ab") as evidence:
                evidence.write(header + frame)


@contextlib.contextmanager
def private_network(
    evidence: Path, inside: Sequence[Network] = (NODE_NETWORK, POD_NETWORK, SERVICE_NETWORK)
) -> Iterator[Switch]:
    """A running switch for the length of a ``with`` block."""
    with tempfile.TemporaryDirectory(prefix="lab-") as sockets:  # short: a socket's path has room for 107 bytes
        switch = Switch(Path(sockets), inside, evidence)
        switch.start()
        try:
            yield switch
        finally:
            switch.stop()

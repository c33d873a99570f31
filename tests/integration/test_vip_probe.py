"""``vip-probe`` on three machines of network namespaces, joined by a bridge in a fourth. Trap 8.

Nothing leads out of that bridge. Each machine has its own interfaces, neighbour table and ``/var/lib``; the command is
the real one, with real packets. A packet filter on the bridge plays the data centre that binds addresses to ports.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from installer.vip.proof import PATH

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and packet sockets need root")

ADDRESS = "10.9.0.100"
CONFIG = f"""
nodes:
  - {{name: cp-1, address: 10.9.0.11, role: cp}}
  - {{name: cp-2, address: 10.9.0.12, role: cp}}
  - {{name: cp-3, address: 10.9.0.13, role: cp}}
endpoint: {{mode: kube-vip, address: {ADDRESS}}}
"""
PATIENCE_SECONDS = 30.0
STRANGER = f"""
import socket
for said in (b"", b"GET / HTTP/1.0\\r\\n\\r\\n", b"[" * 4095 + b"\\n", b'{{"name": 7}}\\n'):
    with socket.create_connection(("{ADDRESS}", 6443)) as stream:
        stream.sendall(said)
        stream.shutdown(socket.SHUT_WR)
        assert stream.recv(1) == b""
"""
"""Somebody who does not speak the probe's language ends no hold and is told nothing."""
FILTERS = {
    "arp": f"ether type arp arp saddr ip {ADDRESS} drop",
    "source address": f"ip saddr {ADDRESS} drop",
}


@dataclass
class Machine:
    """A network namespace with its own ``/var/lib``, that of a sleeping process; ``number`` is its bridge port."""

    number: int
    pid: int
    config: Path

    @property
    def address(self) -> str:
        return f"10.9.0.1{self.number}"

    def enter(self, *argv: str) -> list[str]:
        return ["nsenter", "--net", "--mount", "--target", str(self.pid), "--", *argv]

    def must(self, *argv: str) -> str:
        return subprocess.run(self.enter(*argv), check=True, capture_output=True, text=True, timeout=30).stdout

    def addresses(self) -> dict[str, dict[str, Any]]:
        (link,) = json.loads(self.must("ip", "-j", "-4", "addr", "show", "dev", "eth0"))
        return {item["local"]: item for item in link["addr_info"]}

    @property
    def mac(self) -> str:
        return str(json.loads(self.must("ip", "-j", "link", "show", "dev", "eth0"))[0]["address"])

    def neighbour(self) -> str | None:
        rows = json.loads(self.must("ip", "-j", "neigh", "show", ADDRESS))
        return rows[0].get("lladdr") if rows else None

    def probe(self, *words: str) -> list[str]:
        return self.enter(sys.executable, "-I", "-m", "installer.cli", "vip-probe", *words)

    def ask(self) -> tuple[int, dict[str, Any]]:
        """What ``vip-probe ask`` ends with, and its last event."""
        argv = self.probe("ask", "--config", str(self.config), "--json")
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=90)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    @contextmanager
    def holding(self, *, for_seconds: int = 60) -> Iterator[Holder]:
        """``vip-probe hold``, from when it holds the address."""
        argv = self.probe("hold", "--config", str(self.config), "--json", "--for", str(for_seconds))
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            holder = Holder(process)
            try:
                assert holder.event()["event"] == "holding"
                wait_for(lambda: ADDRESS in self.addresses(), "the address is not there")
                yield holder
            finally:
                if process.poll() is None:
                    holder.interrupt()


@dataclass
class Holder:
    """A ``vip-probe hold`` under way."""

    process: subprocess.Popen[str]

    def event(self) -> dict[str, Any]:
        """The next thing it says."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("{"), line + self.process.stdout.read()
        found: dict[str, Any] = json.loads(line)
        return found

    def interrupt(self) -> dict[str, Any]:
        """Ctrl-C; the last thing it says."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout
        said = self.process.stdout.read().splitlines()
        assert self.process.wait(30) == 0, said
        found: dict[str, Any] = json.loads(said[-1])
        return found


def wait_for(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.2)


@contextmanager
def sleeping(*namespaces: str, first: str = "true") -> Iterator[int]:
    """A process in new namespaces, once they are there."""
    argv = ["unshare", *namespaces, "sh", "-c", f"{first} && echo && exec sleep 900"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"\n", "no namespaces"
        try:
            yield process.pid
        finally:
            process.kill()


@dataclass
class Lab:
    """The bridge and what hangs on it."""

    switch: Machine
    machines: tuple[Machine, ...]

    def bind_addresses(self, port: int, what: str) -> None:
        """From this port on the bridge, nothing comes through that says it is from the moving address."""
        self.switch.must("nft", "add", "table", "bridge", "site")
        self.switch.must("nft", "add", "chain", "bridge", "site", "f", "{ type filter hook forward priority 0; }")
        self.switch.must("nft", "add", "rule", "bridge", "site", "f", "iifname", f"p{port}", *what.split())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    for tool in ("ip", "nft", "nsenter", "ss", "unshare"):
        assert shutil.which(tool), f"{tool} is in a package of tests/lab/packages.txt"
    config = tmp_path / "cluster.yaml"
    config.write_text(CONFIG)
    with ExitStack() as stack:
        switch = Machine(0, stack.enter_context(sleeping("--net", "--mount")), config)
        switch.must("ip", "link", "add", "br0", "type", "bridge")
        switch.must("ip", "link", "set", "br0", "up")
        machines = []
        for number in (1, 2, 3):
            pid = stack.enter_context(sleeping("--net", "--mount", first="mount -t tmpfs none /var/lib"))
            machine, port = Machine(number, pid, config), f"p{number}"
            wire = ["type", "veth", "peer", "name", "eth0", "netns", str(pid)]
            switch.must("ip", "link", "add", port, *wire)
            switch.must("ip", "link", "set", port, "master", "br0", "up")
            machine.must("ip", "addr", "add", f"{machine.address}/24", "dev", "eth0")
            machine.must("ip", "link", "set", "eth0", "up")
            machines.append(machine)
        yield Lab(switch, tuple(machines))


def test_an_address_that_moves_is_answered_and_its_neighbour_entry_moves(lab: Lab) -> None:
    first, second, third = lab.machines
    with first.holding() as holder:
        third.must(sys.executable, "-c", STRANGER)
        code, event = second.ask()
        assert (code, event["by"]["name"], event["mac"]) == (0, "cp-1", first.mac), event
        asked = holder.event()
        assert (asked["name"], asked["came_from"], asked["asked_at"]) == ("cp-2", second.address, ADDRESS)
        assert third.ask()[0] == 0
        assert third.neighbour() == first.mac
        assert holder.interrupt()["detail"] == f"{ADDRESS} is off eth0 again; 2 answered there"
    assert list(first.addresses()) == [first.address]
    with second.holding():
        wait_for(lambda: third.neighbour() == second.mac, "the announcement alone does not move the entry")
        code, event = third.ask()
        assert (code, event["by"]["name"]) == (0, "cp-2"), event
        assert event["moved_from"] == {"name": "cp-1", "mac": first.mac}
        assert first.ask()[0] == 0
    record = json.loads(third.must("cat", PATH))
    assert [(item["name"], item["answered"], item["mac"]) for item in record["seen"]] == [
        ("cp-1", True, first.mac),
        ("cp-2", True, second.mac),
    ]


@pytest.mark.parametrize("what", FILTERS)
def test_an_address_that_a_port_may_not_have_is_said_not_to_move(lab: Lab, what: str) -> None:
    first, second, _ = lab.machines
    with first.holding():
        assert second.ask()[0] == 0, "the first may have it, so only the change of roles shows the filter"
    lab.bind_addresses(2, FILTERS[what])
    with second.holding():
        code, event = first.ask()
    assert (code, event["event"]) == (3, "error"), event
    assert event["error"] == "the address does not move: it is held, and does not answer here"
    assert f"cp-2 10.9.0.12 holds it at {second.mac}" in event["wanted"]
    assert f"{ADDRESS} from here:" in event["got"]
    assert "endpoint.mode local" in event["next"]
    (seen,) = json.loads(first.must("cat", PATH))["seen"]
    assert (seen["name"], seen["answered"]) == ("cp-2", False)


def test_a_machine_that_has_the_address_already_is_named_by_its_mac(lab: Lab) -> None:
    first, _, third = lab.machines
    third.must("ip", "addr", "add", f"{ADDRESS}/24", "dev", "eth0")
    argv = first.probe("hold", "--config", str(first.config), "--json")
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    event = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, event["error"]) == (3, "another machine holds the address")
    assert third.mac in event["got"]
    assert list(first.addresses()) == [first.address]


def test_a_hold_that_is_killed_leaves_the_address_only_until_its_lifetime_is_over(lab: Lab) -> None:
    first = lab.machines[0]
    with first.holding(for_seconds=10) as holder:
        holder.process.kill()
        holder.process.wait()
    left = first.addresses()[ADDRESS]
    assert left["prefixlen"] == 32
    assert left["valid_life_time"] <= 15
    wait_for(lambda: ADDRESS not in first.addresses(), "the kernel keeps the address")


def test_where_a_cluster_runs_its_holder_is_known_by_its_mac(lab: Lab) -> None:
    _, second, third = lab.machines
    second.must("ip", "addr", "add", f"{ADDRESS}/32", "dev", "eth0")
    server = "import socket; s = socket.create_server(('', 6443)); print(flush=True)\nwhile True: s.accept()[0].close()"
    argv = second.enter(sys.executable, "-c", server)
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as api:
        try:
            assert api.stdout
            api.stdout.readline()
            code, event = third.ask()
            assert (code, event["by"]["name"], event["mac"]) == (0, "cp-2", second.mac), event
        finally:
            api.kill()

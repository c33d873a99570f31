"""The reset's steps with real ``iptables``, ``nft``, ``ipset`` and ``ip``, in a network of the test's own.

The network namespace is the test's: it belongs to one sleeping process, and nothing outside it is looked at.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence

import pytest

from installer.localnode import ENVIRONMENT, LocalNode
from installer.node import QUERY_TIMEOUT_SECONDS, CommandResult
from installer.packetfilter import removals
from installer.queries import demand_read_only
from installer.steps.leftovers import remove_leftovers
from tests.unit.test_leftovers import KUBERNETES, SITE, merged

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")


class NodeIn(LocalNode):
    """This machine in another network: its files, its programs, but the links, routes and rules of ``pid``."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]

    def query(self, argv: Sequence[str], *, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> CommandResult:
        """See :class:`~installer.node.NodeView`."""
        demand_read_only(argv)
        return self._carried_out(argv, b"", timeout_seconds)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        """See :class:`~installer.node.Node`."""
        return self._carried_out(argv, b"".join(stdin or ()), timeout_seconds).demand(secrets=secrets)

    def must(self, *argv: str, stdin: str = "") -> str:
        """Prepares or looks; what the program said."""
        return self.run(argv, stdin=[stdin.encode()], timeout_seconds=30).stdout

    def _carried_out(self, argv: Sequence[str], data: bytes, timeout_seconds: float) -> CommandResult:
        done = subprocess.run(
            [*self._enter, *argv],
            input=data,
            capture_output=True,
            timeout=timeout_seconds,
            env=ENVIRONMENT,
            check=False,
        )
        return CommandResult(tuple(argv), done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def node() -> Iterator[NodeIn]:
    for tool in ("iptables", "nft", "ipset", "unshare", "nsenter"):
        assert shutil.which(tool), f"{tool} is in a package of tests/lab/packages.txt"
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE) as sleeper:
        assert sleeper.stdout
        sleeper.stdout.readline()  # the namespace is there before anything enters it
        yield NodeIn(sleeper.pid)
        sleeper.kill()


def take_away(node: NodeIn) -> dict[str, str]:
    """Carries every step out; what each said that had something to do."""
    said = {}
    for step in remove_leftovers("10.244.0.0/16", "10.96.0.0/12"):
        if step.id != "reset/copies" and not step.check(node).satisfied:
            said[step.id] = step.apply(node)
            assert step.check(node).satisfied, step.check(node).changes
    return said


def bare(saved: str) -> list[str]:
    """The rules as they are, without the times in the comments."""
    return [line for line in saved.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_rules_of_the_site_survive_byte_for_byte_with_their_counters(node: NodeIn, program: str) -> None:
    site, both = SITE, merged(SITE, KUBERNETES)
    if program == "ip6tables":
        both, site = (_of_ipv6(text) for text in (both, site))
    node.must(f"{program}-restore", stdin=site)
    node.must(program, "-Z", "INPUT")
    before = bare(node.must(f"{program}-save", "-c"))
    node.must(f"{program}-restore", "--noflush", stdin=_of_ipv6(KUBERNETES) if program == "ip6tables" else KUBERNETES)
    assert removals(node.must(f"{program}-save")).script
    assert "reset/packet-filter" in take_away(node)
    assert bare(node.must(f"{program}-save", "-c")) == before
    assert take_away(node) == {}
    assert both != site


def _of_ipv6(rules: str) -> str:
    for ipv4, ipv6 in (("10.244.0.0/16", "fd00:1::/64"), ("10.244.0.5/32", "fd00:1::5/128")):
        rules = rules.replace(ipv4, ipv6)
    return rules.replace("169.254.20.10/32", "fd00:2::10/128").replace("192.168.7.0/24", "fd00:3::/64")


def test_tables_of_nft_and_sets_of_the_site_survive(node: NodeIn) -> None:
    site = "table inet site {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n"
    site += '\t\ttcp dport 22 counter packets 7 bytes 8 accept comment "kube-proxy"\n\t}\n}\n'
    node.must("nft", "-f", "-", stdin=site)
    before = node.must("nft", "list", "ruleset")
    tables = ["ip kube-proxy", "ip6 kube-proxy", "ip flannel-ipv4", "ip6 calico", "inet cni_hostport"]
    for table in tables:
        node.must("nft", "add", "table", *table.split())
        node.must("nft", "add", "chain", *table.split(), "services")
    said = take_away(node)
    assert sorted(said["reset/nft"].split(", ")) == sorted(tables)
    assert node.must("nft", "list", "ruleset") == before


def test_address_sets_of_the_site_survive(node: NodeIn) -> None:
    if not node.run(["ipset", "list", "-n"], timeout_seconds=30).ok:
        pytest.skip("this kernel has no ipset")
    for name in ("blocked", "KUBE-CLUSTER-IP", "cali40all-ipam-pools"):
        node.must("ipset", "create", name, "hash:ip")
    assert take_away(node) == {"reset/sets": "2 destroyed"}
    assert node.must("ipset", "list", "-n").split() == ["blocked"]


def test_links_and_routes_of_the_site_survive(node: NodeIn) -> None:
    for words in (
        "link add eth0 type veth peer name far",
        "addr add 10.0.24.31/24 dev eth0",
        "link set far up",
        "link set eth0 up",
        "link add docker0 type bridge",
        "link add cni0 type bridge",
        "link add veth0a1b2c3d type veth peer name inside0",
        "link set veth0a1b2c3d master cni0",
        "link add vethd0cke12 type veth peer name inside1",
        "link set vethd0cke12 master docker0",
        "link add cilium_host type veth peer name cilium_net",
        "link add cali0123456789a type veth peer name inside2",
        "link add flannel.1 type vxlan id 1 dstport 8472",
        "route add 10.244.111.192/26 via 10.0.24.2 dev eth0 proto bird",
        "route add blackhole 10.244.5.0/26 proto bird",
        "route add 10.244.7.0/26 via 10.0.24.2 dev eth0 proto 80",
        "route add 10.244.0.0/16 via 10.0.24.9 dev eth0",
        "route add 172.20.0.0/16 via 10.0.24.9 dev eth0 proto static",
    ):
        node.must("ip", *words.split())
    said = take_away(node)
    gone = said["reset/links"].split(", ")
    assert {"cni0", "flannel.1", "cilium_host", "cali0123456789a", "veth0a1b2c3d"} <= set(gone)
    assert said["reset/routes"] == "3 deleted"
    left = {line.split(":")[1].strip().partition("@")[0] for line in node.must("ip", "-o", "link").splitlines()}
    assert left - _born_with_a_namespace(left) == {"eth0", "far", "docker0", "vethd0cke12", "inside1"}
    routes = node.must("ip", "route")
    assert "10.244.0.0/16 via 10.0.24.9" in routes
    assert "172.20.0.0/16 via 10.0.24.9" in routes
    assert "bird" not in routes


def _born_with_a_namespace(names: set[str]) -> set[str]:
    """Interfaces that a kernel gives every namespace."""
    kernels = ("lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0")
    return names & set(kernels)

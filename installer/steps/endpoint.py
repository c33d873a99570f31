"""The local endpoint of the API on this node: its name, and its HAProxy before and after there is a kubelet.

``kubeadm join`` needs the endpoint before it starts the kubelet that runs static pods: it takes the endpoint's name
from the cluster, whatever address it was given for discovery. So the bundle's HAProxy image is run by containerd alone
until the kubelet runs the same image with the same file. Both may listen at once (HAProxy sets SO_REUSEPORT, and both
run as the same user), so the one takes over from the other without a gap. See docs/adr/0014-local-endpoint.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from installer import probes
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import haproxy, hosts
from installer.steps.hosts import PATH as HOSTS_PATH
from installer.steps.imagestore import CTR, NAMESPACE
from installer.steps.judged import judged

BRIDGE = f"{haproxy.NAME}-before-kubelet"
_HOST_NETWORK = "network:/proc/self/ns/net"
"""Not ``--net-host``, which also mounts /etc/resolv.conf, and a node without a name server may have none."""
_RUN_TIMEOUT_SECONDS = 300.0
_START_SECONDS = 120.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class EndpointName:
    """A block of ours in ``/etc/hosts`` that leads ``name`` to ``address``; every other line stays as it is."""

    name: str
    address: str
    id: str = "endpoint/name"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.name} is {self.address} on this node"

    def check(self, view: NodeView) -> CheckResult:
        """The block is there with exactly this entry."""
        old = view.read_bytes(HOSTS_PATH) or b""
        return judged(
            [] if old == self._wanted(old) else [f"a block in {HOSTS_PATH}: {self.address} {self.name}"], self.title
        )

    def apply(self, node: Node) -> str:
        """Writes the block."""
        node.write_file(HOSTS_PATH, self._wanted(node.read_bytes(HOSTS_PATH) or b""))
        return f"in {HOSTS_PATH}"

    def _wanted(self, old: bytes) -> bytes:
        return hosts.with_block(old, ((self.address, self.name),))


@dataclass(frozen=True)
class EndpointBeforeKubelet:
    """Something answers at the endpoint's port before kubeadm asks there: the pod, or the same image without it."""

    image: str
    port: int
    socket: str
    id: str = "endpoint/before-join"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"HAProxy at 127.0.0.1:{self.port} before the kubelet runs it"

    def check(self, view: NodeView) -> CheckResult:
        """The port is the proof, not that a program was started."""
        listens = self.port in probes.listening_ports(view)
        return judged([] if listens else [f"run {self.image} by containerd until the kubelet does"], "listening")

    def apply(self, node: Node) -> str:
        """Runs the image with the pod's command and file, as the image's own user, which is the pod's too."""
        remove_bridge(node, self.socket)
        mount = f"type=bind,src={haproxy.CONFIG_PATH},dst={haproxy.CONFIG_PATH},options=rbind:ro"
        run = [*_ctr(self.socket), "run", "--detach", "--null-io", "--read-only", "--mount", mount]
        run += ["--with-ns", _HOST_NETWORK]
        node.run([*run, self.image, BRIDGE, *haproxy.COMMAND], timeout_seconds=_RUN_TIMEOUT_SECONDS)
        _wait_for(node, self.port, _START_SECONDS)
        return f"listening on 127.0.0.1:{self.port}, by containerd alone"


@dataclass(frozen=True)
class EndpointServed:
    """The kubelet's pod answers at the endpoint's port, and nothing else does it in its place any more."""

    port: int
    socket: str
    timeout_seconds: float
    id: str = "endpoint/served"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"the kubelet's HAProxy at 127.0.0.1:{self.port}"

    def check(self, view: NodeView) -> CheckResult:
        """The port listens, and not by the stand-in of before."""
        if has_bridge(view, self.socket):
            return CheckResult(False, "still the one of before the kubelet", ("leave the port to the kubelet's pod",))
        listens = self.port in probes.listening_ports(view)
        return judged([] if listens else ["wait for the kubelet's pod"], f"listening on 127.0.0.1:{self.port}")

    def apply(self, node: Node) -> str:
        """Stops the stand-in and waits for the pod's port."""
        remove_bridge(node, self.socket)
        _wait_for(node, self.port, self.timeout_seconds)
        return f"listening on 127.0.0.1:{self.port}"


@dataclass(frozen=True)
class NoBridge:
    """No HAProxy of a join that was not finished."""

    socket: str
    id: str = "reset/endpoint"
    title: str = "no HAProxy outside the kubelet"

    def check(self, view: NodeView) -> CheckResult:
        """containerd has no such container."""
        return judged([f"remove container {BRIDGE}"] if has_bridge(view, self.socket) else [], "none")

    def apply(self, node: Node) -> str:
        """Removes it."""
        remove_bridge(node, self.socket)
        return "removed"


def has_bridge(view: NodeView, socket: str) -> bool:
    """Whether containerd knows the container of before the kubelet, running or not."""
    said = view.query([*_ctr(socket), "containers", "ls", "--quiet"])
    return said.ok and BRIDGE in said.stdout.split()


def remove_bridge(node: Node, socket: str) -> None:
    """Removes the container of before the kubelet, if it is there; after a reboot it is there without a task."""
    if not has_bridge(node, socket):
        return
    if BRIDGE in node.query([*_ctr(socket), "tasks", "ls", "--quiet"]).stdout.split():
        node.run([*_ctr(socket), "tasks", "delete", "--force", BRIDGE], timeout_seconds=_RUN_TIMEOUT_SECONDS)
    node.run([*_ctr(socket), "containers", "delete", BRIDGE], timeout_seconds=_RUN_TIMEOUT_SECONDS)


def _ctr(socket: str) -> tuple[str, ...]:
    return (CTR, "-a", socket, "-n", NAMESPACE)


def _wait_for(node: Node, port: int, timeout_seconds: float) -> None:
    """Waits until something listens on ``port`` or the time is up; the check afterwards says which."""
    ends_seconds = node.now_seconds() + timeout_seconds
    while port not in probes.listening_ports(node) and node.now_seconds() < ends_seconds:
        node.sleep(_POLL_SECONDS)

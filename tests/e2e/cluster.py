"""What an operator does on the machines of the journey: install, carry files, connect the pod networks, look."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.lab.errors import LabError
from tests.lab.machine import Machine
from tests.lab.phases import Phase
from tests.lab.proof import KUBECTL, ProofError

INSTALL_SECONDS = 2400.0
READY_SECONDS = 900.0
POLL_SECONDS = 3.0
SYSTEM_NAMESPACE, NETWORK_NAMESPACE = "kube-system", "kube-flannel"
CONFIG = "/root/cluster.yaml"
JOIN_WRITTEN = "/var/lib/airgap-bundle/join.yaml"
JOIN_CARRIED = "/root/join.yaml"

# Emulated processors are slow: kubeadm waits longer, etcd does not hold elections because a heartbeat came late, and
# controllers do not give up their lease and end because the API answered late.
CLUSTER_YAML = """\
timeouts:
  controlPlaneSeconds: 1200
  kubeletSeconds: 900
  apiCallSeconds: 300
  etcdCallSeconds: 600
  tlsBootstrapSeconds: 900
  discoverySeconds: 900
  addonSeconds: 900
extraArgs:
  etcd:
    heartbeat-interval: "500"
    election-timeout: "5000"
  controllerManager:
    leader-elect-lease-duration: 120s
    leader-elect-renew-deadline: 100s
    leader-elect-retry-period: 10s
  scheduler:
    leader-elect-lease-duration: 120s
    leader-elect-renew-deadline: 100s
    leader-elect-retry-period: 10s
"""


def install(machine: Machine, media: str, command: str, phase: Phase) -> float:
    """``./install`` as ``command`` has it, from the medium; the seconds it took."""
    phase.say(f"{machine.name}$ {command}")
    done = machine.run(f"cd {media} && {command}", timeout_seconds=INSTALL_SECONDS, on_output=phase.hear)
    phase.heard_all()
    if done.code != 0:
        raise LabError("the install failed", where=f"{machine.name}: {command}", got=done.ending())
    return done.seconds


def kubectl(control_plane: Machine, arguments: str) -> str:
    """Standard output of kubectl as the cluster's administrator."""
    return control_plane.must(f"{KUBECTL} {arguments}", timeout_seconds=300)


def objects(control_plane: Machine, arguments: str) -> list[dict[str, Any]]:
    """The items of ``kubectl get``."""
    items: list[dict[str, Any]] = json.loads(kubectl(control_plane, f"get {arguments} -o json"))["items"]
    return items


def connect_pods(control_plane: Machine, machines: tuple[Machine, ...]) -> str:
    """Give each node a bridge for its pods and a route to the pods of the others; what was set."""
    networks = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in objects(control_plane, "nodes")}
    for machine in machines:
        machine.must("mkdir -p /etc/cni/net.d")
        machine.write("/etc/cni/net.d/10-lab.conflist", _conflist(networks[machine.name]).encode())
        for other in machines:
            if other is not machine:
                machine.must(f"ip route replace {networks[other.name]} via {other.address}")
    return ", ".join(f"{name} has pods in {network}" for name, network in networks.items())


def _conflist(network: str) -> str:
    plugins = [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": network}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "lab", "plugins": plugins}, indent=2)


def used_images(control_plane: Machine, namespace: str) -> set[str]:
    """The images that the pods of ``namespace`` name, in their init containers too."""
    specs = [pod["spec"] for pod in objects(control_plane, f"pods -n {namespace}")]
    containers = [item for spec in specs for item in [*spec.get("initContainers", []), *spec["containers"]]]
    return {item["image"] for item in containers}


def wait_for(
    what: str,
    holds: Callable[[], bool],
    timeout_seconds: float = READY_SECONDS,
    seen: Callable[[], str] = lambda: "",
) -> None:
    """Wait until ``holds`` says so; the error names ``what`` was waited for and what is ``seen`` instead."""
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        if time.monotonic() > deadline:
            raise ProofError(f"not within {timeout_seconds:.0f} s: {what}", got=seen() or None)
        time.sleep(POLL_SECONDS)


def ready_nodes(control_plane: Machine) -> set[str]:
    """The names of the nodes that are Ready."""
    return {node["metadata"]["name"] for node in objects(control_plane, "nodes") if _condition(node, "Ready")}


def ready_pods(control_plane: Machine, arguments: str) -> dict[str, bool]:
    """Which of the selected pods are Ready."""
    return {pod["metadata"]["name"]: _condition(pod, "Ready") for pod in objects(control_plane, f"pods {arguments}")}


def wait_for_pods(control_plane: Machine, namespace: str) -> None:
    """Wait until ``namespace`` has pods and every one is Ready."""
    wait_for(
        f"every pod of {namespace} Ready",
        lambda: set(ready_pods(control_plane, f"-n {namespace}").values()) == {True},
        seen=lambda: kubectl(control_plane, f"get pods -n {namespace} -o wide"),
    )


def _condition(item: Mapping[str, Any], kind: str) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)


def wait_for_answer(machine: Machine, url: str, body: str) -> None:
    """Wait until ``url`` answers ``body``; a service is there once the node's kube-proxy has heard of its endpoint."""

    def answer() -> str:
        return _get(machine, url)

    wait_for(f"{body} from {url} on {machine.name}", lambda: answer() == body, seen=answer)


def _get(machine: Machine, url: str) -> str:
    """The body of a response with status 200, else why there was none; asked as a bare node can ask."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.0\\r\\n\\r\\n"
    done = machine.run(f"printf '{request}' | socat -T 20 -t 20 - TCP:{parts.netloc},connect-timeout=20")
    status, *_rest, body = done.stdout.splitlines() or ["", ""]
    return body if done.code == 0 and " 200 " in status else done.ending()


def collect(machine: Machine, folder: Path) -> None:
    """Save what explains a failure beside the machine's console and log; never raises."""
    queries = {
        "journal": "journalctl --no-pager -o short-monotonic | tail -n 4000",
        "containers": "crictl ps -a; crictl images; ip address; ip route; iptables-save | head -200",
        "pod-logs": 'for f in /var/log/pods/*/*/*.log; do echo "== $f"; tail -n 60 "$f"; done',
        "cluster": f"{KUBECTL} get nodes,pods,events -A -o wide; {KUBECTL} describe nodes,pods -A | tail -n 400",
    }
    for name, command in queries.items():
        try:
            done = machine.run(command)
            (folder / f"{machine.name}.{name}").write_text(done.stdout + done.stderr)
        except (LabError, OSError) as error:
            (folder / f"{machine.name}.{name}").write_text(f"could not be read: {error}\n")

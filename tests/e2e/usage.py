"""What nodes and pods use, as ``kubectl top`` has it of metrics-server, which believes no kubelet without a proof."""

from __future__ import annotations

from collections.abc import Sequence

from tests.e2e import cluster
from tests.lab import proof
from tests.lab.machine import Machine
from tests.lab.phases import Phase
from tests.lab.proof import ProofError

ADDON = "metrics-server"
_REQUESTS = (
    "get csr --field-selector spec.signerName=kubernetes.io/kubelet-serving --no-headers "
    "-o custom-columns=BY:.spec.username,IS:.status.conditions[*].type"
)


def nodes_tell_what_they_use(control_plane: Machine, machines: Sequence[Machine], phase: Phase) -> None:
    """Every kubelet's request for a certificate was approved, and every node and pod has figures."""
    requests = cluster.kubectl(control_plane, _REQUESTS)
    phase.say(requests)
    wanted = {(f"system:node:{machine.name}", "Approved") for machine in machines}
    if {tuple(line.split()) for line in requests.splitlines()} != wanted:
        raise ProofError("not exactly every kubelet has a certificate to serve with", wanted=f"{wanted}", got=requests)
    names = {machine.name for machine in machines}

    def figures() -> str:
        done = control_plane.run(f"{proof.KUBECTL} top nodes --no-headers", timeout_seconds=300)
        return done.stdout if done.code == 0 else ""  # it fails until there are figures

    def are_whole() -> bool:
        lines = [line.split() for line in figures().splitlines()]
        return {name for name, cpu, _, memory, _ in lines if cpu.endswith("m") and memory.endswith("Mi")} == names

    cluster.wait_for("figures of every node", are_whole, seen=figures)
    phase.say(cluster.kubectl(control_plane, "top nodes"))
    phase.say(cluster.kubectl(control_plane, "top pods -n kube-system"))

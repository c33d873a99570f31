"""Three control planes and two workers: one cluster.yaml, join files alone, and the first control plane powered off."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import cluster
from tests.lab import proof
from tests.lab.machine import Machine
from tests.lab.phases import Phase, Phases
from tests.lab.proof import ProofError
from tests.lab.switch import Switch, private_network

GIB = 1 << 30
CONTROL_PLANES = {"cp-1": "10.77.0.11", "cp-2": "10.77.0.12", "cp-3": "10.77.0.13"}
WORKERS = {"worker-1": "10.77.0.21", "worker-2": "10.77.0.22"}
NODES = "nodes:\n" + "".join(
    f"  - {{name: {name}, address: {address}, role: {role}}}\n"
    for role, machines in (("cp", CONTROL_PLANES), ("worker", WORKERS))
    for name, address in machines.items()
)
FIRST = f"./install --role cp --config {cluster.CONFIG}"
JOIN = "./install --role {role} --join " + cluster.JOIN_CARRIED
KUBELET_KUBECTL = "kubectl --kubeconfig /etc/kubernetes/kubelet.conf"
POD = """\
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data: {{Corefile: ".:5353 {{\\n  health :8080\\n  whoami\\n}}\\n"}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  automountServiceAccountToken: false
  containers:
    - name: {name}
      image: {image}
      args: ["-conf", "/etc/coredns/Corefile"]
      readinessProbe: {{httpGet: {{path: /health, port: 8080}}, timeoutSeconds: 10}}
      volumeMounts: [{{name: config, mountPath: /etc/coredns}}]
  volumes: [{{name: config, configMap: {{name: {name}}}}}]
"""


@dataclass(frozen=True)
class HighAvailability:
    """One attempt on fresh machines. ``disk`` holds the media set ``media``; ``folder`` takes the evidence."""

    phases: Phases
    folder: Path
    media: str
    disk: Path

    def run(self) -> None:
        """Raises at the first thing that does not hold, with everything that explains it in ``folder``."""
        machines: list[Machine] = []
        with ExitStack() as stack:
            switch = stack.enter_context(private_network(self.folder / "stray.pcap"))
            with self.phases.phase("Start three control planes and two workers, one after another") as phase:
                for name, address in (CONTROL_PLANES | WORKERS).items():
                    machine = Machine(
                        name, f"{address}/24", switch, self.folder, memory_bytes=2 * GIB, disks=[self.disk]
                    )
                    machines.append(stack.enter_context(machine))
                    phase.say(f"{name} {address} medium at {machine.mount_media()}")
            try:
                self._travel(switch, machines)
            except BaseException:
                for machine in machines:
                    if machine.running():
                        cluster.collect(machine, self.folder)
                raise

    def _travel(self, switch: Switch, everyone: list[Machine]) -> None:
        first, second, third, worker, other = everyone
        with self.phases.phase("Install the first control plane with the one cluster.yaml") as phase:
            first.write(cluster.CONFIG, (NODES + cluster.CLUSTER_YAML).encode())
            cluster.install(first, self.media, FIRST, phase)
        with self.phases.phase("The second joins with the first's join.yaml and nothing else") as phase:
            second.write(cluster.JOIN_CARRIED, first.read(cluster.JOIN_WRITTEN))
            cluster.install(second, self.media, JOIN.format(role="cp"), phase)
        with self.phases.phase("The third and the workers join with a file that the second made") as phase:
            self._carry_join_file(second, third, worker, other)
            cluster.install(third, self.media, JOIN.format(role="cp"), phase)
            for machine in (worker, other):
                cluster.install(machine, self.media, JOIN.format(role="worker"), phase)
        with self.phases.phase("Every node and every pod becomes Ready") as phase:
            self._all_ready(first, {machine.name for machine in everyone}, phase)
        alive = (second, third, worker, other)
        with self.phases.phase("Power off the first control plane: the API answers every other node") as phase:
            first.power_off()
            self._api_answers((second, third), (worker, other), phase)
        with self.phases.phase("A new pod is scheduled and becomes Ready") as phase:
            self._new_pod(second, worker, "after", phase)
        with self.phases.phase("Reset a worker and join it again, with the control plane still off") as phase:
            self._join_again(second, worker, phase)
            cluster.wait_for("the worker Ready again", lambda: worker.name in cluster.ready_nodes(second))
            self._new_pod(third, worker, "again", phase)
        with self.phases.phase("Nothing left the machines' network") as phase:
            phase.say(proof.prove_silence(switch, alive))

    def _carry_join_file(self, source: Machine, *targets: Machine) -> None:
        """What ``airgap-bundle join-file`` prints on a control plane that joined, as the operator carries it."""
        text = source.must("airgap-bundle join-file", timeout_seconds=cluster.READY_SECONDS)
        for target in targets:
            target.write(cluster.JOIN_CARRIED, f"{text}\n".encode())

    def _all_ready(self, control_plane: Machine, names: set[str], phase: Phase) -> None:
        cluster.wait_for("every node Ready", lambda: cluster.ready_nodes(control_plane) == names)
        for namespace in (cluster.SYSTEM_NAMESPACE, cluster.NETWORK_NAMESPACE):
            cluster.wait_for_pods(control_plane, namespace)
        phase.say(cluster.kubectl(control_plane, "get nodes,pods -A -o wide"))

    def _api_answers(self, planes: tuple[Machine, ...], workers: tuple[Machine, ...], phase: Phase) -> None:
        """Each of the others reaches the API by its own HAProxy; the API sees that the first is gone."""
        asks = [(plane, f"{proof.KUBECTL} get nodes") for plane in planes]
        asks += [(worker, f"{KUBELET_KUBECTL} get node {worker.name}") for worker in workers]
        for machine, command in asks:

            def answers(machine: Machine = machine, command: str = command) -> bool:
                return machine.run(command, timeout_seconds=300).code == 0

            cluster.wait_for(f"the API answers {machine.name}", answers)
            phase.say(f"{machine.name}$ {command}\n{machine.must(command, timeout_seconds=300)}")
        names = {machine.name for machine in (*planes, *workers)}
        cluster.wait_for(
            "the first control plane not Ready, the others Ready",
            lambda: cluster.ready_nodes(planes[0]) == names,
        )

    def _new_pod(self, control_plane: Machine, worker: Machine, name: str, phase: Phase) -> None:
        images = [image.name for image in proof.stored_images(worker)]
        image = next(found for found in images if "/coredns" in found and "@" not in found)
        control_plane.write(f"/root/{name}.yaml", POD.format(name=name, image=image).encode())
        cluster.kubectl(control_plane, f"apply -f /root/{name}.yaml")
        cluster.wait_for(
            f"the pod {name} Ready", lambda: cluster.ready_pods(control_plane, f"-l app={name}") == {name: True}
        )
        phase.say(cluster.kubectl(control_plane, f"get pod {name} -o wide"))

    def _join_again(self, control_plane: Machine, worker: Machine, phase: Phase) -> None:
        """As an operator does it: reset, forget the node, a join file that is valid now, install."""
        phase.say(worker.must("airgap-bundle reset --yes", timeout_seconds=cluster.INSTALL_SECONDS))
        cluster.kubectl(control_plane, f"delete node {worker.name}")
        self._carry_join_file(control_plane, worker)
        cluster.install(worker, self.media, JOIN.format(role="worker"), phase)
        if worker.run(f"{KUBELET_KUBECTL} get node {worker.name}", timeout_seconds=300).code != 0:
            raise ProofError(f"{worker.name} does not reach the API after it joined again")

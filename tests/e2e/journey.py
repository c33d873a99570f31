"""The whole way: a bundle from real parts, two machines that can reach nothing, a cluster that works."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from installer.join import JoinFile
from tests.e2e import cluster
from tests.e2e.pods import pods_reach_each_other
from tests.e2e.usage import nodes_tell_what_they_use
from tests.e2e.volumes import NAMESPACE, a_claim_becomes_a_folder
from tests.lab import proof
from tests.lab.builds import bundled_version
from tests.lab.machine import MEDIA_MOUNT, Machine
from tests.lab.phases import Phase, Phases, spoken
from tests.lab.proof import ProofError
from tests.lab.switch import Switch, private_network
from tests.lab.untold import prove_untold
from tests.readme import install_commands

GIB = 1 << 30
NODE_DNS = "node-local-dns"
AGAIN_PART = 1 / 3  # of the first install, so that a busy machine does not fail what an idle one passes
DAMAGED_BYTE = "3000000 $(ls *.tar.zst)"
"""Release files come first in a tarball, and each node needs all of them; what it does not need it does not read."""
HELLO_PORT = 8080
# The README's own commands; slow machines need cluster.yaml, and the medium is read-only, so join.yaml lies elsewhere.
AS_CONTROL_PLANE, AS_WORKER = (
    f"{command.replace('join.yaml', cluster.JOIN_CARRIED)} --config {cluster.CONFIG}" for command in install_commands()
)
HELLO = """\
apiVersion: v1
kind: ConfigMap
metadata: {{name: hello}}
data:
  Corefile: |
    .:5353 {{
      health :8080
      whoami
    }}
---
apiVersion: v1
kind: Pod
metadata: {{name: hello, labels: {{app: hello}}}}
spec:
  nodeName: {node}
  automountServiceAccountToken: false
  containers:
    - name: hello
      image: {image}
      args: ["-conf", "/etc/coredns/Corefile"]
      readinessProbe: {{httpGet: {{path: /health, port: 8080}}, timeoutSeconds: 10}}
      volumeMounts: [{{name: config, mountPath: /etc/coredns}}]
  volumes:
    - name: config
      configMap: {{name: hello}}
---
apiVersion: v1
kind: Service
metadata: {{name: hello}}
spec:
  selector: {{app: hello}}
  ports: [{{port: 80, targetPort: 8080}}]
"""


@dataclass(frozen=True)
class Journey:
    """One attempt on fresh machines. ``disk`` holds the media set ``media``; ``folder`` takes the evidence.

    ``cni`` is the pod network the bundle carries; with ``none`` the pods are connected by its bridge plugin.
    ``addons`` are what else it carries; with the DNS cache of nodes, pods ask each other by name too, an add-on of
    the journey's own makes volumes, and metrics-server has figures.
    """

    phases: Phases
    folder: Path
    media: str
    disk: Path
    cni: str
    addons: tuple[str, ...] = ()

    @property
    def _namespaces(self) -> tuple[str, ...]:
        own = () if self.cni == "none" else (cluster.NETWORK_NAMESPACE,)
        return (cluster.SYSTEM_NAMESPACE, *own, *((NAMESPACE,) if self.addons else ()))

    def run(self) -> None:
        """Raises at the first thing that does not hold, with everything that explains it in ``folder``."""
        with ExitStack() as stack:
            switch = stack.enter_context(private_network(self.folder / "stray.pcap"))
            with self.phases.phase("Start cp-1 and worker-1: no route out, no DNS, no Python, no zstd") as phase:
                machines = (
                    stack.enter_context(self._machine("cp-1", "10.77.0.11/24", switch, 4 * GIB)),
                    stack.enter_context(self._machine("worker-1", "10.77.0.21/24", switch, 2 * GIB)),
                )
                for machine in machines:
                    phase.say(f"{machine.name} {machine.address} medium at {machine.mount_media()}")
            try:
                self._travel(switch, *machines)
            except BaseException:
                for machine in machines:
                    cluster.collect(machine, self.folder)
                raise

    def _machine(self, name: str, address: str, switch: Switch, memory_bytes: int) -> Machine:
        return Machine(name, address, switch, self.folder, memory_bytes=memory_bytes, disks=[self.disk])

    def _travel(self, switch: Switch, control_plane: Machine, worker: Machine) -> None:
        machines = (control_plane, worker)
        with self.phases.phase("A damaged medium is refused before anything changes") as phase:
            self._refuse_damage(control_plane, phase)
        with self.phases.phase("Install the control plane") as phase:
            control_plane.write(cluster.CONFIG, cluster.CLUSTER_YAML.encode())
            first_seconds = cluster.install(control_plane, self.media, AS_CONTROL_PLANE, phase)
        with self.phases.phase("Carry join.yaml to the worker and install it") as phase:
            worker.write(cluster.JOIN_CARRIED, control_plane.read(cluster.JOIN_WRITTEN))
            worker.write(cluster.CONFIG, cluster.CLUSTER_YAML.encode())
            joined_seconds = cluster.install(worker, self.media, AS_WORKER, phase)
        how = "bridge plugin" if self.cni == "none" else self.cni
        with self.phases.phase(f"The bundled {how} connects the pods; both nodes become Ready") as phase:
            if self.cni == "none":
                phase.say(cluster.connect_pods(control_plane, machines))
            self._both_ready(control_plane, phase)
        with self.phases.phase("A pod on the worker answers the control-plane node") as phase:
            self._pod_answers(control_plane, worker, phase)
        if NODE_DNS in self.addons:
            with self.phases.phase("Pods of two nodes reach each other: by address, by Service, by name") as phase:
                pods_reach_each_other(control_plane, machines, phase)
            with self.phases.phase(
                "A claim becomes a folder of the worker, by an add-on of the user's own file"
            ) as phase:
                a_claim_becomes_a_folder(control_plane, worker, phase)
            with self.phases.phase("kubectl top: figures of every node, from kubelets with a certificate") as phase:
                nodes_tell_what_they_use(control_plane, machines, phase)
        with self.phases.phase("Installing again changes nothing and takes seconds") as phase:
            self._again(control_plane, AS_CONTROL_PLANE, first_seconds, phase)
            self._again(worker, AS_WORKER, joined_seconds, phase)
        with self.phases.phase("The proof, read with stock commands") as phase:
            self._prove(switch, machines, phase)

    def _refuse_damage(self, machine: Machine, phase: Phase) -> None:
        """Flip one bit of a release file in the tarball, as a bad stick would, and put it back.

        The installer's own unpacked runtime is all that may stay: it is what does the judging.
        """
        machine.must(f"mount -o remount,rw {MEDIA_MOUNT}")
        flip = (
            f"cd {self.media} && set -- {DAMAGED_BYTE} && "
            "old=$(dd if=$2 bs=1 skip=$1 count=1 status=none | od -An -tu1) && "
            'printf "\\\\$(printf %o $((old ^ 1)))" | dd of=$2 bs=1 seek=$1 conv=notrunc status=none'
        )
        machine.must(f"{flip} && mount -o remount,ro {MEDIA_MOUNT} && sleep 1 && touch /run/lab-mark && sleep 1")
        done = machine.run(f"cd {self.media} && ./install --role cp", timeout_seconds=cluster.INSTALL_SECONDS)
        phase.say(done.stdout + done.stderr)
        if done.code != 4:
            raise ProofError(f"the damaged medium gave exit code {done.code}, wanted 4 (integrity)")
        changed = machine.must(_NEW_FILES)
        if changed:
            raise ProofError(f"the refused install changed: {changed}")
        machine.must(f"mount -o remount,rw {MEDIA_MOUNT} && {flip} && mount -o remount,ro {MEDIA_MOUNT}")

    def _both_ready(self, control_plane: Machine, phase: Phase) -> None:
        both = {"cp-1", "worker-1"}
        cluster.wait_for("both nodes Ready", lambda: cluster.ready_nodes(control_plane) == both)
        for namespace in self._namespaces:
            cluster.wait_for_pods(control_plane, namespace)
        phase.say(cluster.kubectl(control_plane, "get nodes -o wide"))
        phase.say(cluster.kubectl(control_plane, "get pods -A -o wide"))

    def _pod_answers(self, control_plane: Machine, worker: Machine, phase: Phase) -> None:
        images = [image.name for image in proof.stored_images(worker)]
        image = next(name for name in images if "/coredns@" in name)  # by digest, as many charts name theirs
        manifest = HELLO.format(node=worker.name, image=image)
        control_plane.write("/root/hello.yaml", manifest.encode())
        cluster.kubectl(control_plane, "apply -f /root/hello.yaml")
        cluster.wait_for(
            "the pod on the worker Ready", lambda: cluster.ready_pods(control_plane, "-l app=hello") == {"hello": True}
        )
        pod = cluster.kubectl(control_plane, "get pod hello -o jsonpath={.status.podIP}")
        service = cluster.kubectl(control_plane, "get service hello -o jsonpath={.spec.clusterIP}")
        for what, address, port in (("pod", pod, HELLO_PORT), ("service", service, 80)):
            cluster.wait_for_answer(control_plane, f"http://{address}:{port}/health", "OK")
            phase.say(f"{control_plane.name} -> {what} {address}:{port} on {worker.name}: OK")

    def _again(self, machine: Machine, command: str, first_seconds: float, phase: Phase) -> None:
        before = machine.must(_STATE)
        done = machine.run(f"cd {self.media} && {command} 2>&1", timeout_seconds=cluster.INSTALL_SECONDS)
        phase.say(f"{machine.name}$ {command}    {spoken(done.seconds)}, exit code {done.code}")
        if done.code != 0:
            raise ProofError(f"the second install on {machine.name} failed:\n{done.stdout}")
        if machine.must(_STATE) != before:
            raise ProofError(f"the second install on {machine.name} changed something:\n{done.stdout}")
        if done.seconds > first_seconds * AGAIN_PART:
            took = f"{spoken(done.seconds)}, the first {spoken(first_seconds)}"
            raise ProofError(f"the second install on {machine.name} was not quick", got=took)

    def _prove(self, switch: Switch, machines: tuple[Machine, Machine], phase: Phase) -> None:
        control_plane, _worker = machines
        version = bundled_version(Path(self.media))
        phase.say(proof.prove_silence(switch, machines))
        phase.say(proof.prove_already_present(control_plane, self._namespaces))
        used = {name for space in self._namespaces[1:] for name in cluster.used_images(control_plane, space)}
        phase.say(f"outside kube-system run {', '.join(sorted(used)) or 'a plugin and no pods'}")
        for machine in machines:
            phase.say(f"{machine.name}: {proof.prove_pinned(machine, used)}")
            phase.say(f"{machine.name}: {proof.prove_pause(machine, version)}")
            phase.say(f"{machine.name}: {proof.prove_no_pull(machine, proof.pause_reference(machine))}")
            phase.say(f"{machine.name}: {prove_untold(machine, _secrets(control_plane), cluster.JOIN_CARRIED)}")
        phase.say(proof.prove_silence(switch, machines))


def _secrets(control_plane: Machine) -> list[str]:
    """What the install drew by lot, but for the part of the token that only names it."""
    join = JoinFile.from_text(control_plane.read(cluster.JOIN_WRITTEN).decode(), where=cluster.JOIN_WRITTEN)
    return [secret for secret in (join.token.partition(".")[2], join.certificate_key) if secret]


_NEW_FILES = (
    "find /etc /usr /var/lib /opt /root -xdev -newer /run/lab-mark -type f -not -path '/opt/airgap-bundle/runtime/*'"
)
# What an install may change: its files, the units' state, the image store. Not what a running cluster rewrites.
_STATE = (
    "find /etc/kubernetes /etc/containerd /etc/systemd /etc/sysctl.d /etc/modules-load.d /etc/crictl.yaml /etc/fstab "
    "/etc/airgap-bundle /usr/local/bin /opt -type f -printf '%p %s %T@\\n' 2>/dev/null | sort; "
    "systemctl show -p ActiveEnterTimestampMonotonic kubelet containerd; "
    f"{proof.CTR} images ls | awk '{{print $1, $3}}' | sort"
)

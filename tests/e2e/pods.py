"""A pod on each node that answers and asks: by pod address, by Service, and by name through the node's DNS cache."""

from __future__ import annotations

import re
import shlex

from tests.e2e import cluster
from tests.lab import proof
from tests.lab.machine import Machine
from tests.lab.phases import Phase
from tests.lab.proof import ProofError

PORT = 8080
CACHE_METRICS = "127.0.0.1:9253"
_ASKED = re.compile(r"^coredns_dns_requests_total\{.*\} (\S+)$", re.MULTILINE)
_ADDRESS = re.compile(r"^Address(?: \d+)?:\s+(\S+)$", re.MULTILINE)
# One image answers (CoreDNS' health) and one asks: flannel's has busybox.
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  nodeName: {node}
  automountServiceAccountToken: false
  containers:
    - name: answers
      image: {answers}
      args: ["-conf", "/etc/coredns/Corefile"]
      readinessProbe: {{httpGet: {{path: /health, port: 8080}}, timeoutSeconds: 10}}
      volumeMounts: [{{name: config, mountPath: /etc/coredns}}]
    - name: asks
      image: {asks}
      command: ["/bin/busybox", "sleep", "1000000"]
  volumes: [{{name: config, configMap: {{name: {name}}}}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data: {{Corefile: ".:5353 {{\\n  health :8080\\n  whoami\\n}}\\n"}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: 8080}}]
"""


def pods_reach_each_other(control_plane: Machine, machines: tuple[Machine, Machine], phase: Phase) -> None:
    """A pod on each of ``machines`` asks the one on the other, every way there is."""
    for machine in machines:
        _make(control_plane, machine)
    for here, there in (machines, machines[::-1]):
        cluster.wait_for_pods(control_plane, "default")
        for told in _asks(control_plane, here, there):
            phase.say(told)


def _make(control_plane: Machine, machine: Machine) -> None:
    images = [image.name for image in proof.stored_images(machine) if "@" not in image.name]
    manifest = POD.format(
        name=_name(machine),
        node=machine.name,
        answers=next(name for name in images if "/coredns" in name),
        asks=next(name for name in images if "/flannel:" in name),
    )
    path = f"/root/{_name(machine)}.yaml"
    control_plane.write(path, manifest.encode())
    cluster.kubectl(control_plane, f"apply -f {path}")


def _name(machine: Machine) -> str:
    return f"pod-{machine.name}"


def _asks(control_plane: Machine, here: Machine, there: Machine) -> list[str]:
    """What the pod on ``here`` hears from the one on ``there``; raises what goes wrong."""
    pod, target = _name(here), _name(there)
    address = cluster.kubectl(control_plane, f"get pod {target} -o jsonpath={{.status.podIP}}")
    service = cluster.kubectl(control_plane, f"get service {target} -o jsonpath={{.spec.clusterIP}}")
    name = f"{target}.default.svc.cluster.local"
    for place, port in ((address, PORT), (service, 80)):
        _answers(control_plane, pod, place, port)
    before = asked(here)
    cluster.wait_for(
        f"{pod} finds {name} at {service}",
        lambda: service in _addresses(control_plane, pod, name),
        seen=lambda: _inside(control_plane, pod, "cat /etc/resolv.conf"),
    )
    after = asked(here)
    if after <= before:
        raise ProofError(
            f"the cache of {here.name} was not asked for {name}", wanted=f"over {before:.0f}", got=f"{after}"
        )
    return [
        f"{pod} -> pod {address}:{PORT} on {there.name}: OK",
        f"{pod} -> service {service}:80 on {there.name}: OK",
        f"{pod} -> {name}: {service}, asked of the cache of {here.name}",
    ]


def _answers(control_plane: Machine, pod: str, address: str, port: int) -> None:
    """By nc: the wget of a static busybox crashes where there is no C library to resolve names with."""
    request = f"printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc -w 20 {address} {port}"

    def answer() -> str:
        return _inside(control_plane, pod, f"sh -c {shlex.quote(request)}")

    def is_well() -> bool:
        lines = answer().split()
        return "200" in lines[1:2] and lines[-1] == "OK"

    cluster.wait_for(f"OK from {address}:{port} in {pod}", is_well, seen=answer)


def _addresses(control_plane: Machine, pod: str, name: str) -> list[str]:
    """What the pod's own resolver says of ``name``; the server that it asked comes first."""
    return _ADDRESS.findall(_inside(control_plane, pod, f"nslookup {name}"))[1:]


def _inside(control_plane: Machine, pod: str, command: str) -> str:
    """What a command of busybox says inside the pod, whether it succeeds or not."""
    done = control_plane.run(f"{proof.KUBECTL} exec {pod} -c asks -- /bin/busybox {command}", timeout_seconds=300)
    return done.stdout if done.code == 0 else done.ending()


def asked(machine: Machine) -> float:
    """How many questions the DNS cache of a node has had."""
    request = "GET /metrics HTTP/1.0\\r\\n\\r\\n"
    text = machine.must(f"printf '{request}' | socat -T 20 -t 20 - TCP:{CACHE_METRICS},connect-timeout=20")
    return sum(float(number) for number in _ASKED.findall(text))

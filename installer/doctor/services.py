"""Checks of what runs: containerd, the kubelet, the control plane's pods, the API."""

from __future__ import annotations

from collections.abc import Iterator

from installer.check import Finding, check, ok, problem, warn
from installer.doctor.containers import Container, decoded
from installer.doctor.health import Health

_CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_MANY_RESTARTS = 5
_MANY_ATTEMPTS = 3


@check("install", reads="the record of the install")
def install(health: Health) -> Finding:
    """Whether this tool has made a node of this machine, and finished: everything else is judged by that record."""
    record = health.installed
    if record is None:
        why = "what follows is what can be seen of a machine that this tool has not installed"
        return warn("install", "nothing by this tool", why, "sudo ./install --role cp|worker, from the medium")
    seen = f"{record.kubernetes} as {record.role}"
    if record.state != "done":
        why = "an install was begun here and did not come to its end"
        return problem("install", f"{seen}, not finished", why, "run the same ./install again: it goes on from there")
    return ok("install", seen)


@check("services", reads="systemctl is-active containerd, kubelet")
def services(health: Health) -> Iterator[Finding]:
    """containerd and the kubelet run, or nothing else does.

    A kubelet that restarts before kubeadm has configured it is only waiting; so is shown by status.
    """
    for unit, state in health.services.items():
        name = f"services {unit}"
        if state == "active":
            restarts = health.restarts.get(unit, 0)
            if restarts >= _MANY_RESTARTS:
                why = "it ends and is started again; its log says why"
                yield warn(name, f"active, restarted {restarts} times", why, f"journalctl -u {unit} -n 50")
            else:
                yield ok(name, "active")
        elif state == "waiting for kubeadm":
            yield warn(name, state, "kubeadm has not configured it yet", "run ./install again: it goes on from there")
        else:
            why = "no pod of this node is looked after" if unit == "kubelet" else "no container can be started here"
            yield problem(name, state, why, f"journalctl -u {unit} -n 50; then  systemctl restart {unit}")


@check("cri", reads="crictl ps -a")
def cri(health: Health) -> Finding:
    """The kubelet asks containerd over the CRI; where that does not answer, pods are neither started nor stopped."""
    if health.containers is None:
        why = "the kubelet can neither start nor stop a pod"
        fix = "systemctl restart containerd; then  journalctl -u containerd -n 50"
        return problem("cri", "does not answer", why, fix)
    return ok("cri", f"{len(health.containers)} containers")


@check("static-pods", reads="crictl ps -a")
def static_pods(health: Health) -> Iterator[Finding]:
    """The control plane's own pods, started by the kubelet from /etc/kubernetes/manifests, run here.

    This works with the API down, and is the first thing to look at when it is.
    """
    if not health.is_control_plane or health.containers is None:
        return
    there = {item.name: item for item in health.containers if item.pod.startswith("kube-system/")}
    for name in _CONTROL_PLANE:
        found = there.get(name)
        title = f"static-pods {name}"
        if found is None:
            why = "the kubelet has not started it, or its sandbox could not be made"
            fix = f"ls /etc/kubernetes/manifests/{name}.yaml; then  journalctl -u kubelet -n 50"
            yield problem(title, "no container", why, fix)
        elif found.state != "running":
            seen = f"{found.state}, exit code {found.exit_code}, {found.attempts} attempts before"
            fix = f"crictl logs $(crictl ps -a -q --name {name} | head -n 1)"
            yield problem(title, seen, decoded(found.exit_code), fix)
        else:
            yield ok(title, "running")


@check("containers", reads="crictl ps -a")
def crashing(health: Health) -> Iterator[Finding]:
    """Containers that end again and again, with what their exit code means."""
    there = [item for item in health.containers or () if item.name not in _CONTROL_PLANE]
    bad = [item for item in there if item.state == "exited" and item.exit_code and item.attempts >= _MANY_ATTEMPTS]
    for item in bad:
        yield _crashing(item)
    if not bad:
        yield ok("containers", f"{len(there)}, none that ends again and again")


def _crashing(item: Container) -> Finding:
    name = f"containers {item.pod.rpartition('/')[2]}/{item.name}"
    reason = f" ({item.reason})" if item.reason and item.reason != "Error" else ""
    seen = f"exit code {item.exit_code}{reason}, started {item.attempts + 1} times"
    fix = f"crictl logs $(crictl ps -a -q --name {item.name} | head -n 1)"
    return problem(name, seen, decoded(item.exit_code), fix)


@check("api", reads="/readyz of the API server, through this node's own endpoint")
def api(health: Health) -> Finding:
    """The API answers this node, at the address its own kubeconfig has (the local endpoint, where there is one)."""
    if health.api == "ok":
        return ok("api", "ready")
    seen = health.api[:200] or health.api_error
    why = "this node cannot report, and nothing new is scheduled to it"
    fix = "on a control plane look at static-pods first; elsewhere at the way there:  ss -ltnp, ip route"
    return problem("api", seen or "does not answer", why, fix)


CHECKS = (install, services, cri, static_pods, crashing, api)

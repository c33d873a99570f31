"""Checks of what is there already: a cluster, another install, the distribution's own packages."""

from __future__ import annotations

from installer.check import Finding, check, ok, problem, warn
from installer.foundcontainerd import FoundContainerd
from installer.preflight.subject import Subject
from installer.render.containerd import DEFAULT_SOCKET

_RUNTIMES = ("containerd", "containerd.io", "cri-o", "docker-ce", "docker.io", "moby-engine")
_SITE_RUNTIMES = tuple(name for name in _RUNTIMES if name != "cri-o")
_KUBERNETES = ("kubeadm", "kubelet")
_OLDEST = (1, 6, 15)
"""containerd's own table names it for every Kubernetes from 1.26 on."""
_PINS = {"1.6": (1, 6, 22), "1.7": (1, 7, 3)}
"""From which patch on a line tells the kubelet that an image is pinned."""
_RECOMMENDED = {32: (1, 6, 36), 34: (1, 6, 39), 35: (1, 7, 28), 36: (2, 2, 0)}
"""The oldest containerd that its project recommends, from which Kubernetes minor on."""


@check("cluster", reads="/etc/kubernetes, /var/lib/kubelet, /var/lib/etcd, the record of the install", firm=True)
def cluster(subject: Subject) -> Finding:
    """A node that belongs to a cluster is not taken over: its pods would be lost without a word. The same install once
    more is welcome, and goes on where it was interrupted.
    """
    record, state = subject.facts.installed, subject.facts.kubernetes
    if subject.again:
        return ok("cluster", f"this install was {'completed' if record and record.state == 'done' else 'begun'} here")
    if record is not None:
        seen = f"{record.kubernetes} installed as {record.role}"
        why = f"this bundle would make it {subject.index.kubernetes} as {subject.role}"
        return problem("cluster", seen, why, "sudo airgap-bundle reset, if what is there is no longer wanted")
    if state.in_cluster:
        why = "the node is already in a cluster that this tool did not make"
        fix = "if that cluster is no longer wanted: kubeadm reset, then remove the files named here"
        return problem("cluster", ", ".join(state.paths), why, fix)
    return ok("cluster", "in none")


@check("containerd", reads="containerd on PATH, its unit and its configuration", firm=True)
def runtime(subject: Subject) -> Finding:
    """Two containerds on one machine stop each other's containers. One that the site owns is kept if Kubernetes can use
    it (containerd.owner: site), and never taken over.
    """
    found, record = subject.facts.runtime, subject.facts.installed
    if record is not None and subject.containerd_owner != record.containerd_owner:
        seen = f"installed here with the owner {record.containerd_owner}"
        return problem(
            "containerd", seen, "the owner does not change under a cluster", "sudo airgap-bundle reset first"
        )
    if subject.containerd_owner == "site":
        return _site_runtime(subject, found)
    if found is None or record is not None:
        return ok("containerd", "none" if found is None else f"{found.version}, from this tool")
    seen = f"{found.version} at {found.program}"
    why = "it may run containers that are not this cluster's, and two on one machine stop each other's"
    return problem("containerd", seen, why, "remove it and its package, or keep it: containerd.owner: site")


def _site_runtime(subject: Subject, found: FoundContainerd | None) -> Finding:
    if found is None:
        return problem("containerd", "none", "containerd.owner is site", "install one, or leave containerd.owner out")
    seen = f"{found.version} at {found.program}, the site's"
    unusable = _unusable(found)
    if unusable is not None:
        why, fix = unusable
        return problem("containerd", seen, why, f"{fix}; or remove it and its package: the bundle brings its own")
    version = _numbers(found.version)
    pins = _PINS.get(found.version.rpartition(".")[0], version)
    if version < pins:
        why = "it does not tell the kubelet which images are pinned: on a full disk the bundle's may be removed"
        return warn("containerd", seen, why, f"upgrade it to {_spoken(pins)} or newer")
    recommended = max((least for minor, least in _RECOMMENDED.items() if minor <= subject.minor), default=version)
    if version < recommended:
        why = f"containerd's project recommends {_spoken(recommended)} or newer for Kubernetes 1.{subject.minor}"
        return warn("containerd", seen, why, "upgrade it when you can")
    return ok("containerd", seen)


def _unusable(found: FoundContainerd) -> tuple[str, str] | None:
    """Why Kubernetes cannot use it, and what to do about that; ``None`` if it can."""
    if not found.has_unit:
        return "systemd has no containerd.service", "give it a unit of that name"
    if _numbers(found.version) < _OLDEST:
        return f"Kubernetes needs containerd {_spoken(_OLDEST)} or newer", "upgrade it"
    if found.socket != DEFAULT_SOCKET:
        return f"it listens at {found.socket}, and the kubelet asks {DEFAULT_SOCKET}", "move its socket there"
    if found.runc is None:
        return "there is no runc, so it starts no container", "install runc"
    return None


@check("packages", reads="the distribution's list of packages")
def packages(subject: Subject) -> Finding:
    """Packages of the distribution for container runtimes and Kubernetes are changed by the next upgrade of the system,
    behind the cluster's back.
    """
    there = subject.facts.packages
    if not there:
        return ok("packages", "no container runtime or Kubernetes from the distribution")
    seen = ", ".join(f"{name} {version}" for name, version in sorted(there.items()))
    why = "the system's own upgrades would change versions behind the cluster's back"
    kept = _SITE_RUNTIMES if subject.containerd_owner == "site" else ()
    stopping = [name for name in (*_KUBERNETES, *_RUNTIMES) if name in there and name not in kept]
    if stopping:
        return problem("packages", seen, why, f"remove them: {' '.join(sorted(stopping))}")
    return warn("packages", seen, why, f"hold them: {' '.join(sorted(there))}" if kept else "remove them")


def _numbers(version: str) -> tuple[int, ...]:
    """``(1, 7, 24)``; nothing, which is older than anything, for a version that cannot be read."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def _spoken(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


@check("named-files", reads="the files that cluster.yaml refers to")
def named_files(subject: Subject) -> Finding:
    """A file that cluster.yaml refers to and that is not there stops containerd at its first pull, not now."""
    absent = subject.facts.absent_files
    if absent:
        why = "containerd.registries in cluster.yaml refers to it"
        return problem("named-files", f"not there: {', '.join(absent)}", why, "put the file on this node first")
    return ok("named-files", f"{len(subject.config.named_files)} named, all there")


@check("old-network", reads="/etc/cni/net.d")
def old_network(subject: Subject) -> Finding:
    """A pod network's configuration that is there before the network is: the first pods get addresses of the old one.

    The kubelet then says Ready too early, and CoreDNS starts where nobody reaches it.
    """
    there = subject.facts.network_configurations
    if not there or subject.again or subject.facts.kubernetes.in_cluster:
        return ok("old-network", "none" if not there else "of the cluster that is here")
    seen = f"/etc/cni/net.d: {', '.join(there)}"
    if all("podman" in name for name in there):
        return warn("old-network", seen, "podman's own; pods may get its addresses until their network is there")
    why = "the first pods would be connected by it"
    return problem("old-network", seen, why, "mkdir -p /root/old-cni && mv /etc/cni/net.d/* /root/old-cni/")


CHECKS = (cluster, runtime, packages, named_files, old_network)

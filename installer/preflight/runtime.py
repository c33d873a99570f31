"""Checks of what is there already: a cluster, another install, the distribution's own packages."""

from __future__ import annotations

from installer.preflight.finding import Finding, Subject, ok, problem, warn

_RUNTIMES = ("containerd", "containerd.io", "cri-o", "docker-ce", "docker.io", "moby-engine")
_KUBERNETES = ("kubeadm", "kubelet")


def cluster(subject: Subject) -> Finding:
    """A node that belongs to a cluster is not taken over; the same install once more is welcome."""
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


def runtime(subject: Subject) -> Finding:
    """A container runtime of the site's own, with its own containers, is not replaced."""
    found = subject.facts.runtime
    if found is None or found.ours:
        return ok("containerd", "none" if found is None else f"{found.version}, from this tool")
    seen = f"{found.version} at {found.path}"
    why = "it may run containers that are not this cluster's, and two on one machine stop each other's"
    return problem("containerd", seen, why, "remove it (and its package) if nothing needs it")


def packages(subject: Subject) -> Finding:
    """Packages of the distribution that an upgrade of the system would change behind the cluster's back."""
    there = subject.facts.packages
    if not there:
        return ok("packages", "no container runtime or Kubernetes from the distribution")
    seen = ", ".join(f"{name} {version}" for name, version in sorted(there.items()))
    why = "the system's own upgrades would change versions behind the cluster's back"
    if any(name in there for name in (*_KUBERNETES, *_RUNTIMES)):
        return problem("packages", seen, why, f"remove them: {' '.join(sorted(there))}")
    return warn("packages", seen, why, "remove them")


def named_files(subject: Subject) -> Finding:
    """A file that cluster.yaml refers to and that is not there stops containerd at its first pull, not now."""
    absent = subject.facts.absent_files
    if absent:
        why = "containerd.registries in cluster.yaml refers to it"
        return problem("named-files", f"not there: {', '.join(absent)}", why, "put the file on this node first")
    return ok("named-files", f"{len(subject.config.named_files)} named, all there")


CHECKS = (cluster, runtime, packages, named_files)

"""Checks of what cluster.yaml asks of Kubernetes against what the bundle's release can be told."""

from __future__ import annotations

from installer.check import Finding, check, ok, problem
from installer.preflight.subject import Subject
from installer.render.kubeadm import FIRST_MINOR_PATCHING_COREDNS, FIRST_MINOR_WITH_V1BETA4


@check("extra-args", reads="extraArgs in cluster.yaml")
def repeated_flags(subject: Subject) -> Finding:
    """Up to 1.30 kubeadm's configuration has room for one value per flag; a second one would silently win."""
    repeated = subject.config.extra_args.repeated
    if repeated and subject.minor < FIRST_MINOR_WITH_V1BETA4:
        why = f"kubeadm {subject.index.kubernetes} takes each flag once; from 1.{FIRST_MINOR_WITH_V1BETA4} on a list"
        return problem("extra-args", f"repeated: {', '.join(repeated)}", why, "one value each in cluster.yaml")
    return ok("extra-args", "as this release takes them")


@check("patches", reads="patches in cluster.yaml")
def patches(subject: Subject) -> Finding:
    """A target that this kubeadm does not know yet would silently not be patched."""
    if "corednsdeployment" in subject.config.patches and subject.minor < FIRST_MINOR_PATCHING_COREDNS:
        why = f"kubeadm {subject.index.kubernetes} would pass over it; 1.{FIRST_MINOR_PATCHING_COREDNS} is the first"
        return problem("patches", "corednsdeployment", why, "take patches.corednsdeployment out of cluster.yaml")
    return ok("patches", ", ".join(subject.config.patches) or "none")


CHECKS = (repeated_flags, patches)

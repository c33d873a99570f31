"""What an install leaves on a node, as lines that two installs must have in common, read with stock commands."""

from __future__ import annotations

from tests.lab.machine import Machine
from tests.lab.proof import CTR, KUBECTL, ProofError

SHOWN_LINES = 20
_FOLDERS = "boot etc home opt root run/airgap-bundle srv tmp usr/local var"
_PRUNED = r"\( -path var/log -o -path var/cache -o -path var/lib/systemd -o -name 'systemd-private-*' \) -prune -o"
"""What the machine itself writes, install or not."""
_ELSEWHERE = r"\( -path 'var/lib/airgap-bundle/journal/*' -o -path 'var/lib/containerd/*' \) -prune -o"
"""The runs, which differ, and containerd's own files: what it says that it holds is compared instead."""
_BY_LOT = (
    r"\( -path '*/pki/*' -o -path 'etc/kubernetes/*.conf' -o -path 'var/lib/etcd/*'"
    r" -o -name join.yaml -o -name machine-id -o -name installed.json -o -name custody.log \)"
)
"""Content that follows from keys, times and tokens; these files have to be there, with the same mode and owner."""
_FIND = f"cd / && find {_FOLDERS} -xdev {_PRUNED} {_ELSEWHERE}"
_UNITS = "containerd kubelet airgap-bundle-service-route"
_SHOWN = "-p LoadState -p ActiveState -p SubState -p UnitFileState -p NeedDaemonReload -p FragmentPath -p DropInPaths"
_COMMANDS = (
    rf"{_FIND} -printf '%y %p %m %u:%g %l\n' | sort",
    f"{_FIND} -type f ! {_BY_LOT} -print0 | sort -z | xargs -0 sha256sum",
    "grep -v -e since_seconds -e machine_id /var/lib/airgap-bundle/installed.json",
    f"{CTR} images ls | awk '{{print $1, $3, $NF}}' | sort",
    f"{CTR} content ls -q | sort; {CTR} content active | wc -l; {CTR} containers ls; {CTR} tasks ls",
    f"{CTR} snapshots ls | awk '{{print $1, $2, $3}}' | sort",
    "containerd config dump; crictl info | grep -i sandboximage; ls -A /run/containerd",
    "sed -n 's/^\\([a-z0-9_.]*\\) *=.*/\\1/p' /etc/sysctl.d/90-airgap-bundle.conf | xargs sysctl",
    "awk '{print $1}' /proc/modules | sort; swapon --show --noheadings",
    "ip -brief link | awk '{print $1, $2}'; ip -4 -brief address; ip route",
    f"for unit in {_UNITS}; do systemctl show $unit {_SHOWN}; done; systemctl --failed --no-legend --plain",
    f"for kind in nodes namespaces configmaps daemonsets deployments; do {KUBECTL} get $kind -A -o name; done",
    f"{KUBECTL} get configmap -n kube-system coredns -o json",
    "helm --kubeconfig /etc/kubernetes/admin.conf list --all-namespaces --deployed --failed --pending --superseded"
    " --uninstalled --uninstalling -o json | grep -e name -e chart -e status",
    "ps -eo args= | grep -e airgap-bundle -e kubeadm -e 'ctr ' | grep -v grep || true",
)
_PROGRAMS = r"find /usr/local /opt/cni -xdev -type f ! -name '.*' -printf '%p %m %u:%g %s\n'"


def state_of(machine: Machine) -> str:
    """All of it: files with modes, owners and content, images and pins, settings of the kernel, units, the cluster."""
    return "\n".join(f"$ {command}\n{machine.must(command)}" for command in _COMMANDS)


def programs_of(machine: Machine) -> set[str]:
    """Each placed program with its mode, owner and size."""
    return set(machine.run(_PROGRAMS).stdout.splitlines())


def demand_same(what: str, wanted: str, got: str) -> None:
    """Raises :class:`ProofError` with the lines that differ."""
    if wanted == got:
        return
    before, after = set(wanted.splitlines()), set(got.splitlines())
    gone, new = sorted(before - after), sorted(after - before)
    raise ProofError(
        f"not the same {what}",
        wanted="\n".join(gone[:SHOWN_LINES]) or "none of these",
        got="\n".join(new[:SHOWN_LINES]),
    )

"""The kubelet's units and what its configuration must say on this node.

What is set aside for what is no pod follows the node's size, each of the two shares by the same rule: memory is 64 MiB
and a fiftieth of all, at most 2 GiB; processor time is 50m, and for the kubelet and containerd, which have more to do
on a larger node, 10m more per processor, at most 500m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from installer.settings import KubeletSettings

UNIT_PATH = "/etc/systemd/system/kubelet.service"
DROP_IN_PATH = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"

_FIRST_MINOR_KNOWING_FAIL_CGROUP_V1 = 31
_MEBI = 1024 * 1024
_COUNTED_IN_MEBI = 256
"""Memory is counted in steps of this, so that another kernel on the same machine changes nothing."""
_MEMORY_LEAST_MEBI, _MEMORY_MOST_MEBI, _MEMORY_SHARE = 64, 2048, 50
_CPU_LEAST_MILLI, _CPU_MOST_MILLI, _CPU_EACH_MILLI = 50, 500, 10


@dataclass(frozen=True)
class NodeShape:
    """What a kubelet's settings depend on: the machine's size, and its control groups' version."""

    cpus: int
    memory_bytes: int
    cgroup_version: int


def unit() -> str:
    """``kubelet.service``; until ``kubeadm`` has written the configuration it restarts every ten seconds."""
    return """\
# Written by airgap-bundle. Changes of your own belong in kubelet.service.d/*.conf.
[Unit]
Description=kubelet, the Kubernetes node agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target containerd.service
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/kubelet
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
"""


def drop_in() -> str:
    """``10-kubeadm.conf``: the flags kubeadm and the user keep in their own files."""
    return """\
# Written by airgap-bundle. Extra flags of your own belong in /etc/default/kubelet as KUBELET_EXTRA_ARGS=...
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/sysconfig/kubelet
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS \
$KUBELET_EXTRA_ARGS
"""


def node_settings(minor: int, shape: NodeShape, settings: KubeletSettings, *, resolver_path: str) -> dict[str, Any]:
    """What KubeletConfiguration must say on this node and need not say on another, for Kubernetes 1.``minor``."""
    found: dict[str, Any] = {
        "resolvConf": resolver_path,
        "systemReserved": system_reserved(shape) | settings.system_reserved,
        "kubeReserved": kube_reserved(shape) | settings.kube_reserved,
    }
    if not settings.fail_cgroup_v1 and minor >= _FIRST_MINOR_KNOWING_FAIL_CGROUP_V1:
        found["failCgroupV1"] = False
    return found


def system_reserved(shape: NodeShape) -> dict[str, str]:
    """What is set aside for the system's own services."""
    return {"cpu": f"{_CPU_LEAST_MILLI}m", "memory": _memory(shape)}


def kube_reserved(shape: NodeShape) -> dict[str, str]:
    """What is set aside for the kubelet and containerd."""
    milli = min(_CPU_LEAST_MILLI + _CPU_EACH_MILLI * shape.cpus, _CPU_MOST_MILLI)
    return {"cpu": f"{milli}m", "memory": _memory(shape)}


def _memory(shape: NodeShape) -> str:
    counted = shape.memory_bytes // _MEBI // _COUNTED_IN_MEBI * _COUNTED_IN_MEBI
    return f"{min(_MEMORY_LEAST_MEBI + counted // _MEMORY_SHARE, _MEMORY_MOST_MEBI)}Mi"

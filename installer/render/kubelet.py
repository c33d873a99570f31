"""The kubelet's units and what its configuration must say on this node."""

from __future__ import annotations

from typing import Any

UNIT_PATH = "/etc/systemd/system/kubelet.service"
DROP_IN_PATH = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"

_FIRST_MINOR_REFUSING_CGROUP_V1 = 35


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


def node_settings(minor: int, *, resolver_path: str, cgroup_version: int) -> dict[str, Any]:
    """What KubeletConfiguration must say on this node and need not say on another, for Kubernetes 1.``minor``."""
    settings: dict[str, Any] = {"resolvConf": resolver_path}
    if cgroup_version == 1 and minor >= _FIRST_MINOR_REFUSING_CGROUP_V1:
        settings["failCgroupV1"] = False
    return settings

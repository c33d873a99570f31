"""kube-vip as a static pod on control planes: an address that one holds and another takes over by ARP. Pure.

The variables' names are those of kube-vip 1.0. It asks the API server beside it, by the name ``kubernetes``, which its
pod leads to 127.0.0.1: the moving address is not there yet when it starts.
"""

from __future__ import annotations

import ipaddress

from installer.settings import API_PORT
from installer.yamltext import dump_yaml

MANIFEST_PATH = "/etc/kubernetes/manifests/kube-vip.yaml"
ADMIN_KUBECONFIG = "/etc/kubernetes/admin.conf"
FIRST_KUBECONFIG = "/etc/kubernetes/super-admin.conf"
"""From 1.29 on ``admin.conf`` has no rights until ``kubeadm init`` has reached the API, which needs the address."""
FIRST_MINOR_WITH_SUPER_ADMIN = 29
_LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS = 15, 10, 2
"""Kubernetes' own for leader election; kube-vip's of 5, 3 and 1 are too short for a slow etcd."""


def pod(image: str, address: str, interface: str | None, *, kubeconfig: str = ADMIN_KUBECONFIG) -> str:
    """The static pod for ``address`` on ``interface``; ``None`` is the default route's. It asks with ``kubeconfig``."""
    return "# Written by airgap-bundle.\n" + dump_yaml(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "kube-vip",
                "namespace": "kube-system",
                "labels": {"app.kubernetes.io/name": "kube-vip", "tier": "control-plane"},
            },
            "spec": {
                "hostNetwork": True,
                "dnsPolicy": "Default",
                "priorityClassName": "system-node-critical",
                "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["kubernetes"]}],
                "containers": [
                    {
                        "name": "kube-vip",
                        "image": image,
                        "imagePullPolicy": "Never",
                        "args": ["manager"],
                        "env": _environment(address, interface),
                        "resources": {"requests": {"cpu": "25m", "memory": "32Mi"}},
                        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}},
                        "volumeMounts": [{"name": "kubeconfig", "mountPath": ADMIN_KUBECONFIG, "readOnly": True}],
                    }
                ],
                "volumes": [{"name": "kubeconfig", "hostPath": {"path": kubeconfig, "type": "File"}}],
            },
        }
    )


def _environment(address: str, interface: str | None) -> list[dict[str, object]]:
    values = {
        "vip_arp": "true",
        "address": address,
        "port": str(API_PORT),
        **({"vip_interface": interface} if interface else {}),
        "vip_subnet": str(ipaddress.ip_address(address).max_prefixlen),
        "cp_enable": "true",
        "cp_namespace": "kube-system",
        "vip_leaderelection": "true",
        "vip_leasename": "plndr-cp-lock",
        "vip_leaseduration": str(_LEASE_SECONDS),
        "vip_renewdeadline": str(_RENEW_SECONDS),
        "vip_retryperiod": str(_RETRY_SECONDS),
    }
    environment: list[dict[str, object]] = [{"name": name, "value": value} for name, value in values.items()]
    return [*environment, {"name": "vip_nodename", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]

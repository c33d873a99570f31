"""Add-ons as a bundle's index has them, before their charts are made."""

from __future__ import annotations

from installer.bundle.addon import BundledAddon
from installer.bundle.digest import Digest
from installer.bundle.source import Source

FLANNEL = BundledAddon(
    name="flannel",
    version="v0.28.9",
    kind="cni",
    chart=Digest.of(b"a chart"),
    namespace="kube-flannel",
    values={"podCidr": "${podSubnet}", "flannel": {"backend": "vxlan", "args": ["--ip-masq"]}},
    ready=("daemonset/kube-flannel-ds",),
    images_told_by="helm",
    source=Source("https://example.net/flannel.tgz", "first-seen"),
    namespace_labels={"pod-security.kubernetes.io/enforce": "privileged"},
    plugins=("bridge", "portmap"),
    notes=("NetworkPolicy objects have no effect with flannel",),
)
CILIUM = BundledAddon(
    name="cilium",
    version="1.18.12",
    kind="cni",
    chart=Digest.of(b"its chart"),
    namespace="kube-system",
    values={
        "ipam": {"operator": {"clusterPoolIPv4PodCIDRList": ["${podSubnet}"]}},
        "k8sServiceHost": "${apiHost}",
        "k8sServicePort": "${apiPort}",
        "kubeProxyReplacement": "${kubeProxyReplacement}",
    },
    ready=("daemonset/cilium",),
    images_told_by="helm",
    source=Source("https://example.net/cilium-1.18.12.tgz", "upstream"),
)
NODE_LOCAL_DNS = BundledAddon(
    name="node-local-dns",
    version="1.26.4",
    kind="addon",
    chart=Digest.of(b"the chart of the cache"),
    namespace="kube-system",
    values={"address": "${nodeLocalDNS}", "clusterDNS": "${clusterDNS}", "proxyMode": "${proxyMode}"},
    ready=("daemonset/node-local-dns",),
    images_told_by="helm",
    source=Source("https://example.net/node-local-dns-1.26.4.tgz", "upstream"),
)
METRICS = BundledAddon(
    name="metrics-server",
    version="3.13.1",
    kind="addon",
    chart=Digest.of(b"another chart"),
    namespace="kube-system",
    values={"args": ["--kubelet-preferred-address-types=InternalIP"]},
    ready=("deployment/metrics-server",),
    images_told_by="helm",
    source=Source("https://example.net/metrics-server-3.13.1.tgz", "upstream"),
)

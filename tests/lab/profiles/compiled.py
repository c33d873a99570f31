"""What the real profile compiles: each project's own commands, at the versions that belong together."""

from __future__ import annotations

from collections.abc import Iterable

from tests.lab.profiles import CRICTL, ETCD, KUBERNETES
from tests.lab.toolchain import GoBuild

CONTAINERD = "2.0.11"
CONTAINERD_RUNC = "1.3.6"
"""The runc this containerd release is tested with, by its own tree."""
HELM = "3.18.6"
FLANNEL = "0.26.7"
"""0.28.4 and later want a newer compiler than the pinned one; the module proxy did not give 0.27.3 and 0.27.4."""
FLANNEL_CNI_PLUGIN = "1.6.2-flannel1"
"""The plugin image that flannel's chart names; what is in it is in :data:`BUILDS`."""
LOCAL_PATH = "0.0.30"
"""Older than the catalogue's, and without its probes: the module proxy did not give a later one."""
METRICS_SERVER = "0.7.2"
"""The last that the pinned compiler takes."""
NODE_CACHE = "1.26.4"
"""The image of the add-on node-local-dns; that release is made from the CoreDNS that the lab compiles."""
_CONTAINERD_MODULE = "github.com/containerd/containerd/v2"
KUBERNETES_PROGRAMS = (
    "kubeadm",
    "kubelet",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)


def _kubernetes(module: str, version: str, programs: Iterable[str]) -> GoBuild:
    """Programs of Kubernetes ``version``, which the module's go.mod requires, linked to say so."""
    said = {
        "gitVersion": f"v{version}",
        "gitMajor": version.split(".", maxsplit=1)[0],
        "gitMinor": version.split(".")[1],
        "gitTreeState": "archive",
        "buildDate": "2025-06-17T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    variables = {f"{package}.{name}": value for package in packages for name, value in said.items()}
    return GoBuild(module, {name: f"./{name}" for name in programs}, variables, ("providerless", "selinux"))


BUILDS = (
    _kubernetes("kubernetes", KUBERNETES, KUBERNETES_PROGRAMS),
    GoBuild("coredns", {"coredns": "."}),
    GoBuild(
        "etcd",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "etcdctl": "go.etcd.io/etcd/etcdctl/v3",
            "etcdutl": "go.etcd.io/etcd/etcdutl/v3",
        },
    ),
    GoBuild(
        "containerd",
        {name: f"{_CONTAINERD_MODULE}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        {f"{_CONTAINERD_MODULE}/version.Version": f"v{CONTAINERD}"},
        ("no_btrfs",),
    ),
    GoBuild(
        "crictl",
        {"crictl": "github.com/kubernetes-sigs/cri-tools/cmd/crictl"},
        {"github.com/kubernetes-sigs/cri-tools/pkg/version.Version": f"v{CRICTL}"},
    ),
)
NETWORK_BUILDS = (
    GoBuild(
        "helm",
        {"helm": "helm.sh/helm/v3/cmd/helm"},
        {"helm.sh/helm/v3/internal/version.version": f"v{HELM}"},
    ),
    # With cgo, as upstream's own for amd64: flanneld's udp backend is partly C there and cannot be left out.
    GoBuild(
        "flannel",
        {"flanneld": "github.com/flannel-io/flannel"},
        {"github.com/flannel-io/flannel/pkg/version.Version": f"v{FLANNEL}"},
        ("cgo", "netgo", "osusergo"),
    ),
    # The module proxy does not give github.com/flannel-io/cni-plugin. This is the same plugin in the last release of
    # the project it was part of before, so it is real but older than the tag of its image.
    GoBuild("flannel-cni-plugin", {"flannel": "github.com/containernetworking/plugins/plugins/meta/flannel"}),
    # Nor does it give k8s.io/dns: this is ours around the same CoreDNS.
    GoBuild("node-cache", {"node-cache": "."}, {"main.imageVersion": NODE_CACHE}),
    GoBuild("local-path-provisioner", {"local-path-provisioner": "github.com/rancher/local-path-provisioner"}),
    # The module of the approver is not given either: that one is ours, on the client that metrics-server has.
    GoBuild(
        "metrics-server",
        {
            "metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server",
            "kubelet-csr-approver": "./kubelet-csr-approver",
        },
        {"k8s.io/client-go/pkg/version.gitVersion": f"v{METRICS_SERVER}"},
    ),
)
KUBEADM_BUILDS = {
    "1.28.15": _kubernetes("kubernetes-1.28", "1.28.15", ("kubeadm",)),
    KUBERNETES: BUILDS[0],
    "1.34.4": _kubernetes("kubernetes-1.34", "1.34.4", ("kubeadm",)),
}
"""A real kubeadm of each: the first and the last minor with v1beta3, and the last with v1beta4 that the pinned Go can
compile (1.35 wants Go 1.25, 1.36 wants 1.26).
"""
ETCD_PREFIX = f"etcd-v{ETCD}-linux-amd64"

"""What the real profile compiles: each project's own commands, at the versions that belong together."""

from __future__ import annotations

from tests.lab.profiles import CRICTL, ETCD, KUBERNETES
from tests.lab.toolchain import GoBuild

CONTAINERD = "2.0.11"
CONTAINERD_RUNC = "1.3.6"
"""The runc this containerd release is tested with, by its own tree."""
_CONTAINERD_MODULE = "github.com/containerd/containerd/v2"
_VERSION = {
    "gitVersion": f"v{KUBERNETES}",
    "gitMajor": KUBERNETES.split(".")[0],
    "gitMinor": KUBERNETES.split(".")[1],
    "gitTreeState": "archive",
    "buildDate": "2025-06-17T00:00:00Z",
}
KUBERNETES_PROGRAMS = (
    "kubeadm",
    "kubelet",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)

BUILDS = (
    GoBuild(
        "kubernetes",
        {name: f"./{name}" for name in KUBERNETES_PROGRAMS},
        {
            f"{package}.{name}": value
            for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
            for name, value in _VERSION.items()
        },
        ("providerless", "selinux"),
    ),
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
ETCD_PREFIX = f"etcd-v{ETCD}-linux-amd64"

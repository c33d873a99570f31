"""Every file an install writes, as reviewed text: a change of any of them shows as a diff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from installer.config import ClusterConfig
from installer.join import JoinFile
from installer.registries import Registry, RegistryHost
from installer.render import containerd, crictl, kernel, kubeadm, kubelet, registry, resolver, route
from installer.settings import Endpoint, ExtraArgs, Taint, Timeouts
from tests.golden.expectation import FOLDER, demand_same

NODE = kubeadm.NodeIdentity("cp-1", "10.0.24.31")
TOKEN = "abcdef.0123456789abcdef"
SMALL = ClusterConfig()
FULL = ClusterConfig(
    cluster_name="plant-7",
    control_plane_endpoint=Endpoint("api.plant-7.example", 8443),
    cert_sans=("10.0.24.30", "api"),
    timeouts=Timeouts(1200, 900, 120, 240, 600, 700),
    extra_args=ExtraArgs(
        api_server={"audit-log-maxage": "30"},
        controller_manager={"node-monitor-grace-period": "60s"},
        scheduler={"v": "2"},
        etcd={"heartbeat-interval": "500", "election-timeout": "5000"},
        kubelet={"v": "2"},
    ),
    taints=(Taint("example.org/dedicated", "NoSchedule", "infra"), Taint("example.org/bare", "NoExecute")),
)
JOIN = JoinFile(
    cluster_name="kubernetes",
    kubernetes="v1.30.14",
    endpoint=Endpoint("10.0.24.31"),
    token=TOKEN,
    token_expires_seconds=1_795_000_000,
    ca_cert_hashes=("sha256:" + "ab" * 32,),
    certificate_key="cd" * 32,
    certificate_key_expires_seconds=1_795_000_000,
)
PLANT_REGISTRY = Registry(
    "registry.plant-7.example:5000",
    (
        RegistryHost("https://mirror.plant-7.example", ca="/etc/ssl/plant-7.pem"),
        RegistryHost("http://10.0.24.9:5000/v2/copies", ("pull",), override_path=True),
        RegistryHost("https://10.0.24.8", skip_verify=True),
    ),
    "https://mirror.plant-7.example",
)
RUNTIME = containerd.RuntimeSettings("registry.k8s.io/pause:3.9")


def _init(config: ClusterConfig, version: str, ignored: tuple[str, ...] = ()) -> str:
    credentials = kubeadm.Credentials(TOKEN, 86400, "cd" * 32)
    return kubeadm.init_config(
        config, NODE, version, proxy_mode="iptables", credentials=credentials, ignored_errors=ignored
    )


def _join(config: ClusterConfig, version: str, role: str) -> str:
    return kubeadm.join_config(config, NODE, replace(JOIN, kubernetes=f"v{version}"), role)


CASES: dict[str, Callable[[], str]] = {
    "service-route.service": lambda: route.unit("10.96.0.0/12", NODE.address),
    "kubeadm-init-1.28-small.yaml": lambda: _init(SMALL, "1.28.15"),
    "kubeadm-init-1.30-small.yaml": lambda: _init(SMALL, "1.30.14"),
    "kubeadm-init-1.30-full.yaml": lambda: _init(FULL, "1.30.14"),
    "kubeadm-init-1.31-full.yaml": lambda: _init(FULL, "1.31.14"),
    "kubeadm-init-1.36-small.yaml": lambda: _init(SMALL, "1.36.4", ("SystemVerification",)),
    "kubeadm-join-1.30-worker.yaml": lambda: _join(FULL, "1.30.14", "worker"),
    "kubeadm-join-1.30-cp.yaml": lambda: _join(SMALL, "1.30.14", "cp"),
    "kubeadm-join-1.31-worker.yaml": lambda: _join(FULL, "1.31.14", "worker"),
    "kubeadm-join-1.36-cp.yaml": lambda: _join(SMALL, "1.36.4", "cp"),
    "kubelet-patch-1.30.yaml": lambda: kubeadm.kubelet_patch(
        kubelet.node_settings(30, resolver_path="/etc/resolv.conf", cgroup_version=1)
    ),
    "kubelet-patch-1.36-cgroup1.yaml": lambda: kubeadm.kubelet_patch(
        kubelet.node_settings(36, resolver_path=resolver.OWN_PATH, cgroup_version=1)
    ),
    "containerd-1.6.toml": lambda: containerd.config("1.6.20", RUNTIME),
    "containerd-1.7.toml": lambda: containerd.config("1.7.27", RUNTIME),
    "containerd-1.7-first.toml": lambda: containerd.config("1.7.27", replace(RUNTIME, sandbox=None)),
    "containerd-2.0.toml": lambda: containerd.config("2.0.11", RUNTIME),
    "containerd-2.1.toml": lambda: containerd.config("2.1.9", replace(RUNTIME, snapshotter="native")),
    "containerd-2.2.toml": lambda: containerd.config("2.2.7", replace(RUNTIME, root="/data/containerd")),
    "containerd-2.3.toml": lambda: containerd.config("2.3.4", RUNTIME),
    "hosts.toml": lambda: registry.hosts_file(PLANT_REGISTRY),
    "containerd-1.7.service": lambda: containerd.unit("1.7.27"),
    "containerd-2.2.service": lambda: containerd.unit("2.2.7"),
    "kubelet.service": kubelet.unit,
    "10-kubeadm.conf": kubelet.drop_in,
    "crictl.yaml": lambda: crictl.config("/run/containerd/containerd.sock"),
    "modules.conf": lambda: kernel.modules_file((*kernel.REQUIRED_MODULES, *kernel.OPTIONAL_MODULES)),
    "sysctl.conf": lambda: kernel.sysctl_file(kernel.SYSCTL_MINIMUMS),
    "resolv.conf": lambda: resolver.own_file("10.0.24.31"),
}


@pytest.mark.parametrize("name", CASES)
def test_rendered_as_reviewed(name: str) -> None:
    demand_same(name, CASES[name]())


def test_every_reviewed_file_is_still_rendered() -> None:
    plans = {path.name for path in FOLDER.iterdir() if path.name.startswith("plan-")}
    assert {path.name for path in FOLDER.iterdir()} - plans == set(CASES)

"""Every file an install writes, as reviewed text: a change of any of them shows as a diff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from installer.agreement import settled
from installer.config import ClusterConfig
from installer.dns import DnsCache, DnsSettings
from installer.endpoint import ApiEndpoint, ClusterNode
from installer.join import JoinFile
from installer.proxymode import decide
from installer.registries import Registry, RegistryHost
from installer.render import (
    containerd,
    corefile,
    crictl,
    haproxy,
    kernel,
    kube_vip,
    kubeadm,
    kubelet,
    registry,
    resolver,
    route,
)
from installer.settings import Endpoint, ExtraArgs, KubeletSettings, Taint, Timeouts
from tests.fakes.small_bundle import HAPROXY, KUBE_VIP
from tests.golden.expectation import FOLDER, demand_same

NODE = kubeadm.NodeIdentity("cp-1", "10.0.24.31")
TOKEN = "abcdef.0123456789abcdef"
SMALL = ClusterConfig()
FULL = ClusterConfig(
    cluster_name="plant-7",
    endpoint=ApiEndpoint("external", Endpoint("api.plant-7.example", 8443)),
    cert_sans=("10.0.24.30", "api"),
    timeouts=Timeouts(1200, 900, 120, 240, 600, 700),
    extra_args=ExtraArgs(
        api_server={"audit-log-maxage": ("30",)},
        controller_manager={"node-monitor-grace-period": ("60s",)},
        scheduler={"v": ("2",)},
        etcd={"heartbeat-interval": ("500",), "election-timeout": ("5000",)},
        kubelet={"v": ("2",)},
    ),
    kubelet=KubeletSettings(90, 75, {"memory": "1Gi"}, {"ephemeral-storage": "2Gi"}, fail_cgroup_v1=False),
    patches={
        "etcd": {"metadata": {"annotations": {"example.org/rack": "r7"}}},
        "kubeletconfiguration": {"maxPods": 50},
    },
    taints=(Taint("example.org/dedicated", "NoSchedule", "infra"), Taint("example.org/bare", "NoExecute")),
)
JOIN = JoinFile(
    cluster=ClusterConfig(endpoint=ApiEndpoint("direct", Endpoint("10.0.24.31")), kube_proxy_mode="iptables"),
    kubernetes="v1.30.14",
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
DNS = DnsSettings(
    zones={"corp.example": ("10.0.24.4", "10.0.24.5"), "1.10.in-addr.arpa": ("10.0.24.4",)},
    hosts={"10.0.24.9": ("registry.corp.example", "registry"), "10.0.24.8": ("printer",)},
    cache=DnsCache(2048, 60, 4096, 2, 0),
    ttl_seconds=10,
    lameduck_seconds=15,
    max_concurrent=500,
    log=("all",),
)


NO_PROXY = ClusterConfig(kube_proxy_mode="none")
REPEATED = replace(FULL, extra_args=ExtraArgs(api_server={"tls-sni-cert-key": ("/b.crt,/b.key", "/a.crt,/a.key")}))
RELEASES = (
    *("1.28.15", "1.29.15", "1.30.14", "1.31.14", "1.32.13"),
    *("1.33.13", "1.34.11", "1.35.8", "1.36.4"),
)
"""The newest patch of every minor."""
MODULES = dict.fromkeys(kernel.PROXY_MODULES["ipvs"], "available")
SHAPE = kubelet.NodeShape(cpus=4, memory_bytes=16 * 2**30, cgroup_version=2)


def _minor(version: str) -> str:
    return version.rpartition(".")[0]


def init_text(config: ClusterConfig, version: str, **kubelets: Any) -> str:
    minor = kubeadm.minor_of(version)
    return kubeadm.init_config(
        config,
        NODE,
        version,
        proxy_mode=decide(config.kube_proxy_mode, minor, MODULES).name,
        credentials=kubeadm.Credentials(TOKEN, 86400, "cd" * 32),
        ignored_errors=kubeadm.ignored_preflight_errors(version, kernel="4.18.0-553.el8_10.x86_64", cgroup_version=1),
        kubelets=kubelets,
    )


def join_text(config: ClusterConfig, version: str, role: str) -> str:
    return kubeadm.join_config(config, NODE, replace(JOIN, kubernetes=f"v{version}"), role)


def _kubelet_patch(config: ClusterConfig, version: str) -> str:
    minor = kubeadm.minor_of(version)
    return kubeadm.kubelet_patch(kubelet.node_settings(minor, SHAPE, config.kubelet, resolver_path=resolver.OWN_PATH))


def _cases_of(version: str) -> dict[str, Callable[[], str]]:
    """What every minor is told, with nothing configured and with everything."""
    minor = _minor(version)
    return {
        f"kubeadm-init-{minor}-small.yaml": lambda: init_text(SMALL, version),
        f"kubeadm-init-{minor}-full.yaml": lambda: init_text(FULL, version),
        f"kubeadm-join-{minor}-cp.yaml": lambda: join_text(SMALL, version, "cp"),
        f"kubeadm-join-{minor}-worker.yaml": lambda: join_text(FULL, version, "worker"),
        f"kubelet-patch-{minor}.yaml": lambda: _kubelet_patch(FULL, version),
    }


NODES = (
    ClusterNode("cp-1", "10.0.24.31", "cp"),
    ClusterNode("cp-2", "10.0.24.29", "cp"),
    ClusterNode("cp-3", "10.0.24.32", "cp"),
    ClusterNode("w-1", "10.0.24.28", "worker"),
    ClusterNode("w-2", "10.0.24.30", "worker"),
)
ENDPOINTS = {
    "local": ApiEndpoint("local"),
    "external": ApiEndpoint("external", Endpoint("lb.plant-7.example", 8443)),
    "kube-vip": ApiEndpoint("kube-vip", Endpoint("10.0.24.100")),
}
HA = {mode: ClusterConfig(nodes=NODES, endpoint=endpoint) for mode, endpoint in ENDPOINTS.items()}
HAPROXY_CONFIG = haproxy.config(HA["local"].control_planes, 16443)


def _joining(mode: str, role: str) -> str:
    cluster = settled(HA[mode], address=NODE.address, proxy_mode="iptables")
    return kubeadm.join_config(cluster, NODE, replace(JOIN, cluster=cluster), role)


CASES: dict[str, Callable[[], str]] = {
    **{name: case for version in RELEASES for name, case in _cases_of(version).items()},
    "service-route.service": lambda: route.unit("10.96.0.0/12", NODE.address),
    "kubeadm-init-1.31-repeated-flag.yaml": lambda: init_text(REPEATED, "1.31.14"),
    "kubeadm-init-1.30-no-kube-proxy.yaml": lambda: init_text(NO_PROXY, "1.30.14"),
    "kubeadm-init-1.31-no-kube-proxy.yaml": lambda: init_text(NO_PROXY, "1.31.14"),
    "kubeadm-init-node-local-dns.yaml": lambda: init_text(SMALL, "1.30.14", clusterDNS=["169.254.20.10"]),
    "kubeadm-patch-etcd.yaml": lambda: kubeadm.patch_files(FULL.patches)[f"{kubeadm.PATCHES_DIR}/etcd1+strategic.yaml"],
    "kubelet-patch-small.yaml": lambda: _kubelet_patch(SMALL, "1.30.14"),
    **{f"kubeadm-init-{mode}.yaml": lambda mode=mode: init_text(HA[mode], "1.30.14") for mode in HA},  # type: ignore[misc]
    **{f"kubeadm-join-{mode}-cp.yaml": lambda mode=mode: _joining(mode, "cp") for mode in HA},  # type: ignore[misc]
    "kubeadm-join-local-worker.yaml": lambda: _joining("local", "worker"),
    "kube-vip-first.yaml": lambda: kube_vip.pod(KUBE_VIP, "10.0.24.100", "eth0", kubeconfig=kube_vip.FIRST_KUBECONFIG),
    "kube-vip.yaml": lambda: kube_vip.pod(KUBE_VIP, "10.0.24.100", None),
    "haproxy.cfg": lambda: HAPROXY_CONFIG,
    "haproxy-pod.yaml": lambda: haproxy.pod(HAPROXY, HAPROXY_CONFIG, 16443),
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
    "modules.conf": lambda: kernel.modules_file((*kernel.REQUIRED_MODULES, *kernel.PROXY_MODULES["ipvs"])),
    "sysctl.conf": lambda: kernel.sysctl_file(kernel.SYSCTL_MINIMUMS),
    "Corefile": lambda: corefile.corefile(DnsSettings(), "cluster.local", (corefile.NODE_FILE,)),
    "Corefile-no-upstream": lambda: corefile.corefile(DnsSettings(), "cluster.local", ()),
    "Corefile-full": lambda: corefile.corefile(DNS, "plant-7.example", ("10.0.24.2", "10.0.24.3:5353")),
    "resolv.conf": lambda: resolver.own_file("10.0.24.31"),
}


@pytest.mark.parametrize("name", CASES)
def test_rendered_as_reviewed(name: str) -> None:
    demand_same(name, CASES[name]())


def test_every_reviewed_file_is_still_rendered() -> None:
    there = {path.name for path in FOLDER.iterdir() if path.is_file()}
    plans = {name for name in there if name.startswith("plan-")}
    assert there - plans == set(CASES)

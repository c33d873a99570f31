"""kubeadm's configuration files: v1beta3 up to Kubernetes 1.30, v1beta4 from 1.31.

``kubernetesVersion`` is always explicit (without it kubeadm asks the network what "stable-1" means), every address and
name is given (without them kubeadm looks for a default route), and nothing is ever pulled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from installer import endpoint
from installer.agreement import settled
from installer.config import ClusterConfig
from installer.join import JoinFile
from installer.settings import API_PORT, Endpoint, Flags, Taint, Timeouts

ADMIN_KUBECONFIG = "/etc/kubernetes/admin.conf"
KUBELET_KUBECONFIG = "/etc/kubernetes/kubelet.conf"
PATCHES_DIR = "/etc/airgap-bundle/kubeadm-patches"
KUBELET_PATCH_PATH = f"{PATCHES_DIR}/kubeletconfiguration0+merge.yaml"
"""Where kubeadm finds what KubeletConfiguration must say on this node alone (its documented naming)."""
FIRST_MINOR_PATCHING_COREDNS = 31
KUBE_PROXY_PHASE = "addon/kube-proxy"
"""What makes kube-proxy; from v1beta4 on there is a field for not making it."""

_NUMBER_ELSEWHERE = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0[ox][0-9a-fA-F]+|[yYnN]")
FIRST_MINOR_WITH_V1BETA4 = 31
_LOWEST_KERNELS_1_32 = (4, 19)
_LONG_TERM_KERNELS_1_33 = ((5, 4), (5, 10), (5, 15))


@dataclass(frozen=True)
class NodeIdentity:
    """This machine as kubeadm must know it: its node ``name``, the ``address`` peers reach it at, its CRI socket."""

    name: str
    address: str
    cri_socket: str = "/run/containerd/containerd.sock"


@dataclass(frozen=True)
class Credentials:
    """What lets others join: a bootstrap ``token`` for ``ttl_seconds``, and the key the certificates travel under."""

    token: str
    ttl_seconds: int
    certificate_key: str | None = None


def minor_of(kubernetes: str) -> int:
    """The minor number of a version such as ``1.30.14`` or ``v1.30.14``."""
    return int(kubernetes.lstrip("v").split(".")[1])


def api_version(kubernetes: str) -> str:
    """The kubeadm configuration API to write for a Kubernetes version."""
    return "kubeadm.k8s.io/v1beta4" if _is_v1beta4(kubernetes) else "kubeadm.k8s.io/v1beta3"


def endpoint_of(config: ClusterConfig, node: NodeIdentity) -> Endpoint:
    """Where the API is reached: by the endpoint's mode, for ``direct`` on this node unless it says another."""
    return endpoint.endpoint_of(settled(config, address=node.address, proxy_mode=config.kube_proxy_mode).endpoint)


def init_config(
    config: ClusterConfig,
    node: NodeIdentity,
    kubernetes: str,
    *,
    proxy_mode: str,
    credentials: Credentials,
    ignored_errors: tuple[str, ...] = (),
    kubelets: Mapping[str, Any] | None = None,
) -> str:
    """The documents for ``kubeadm init``; it holds secrets, so it goes to a file of mode 0600.

    ``kubelets`` are further fields of the KubeletConfiguration of the whole cluster. With ``proxy_mode`` ``none`` no
    kube-proxy is made.
    """
    init: dict[str, Any] = {
        "apiVersion": api_version(kubernetes),
        "kind": "InitConfiguration",
        "bootstrapTokens": [
            {
                "token": credentials.token,
                "ttl": _duration(credentials.ttl_seconds),
                "description": "made by airgap-bundle for joining nodes",
                "groups": ["system:bootstrappers:kubeadm:default-node-token"],
                "usages": ["signing", "authentication"],
            }
        ],
        "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT},
        "nodeRegistration": _registration(config, node, kubernetes, ignored_errors),
        "patches": {"directory": PATCHES_DIR},
    }
    if credentials.certificate_key is not None:
        init["certificateKey"] = credentials.certificate_key
    if _is_v1beta4(kubernetes):
        init["timeouts"] = _timeouts(config.timeouts)
    cluster, kubelet = _cluster(config, node, kubernetes), _kubelet(config, node) | dict(kubelets or {})
    if proxy_mode != "none":
        return _documents(init, cluster, kubelet, _proxy(proxy_mode))
    if _is_v1beta4(kubernetes):
        cluster["proxy"] = {"disabled": True}
    else:
        init["skipPhases"] = [KUBE_PROXY_PHASE]
    return _documents(init, cluster, kubelet)


def join_config(
    config: ClusterConfig,
    node: NodeIdentity,
    join: JoinFile,
    role: str,
    *,
    ignored_errors: tuple[str, ...] = (),
) -> str:
    """The document for ``kubeadm join`` as ``role``; it holds secrets, so it goes to a file of mode 0600."""
    discovery: dict[str, Any] = {
        "bootstrapToken": {
            "apiServerEndpoint": str(join.endpoint),
            "token": join.token,
            "caCertHashes": list(join.ca_cert_hashes),
        }
    }
    document: dict[str, Any] = {
        "apiVersion": api_version(join.kubernetes),
        "kind": "JoinConfiguration",
        "discovery": discovery,
        "nodeRegistration": _registration(config, node, join.kubernetes, ignored_errors),
        "patches": {"directory": PATCHES_DIR},
    }
    if _is_v1beta4(join.kubernetes):
        document["timeouts"] = _timeouts(config.timeouts)
    else:
        discovery["timeout"] = _duration(config.timeouts.discovery_seconds)
    if role == "cp":
        document["controlPlane"] = {
            "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT},
            "certificateKey": join.certificate_key,
        }
    return _documents(document)


def kubelet_patch(settings: Mapping[str, Any]) -> str:
    """The merge patch that kubeadm applies to KubeletConfiguration on this node alone."""
    return "# Written by airgap-bundle: what is true of this node only.\n" + _documents(dict(settings))


def patch_files(patches: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The operator's own patches as kubeadm reads them, by path. It goes by the names in their order, so that what
    the operator says of the kubelet is laid over what this node needs.
    """
    header = "# Written by airgap-bundle: patches of cluster.yaml.\n"
    return {
        f"{PATCHES_DIR}/{target}1+strategic.yaml": header + _documents(dict(patches[target]))
        for target in sorted(patches)
    }


def ignored_preflight_errors(kubernetes: str, *, kernel: str, cgroup_version: int) -> tuple[str, ...]:
    """Checks of kubeadm that are wrong about this machine.

    1.32 and 1.33 refuse kernels of long-lived distributions (4.18, 5.14) by a list of upstream's own long-term
    releases; from 1.35 cgroup v1 is refused although the kubelet can still be told to run on it.
    """
    minor = minor_of(kubernetes)
    release = tuple(int(part) for part in kernel.partition("-")[0].split(".")[:2])
    refused = (
        (minor == 32 and release < _LOWEST_KERNELS_1_32)
        or (minor == 33 and release < (6, 0) and release not in _LONG_TERM_KERNELS_1_33)
        or (minor >= 35 and cgroup_version == 1)
    )
    return ("SystemVerification",) if refused else ()


def _is_v1beta4(kubernetes: str) -> bool:
    return minor_of(kubernetes) >= FIRST_MINOR_WITH_V1BETA4


class _Dumper(yaml.SafeDumper):
    """PyYAML writes YAML 1.1; kubeadm reads strings such as ``1e3`` as numbers, so those are quoted here."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "'" if _NUMBER_ELSEWHERE.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _documents(*documents: dict[str, Any]) -> str:
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1000)


def _duration(seconds: int) -> str:
    return f"{seconds}s"


def _args(flags: Mapping[str, Sequence[str]], kubernetes: str) -> dict[str, str] | list[dict[str, str]]:
    """Extra flags: a list in v1beta4, where one may be there twice; a map in v1beta3, where the last one counts."""
    if _is_v1beta4(kubernetes):
        return [{"name": name, "value": value} for name in sorted(flags) for value in flags[name]]
    return {name: flags[name][-1] for name in sorted(flags)}


def _taint(taint: Taint) -> dict[str, str]:
    out = {"key": taint.key, "effect": taint.effect}
    return out | {"value": taint.value} if taint.value else out


def _registration(
    config: ClusterConfig, node: NodeIdentity, kubernetes: str, ignored_errors: tuple[str, ...]
) -> dict[str, Any]:
    own_flags: Flags = {"node-ip": (node.address,)}
    registration: dict[str, Any] = {
        "name": node.name,
        "criSocket": f"unix://{node.cri_socket}",
        "imagePullPolicy": "Never",
        "kubeletExtraArgs": _args(own_flags | config.extra_args.kubelet, kubernetes),
    }
    if config.taints is not None:
        registration["taints"] = [_taint(taint) for taint in config.taints]
    if ignored_errors:
        registration["ignorePreflightErrors"] = list(ignored_errors)
    return registration


def _timeouts(timeouts: Timeouts) -> dict[str, str]:
    return {
        "controlPlaneComponentHealthCheck": _duration(timeouts.control_plane_seconds),
        "kubeletHealthCheck": _duration(timeouts.kubelet_seconds),
        "kubernetesAPICall": _duration(timeouts.api_call_seconds),
        "etcdAPICall": _duration(timeouts.etcd_call_seconds),
        "tlsBootstrap": _duration(timeouts.tls_bootstrap_seconds),
        "discovery": _duration(timeouts.discovery_seconds),
    }


def _cert_sans(config: ClusterConfig, node: NodeIdentity) -> list[str]:
    """Every name the API may be called by from this node or through the endpoint; kubeadm adds the Service's own."""
    names = [endpoint_of(config, node).host, node.name, node.address]
    names += [text for other in config.control_planes for text in (other.name, other.address)]
    names += [endpoint.LOCAL_NAME, "localhost", endpoint.LOCAL_ADDRESS, *config.cert_sans]
    return list(dict.fromkeys(names))


def _cluster(config: ClusterConfig, node: NodeIdentity, kubernetes: str) -> dict[str, Any]:
    extra = config.extra_args
    api_server: dict[str, Any] = {"certSANs": _cert_sans(config, node)}
    if extra.api_server:
        api_server["extraArgs"] = _args(extra.api_server, kubernetes)
    if not _is_v1beta4(kubernetes):
        api_server["timeoutForControlPlane"] = _duration(config.timeouts.control_plane_seconds)
    etcd: dict[str, Any] = {"dataDir": "/var/lib/etcd"}
    if extra.etcd:
        etcd["extraArgs"] = _args(extra.etcd, kubernetes)
    cluster: dict[str, Any] = {
        "apiVersion": api_version(kubernetes),
        "kind": "ClusterConfiguration",
        "clusterName": config.cluster_name,
        "kubernetesVersion": f"v{kubernetes.lstrip('v')}",
        "controlPlaneEndpoint": str(endpoint_of(config, node)),
        "imageRepository": "registry.k8s.io",
        "networking": {
            "dnsDomain": config.dns_domain,
            "podSubnet": config.pod_subnet,
            "serviceSubnet": config.service_subnet,
        },
        "apiServer": api_server,
    }
    for name, flags in (("controllerManager", extra.controller_manager), ("scheduler", extra.scheduler)):
        if flags:
            cluster[name] = {"extraArgs": _args(flags, kubernetes)}
    cluster["etcd"] = {"local": etcd}
    return cluster


def _kubelet(config: ClusterConfig, node: NodeIdentity) -> dict[str, Any]:
    """What every kubelet is told; containerd 1.x cannot say its cgroup driver, so both sides are told."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "containerRuntimeEndpoint": f"unix://{node.cri_socket}",
        "imageGCHighThresholdPercent": config.kubelet.image_gc_high_percent,
        "imageGCLowThresholdPercent": config.kubelet.image_gc_low_percent,
    }


def _proxy(mode: str) -> dict[str, Any]:
    return {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": mode}

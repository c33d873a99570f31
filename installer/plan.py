"""The plan of an install: which steps in which order. Pure: bundle, configuration and facts in, steps out."""

from __future__ import annotations

from typing import Any

from installer.addons import (
    addon_notes,
    approves_kubelets,
    cluster_facts,
    demand_known,
    demand_services,
    has_node_local,
    pod_network,
    replaces_kube_proxy,
    values_of,
)
from installer.bundle.index import BundledFile, BundledImage, BundleIndex
from installer.bundle.platform import Platform
from installer.config import ClusterConfig
from installer.dns import NODE_LOCAL, pods_ask, service_address
from installer.errors import InputError
from installer.execute import Phase, Plan, Step
from installer.facts import NodeFacts
from installer.foundcontainerd import FoundContainerd
from installer.join import JoinFile
from installer.networks import network_named
from installer.nodeimages import node_images
from installer.plan_endpoint import endpoint_steps
from installer.proxymode import ProxyMode, decide
from installer.render import containerd, crictl
from installer.render import kubeadm as render
from installer.render.kubelet import NodeShape
from installer.steps.addons import PluginsPresent, addon_steps
from installer.steps.charts import chart_steps
from installer.steps.cluster import KubeProxyAsMade, NodeReady, NodeRegistered, WriteJoinFile
from installer.steps.content import BundleContent
from installer.steps.coredns import CoreDnsConfig
from installer.steps.datadisk import DataDisk
from installer.steps.etcd import NoGhostMember
from installer.steps.files import PlaceFile
from installer.steps.hosts import OwnName
from installer.steps.images import ImportImages, pinned_names
from installer.steps.imagestore import ImageStore
from installer.steps.kernel import KernelModules, KernelSysctls, SwapOff
from installer.steps.kubeadm import KubeadmInit, KubeadmJoin, KubeletNodeSettings
from installer.steps.nodelocaldns import NodeLocalAsksOthers
from installer.steps.oldnetwork import OnlyNetwork
from installer.steps.pins import UnpinReplaced
from installer.steps.registries import RegistryHosts
from installer.steps.route import ServiceRoute
from installer.steps.runtime import ContainerdConfig, ContainerdDaemon
from installer.steps.sandbox import SandboxAgreement
from installer.steps.siteruntime import SiteConfig, SiteContainerd
from installer.steps.textfile import TextFile
from installer.steps.units import KubeletUnit

_CONTAINERD, _RUNC, _PLUGINS, _HELM = "containerd", "runc", "cni-plugins", "helm"


def build_plan(
    bundle: BundleContent,
    role: str,
    config: ClusterConfig,
    facts: NodeFacts,
    *,
    address: str,
    join: JoinFile | None = None,
) -> Plan:
    """The steps that make this machine a node of ``role`` at ``address``.

    ``cp`` without ``join`` initialises a cluster; with it, and for a ``worker`` always, the node joins.
    """
    if role == "worker" and join is None:
        raise InputError("a worker joins a cluster", wanted="--join join.yaml", got="no join file")
    platform = demand_platform(bundle.index, facts)
    demand_known(bundle.index, config)
    demand_services(bundle.index, config.kube_proxy_mode)
    node = render.NodeIdentity(node_name(config, facts), address)
    images = node_images(bundle.index, role, config)
    found = facts.runtime if facts.containerd_owner(config.containerd_owner) == "site" else None
    if found is not None:
        settings = site_settings(bundle.index, found)
        runtime = _site_runtime_steps(bundle, images, platform, found, settings, has_registries=bool(config.registries))
    else:
        settings = runtime_settings(bundle.index, role, platform, config)
        version = _component(bundle.index, role, platform, _CONTAINERD).version
        runtime = _runtime_steps(bundle, images, platform, version, settings)
    left_out = () if found is None else (_CONTAINERD, _RUNC)
    charts, before, after = ((), (), ()) if join else _addon_phases(bundle, platform, config, facts, node)
    mode = proxy_mode(config, bundle.index, facts)
    modules = KernelModules(mode.name if join is None else None)
    phases = (
        Phase("kernel", (modules, KernelSysctls(), SwapOff())),
        *_disk_phase(config),
        Phase("files", _file_steps(bundle, role, platform, settings.socket, left_out)),
        *charts,
        Phase("runtime", (*runtime, RegistryHosts(config.registries))),
        Phase("kubernetes", _kubernetes_steps(bundle.index, config, facts, node, role=role, join=join)),
        *before,
        Phase("cluster", _cluster_steps(bundle.index, role, config, node, mode=mode.name, join=join)),
        *after,
    )
    return Plan(phases, (*_runtime_notes(found), *_notes(bundle.index, config, node, mode, join)))


def node_name(config: ClusterConfig, facts: NodeFacts) -> str:
    """The node's name: as configured, else the machine's own, in lower case as Kubernetes wants it."""
    return config.node_name or facts.hostname.lower()


def proxy_mode(config: ClusterConfig, index: BundleIndex, facts: NodeFacts) -> ProxyMode:
    """kube-proxy's mode, as the first control-plane node decides it for the cluster."""
    return decide(config.kube_proxy_mode, render.minor_of(index.kubernetes), facts.modules)


def demand_platform(index: BundleIndex, facts: NodeFacts) -> Platform:
    """The node's platform; :class:`InputError` when the bundle is for others."""
    if facts.platform is None or facts.platform not in index.platforms:
        raise InputError(
            "the bundle is for another platform",
            where=f"this machine, {facts.machine}",
            wanted=f"a bundle for linux on {facts.machine}",
            got=f"one for {', '.join(index.platforms)}",
            next_step="build one with --arch for this machine",
        )
    return facts.platform


def runtime_settings(
    index: BundleIndex, role: str, platform: Platform, config: ClusterConfig
) -> containerd.RuntimeSettings:
    """What containerd is told on this node."""
    runc = _component(index, role, platform, _RUNC).placement.target
    if runc is None:
        raise InputError("runc comes in an archive in this bundle", wanted="one file with a target path")
    return containerd.RuntimeSettings(
        str(index.pause.reference),
        runc_path=runc,
        root=config.containerd_root,
        snapshotter=config.containerd_snapshotter,
    )


def _disk_phase(config: ClusterConfig) -> tuple[Phase, ...]:
    """containerd's folder is on its disk before anything is put there."""
    if config.data_disk is None:
        return ()
    return (Phase("disk", (DataDisk(config.data_disk.device, config.data_disk.filesystem, config.containerd_root),)),)


def site_settings(index: BundleIndex, found: FoundContainerd) -> containerd.RuntimeSettings:
    """What a containerd of the site's is told, where it does not say so already."""
    return containerd.RuntimeSettings(
        str(index.pause.reference), root=found.root, socket=found.socket, snapshotter=found.snapshotter
    )


def _file_steps(
    bundle: BundleContent, role: str, platform: Platform, socket: str, left_out: tuple[str, ...]
) -> tuple[Step, ...]:
    items = (item for item in bundle.index.files_for(role, platform) if item.component not in left_out)
    placed = (PlaceFile(bundle, item) for item in items)
    crictl_config = TextFile("files/crictl-config", crictl.CONFIG_PATH, crictl.config(socket))
    network = pod_network(bundle.index)
    if network is None or not network.plugins:
        return (*placed, crictl_config)
    _component(bundle.index, role, platform, _PLUGINS)
    return (*placed, crictl_config, PluginsPresent(network))


def _runtime_steps(
    bundle: BundleContent,
    images: tuple[BundledImage, ...],
    platform: Platform,
    version: str,
    settings: containerd.RuntimeSettings,
) -> tuple[Step, ...]:
    """The sandbox image is in the store, pinned, before the daemon restarts with a configuration that names it."""
    store = ImageStore(settings.socket, version, settings.snapshotter, root=settings.root)
    return (
        ContainerdDaemon(version, settings),
        ImportImages(bundle, images, platform, store),
        ContainerdConfig(version, settings),
        SandboxAgreement(bundle.index.kubernetes, _pause(bundle.index), store),
        UnpinReplaced(store, pinned_names(images)),
    )


def _site_runtime_steps(
    bundle: BundleContent,
    images: tuple[BundledImage, ...],
    platform: Platform,
    found: FoundContainerd,
    settings: containerd.RuntimeSettings,
    *,
    has_registries: bool,
) -> tuple[Step, ...]:
    """The same order for a containerd that stays the site's."""
    store = ImageStore(settings.socket, found.version, settings.snapshotter, found.ctr, settings.root)
    return (
        SiteContainerd(found),
        ImportImages(bundle, images, platform, store),
        SiteConfig(found, settings, has_registries),
        SandboxAgreement(bundle.index.kubernetes, _pause(bundle.index), store, found.config_dump),
        UnpinReplaced(store, pinned_names(images)),
    )


def _kubernetes_steps(
    index: BundleIndex,
    config: ClusterConfig,
    facts: NodeFacts,
    node: render.NodeIdentity,
    *,
    role: str,
    join: JoinFile | None,
) -> tuple[Step, ...]:
    kubernetes = index.kubernetes
    ignored = render.ignored_preflight_errors(kubernetes, kernel=facts.kernel, cgroup_version=facts.cgroup_version)
    entry: Step
    if join is None:
        mode = proxy_mode(config, index, facts).name
        entry = KubeadmInit(config, node, kubernetes, mode, ignored, _every_kubelet(config, index, mode))
    else:
        entry = KubeadmJoin(config, node, join, role, ignored)
    shape = NodeShape(facts.cpus, facts.memory_bytes, facts.cgroup_version)
    settings = KubeletNodeSettings(node.address, render.minor_of(kubernetes), shape, config.kubelet, config.patches)
    route = ServiceRoute(config.service_subnet, node.address)
    ghost = (NoGhostMember(node.name, node.address, _others(config, node)),) if join and role == "cp" else ()
    before, after = endpoint_steps(
        index, config, facts, node, role=role, joins=join is not None, minor=render.minor_of(kubernetes)
    )
    if join is None:
        after = (*after, *_kube_proxy(index, config), CoreDnsConfig(config.dns, config.dns_domain))
    return (KubeletUnit(), OwnName(node.name, node.address), route, settings, *before, *ghost, entry, *after)


def _kube_proxy(index: BundleIndex, config: ClusterConfig) -> tuple[Step, ...]:
    network = pod_network(index)
    if network is None or not replaces_kube_proxy(network):
        return ()
    return (KubeProxyAsMade(config.kube_proxy_mode != "none"),)


def _every_kubelet(config: ClusterConfig, index: BundleIndex, mode: str) -> dict[str, Any]:
    """What the bundle's add-ons want of every kubelet; it must be known before the first one is."""
    address = _pods_ask(config, index, mode)
    dns: dict[str, Any] = {"clusterDNS": [address]} if address else {}
    return dns | ({"serverTLSBootstrap": True} if approves_kubelets(index) else {})


def _pods_ask(config: ClusterConfig, index: BundleIndex, mode: str) -> str:
    """The name server the kubelets are told, ``""`` for the DNS Service, which is what kubeadm tells them."""
    service = service_address(config.service_subnet)
    found = pods_ask(config.dns, config.service_subnet, proxy_mode=mode, has_node_local=has_node_local(index))
    return "" if found == service else found


def _others(config: ClusterConfig, node: render.NodeIdentity) -> tuple[str, ...]:
    """The addresses of the other control planes, as far as they are known."""
    if config.nodes:
        return tuple(plane.address for plane in config.control_planes if plane.address != node.address)
    first = config.endpoint.address
    return (first.host,) if config.endpoint_mode == "direct" and first is not None else ()


def _cluster_steps(
    index: BundleIndex, role: str, config: ClusterConfig, node: render.NodeIdentity, *, mode: str, join: JoinFile | None
) -> tuple[Step, ...]:
    kubeconfig = render.ADMIN_KUBECONFIG if role == "cp" else render.KUBELET_KUBECONFIG
    ready = NodeReady(node.name, kubeconfig, _node_timeout_seconds(config), pod_network(index) is not None)
    if join is not None:
        return (ready,)
    return (ready, WriteJoinFile(config, node, index.kubernetes, mode))


def _addon_phases(
    bundle: BundleContent, platform: Platform, config: ClusterConfig, facts: NodeFacts, node: render.NodeIdentity
) -> tuple[tuple[Phase, ...], tuple[Phase, ...], tuple[Phase, ...]]:
    """What add-ons need no cluster for; then the add-ons in the bundle's order, up to the pod network and after it.

    Without it the node does not become Ready, and the other add-ons, but for what it needs itself, need that.
    """
    index = bundle.index
    if not index.addons:
        return (), (), ()
    _component(index, "cp", platform, _HELM)
    mode = proxy_mode(config, index, facts).name
    known = cluster_facts(config, node, index.kubernetes, facts.addresses, proxy_mode=mode)
    timeout_seconds = config.timeouts.addon_seconds
    values = {addon.name: values_of(addon, config, known) for addon in index.addons}
    charts = tuple(step for addon in index.addons for step in chart_steps(bundle, addon, values[addon.name]))
    steps = []
    for addon in index.addons:
        own = addon_steps(addon, values[addon.name], timeout_seconds)
        if addon.name == NODE_LOCAL:
            told = _pods_ask(config, index, mode) or service_address(config.service_subnet)
            own += (NodeLocalAsksOthers(addon.namespace, config.dns.node_local_address, told),)
        steps.append((addon.kind, own))
    first = next((number for number, (kind, _) in enumerate(steps, start=1) if kind == "cni"), 0)
    network, others = (tuple(step for _, part in parts for step in part) for parts in (steps[:first], steps[first:]))
    registered = NodeRegistered(node.name, render.ADMIN_KUBECONFIG, _node_timeout_seconds(config))
    carried = pod_network(index)
    known_network = network_named(carried.name) if carried else None
    alone = (OnlyNetwork(known_network),) if known_network else ()
    before = (Phase("network", (registered, *alone, *network)),) if network else ()
    return (Phase("charts", charts),), before, (Phase("add-ons", others),) if others else ()


def _node_timeout_seconds(config: ClusterConfig) -> int:
    return config.timeouts.kubelet_seconds + config.timeouts.api_call_seconds


def _component(index: BundleIndex, role: str, platform: Platform, component: str) -> BundledFile:
    for item in index.files_for(role, platform):
        if item.component == component:
            return item
    raise InputError(
        f"the bundle has no {component}",
        where=index.name,
        wanted=f"{component} for {platform}, role {role}",
        next_step="build the bundle with the built-in catalogue's components",
    )


def _pause(index: BundleIndex) -> BundledImage:
    """The sandbox image; the index guarantees that it is there."""
    return next(image for image in index.images if image.reference == index.pause.reference)


def _runtime_notes(found: FoundContainerd | None) -> tuple[str, ...]:
    if found is None:
        return ()
    return (f"containerd {found.version} at {found.program} stays the site's; containerd.owner in cluster.yaml",)


def _notes(
    index: BundleIndex, config: ClusterConfig, node: render.NodeIdentity, mode: ProxyMode, join: JoinFile | None
) -> tuple[str, ...]:
    if join is not None:
        return (_endpoint_note(config, node),)
    network = pod_network(index)
    proxy = f"kube-proxy mode {mode.name}: {mode.why}"
    if mode.name == "none" and network is not None:
        proxy = f"no kube-proxy: {network.name} leads to Services, as cluster.yaml says"
    dns = _node_local_note(config, index, mode) if has_node_local(index) else ()
    return (proxy, _endpoint_note(config, node), *dns, *addon_notes(index))


def _node_local_note(config: ClusterConfig, index: BundleIndex, mode: ProxyMode) -> tuple[str, ...]:
    """What pods ask, which must be known before the first kubelet is."""
    address, told = config.dns.node_local_address, _pods_ask(config, index, mode.name)
    if told:
        return (f"pods ask {address}, the DNS cache on their node; set with the cluster, not changed later",)
    return (f"pods ask {service_address(config.service_subnet)}, which the DNS cache on their node takes over",)


def _endpoint_note(config: ClusterConfig, node: render.NodeIdentity) -> str:
    """The endpoint's mode and what it means here."""
    endpoint, mode = render.endpoint_of(config, node), config.endpoint_mode
    if mode == "local":
        planes = ", ".join(plane.name for plane in config.control_planes)
        return f"endpoint local: {endpoint} is a HAProxy on every node, to {planes}"
    if mode == "kube-vip":
        proof = "; a proof is not demanded (endpoint.unproven)" if config.endpoint.unproven else ""
        return f"endpoint kube-vip: {endpoint} moves between the control planes by ARP{proof}"
    if mode == "external":
        return f"endpoint external: {endpoint}, the site's own load balancer"
    return f"endpoint direct: {endpoint}, the first control plane; cluster.yaml can name another"

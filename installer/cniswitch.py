"""The verb ``cni switch`` without its screen: this node's part of changing the pod network, and on a control plane the
cluster's, from a medium that has the new one.

The same command is for every node, the first control plane first: there the old network is taken out of the cluster
and the new one put in; on each node what the old one left goes, the new one's images come, and pods start anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from installer.addons import addon_notes, cluster_facts, demand_services, pod_network, values_of
from installer.bundle.addon import BundledAddon
from installer.bundle.platform import Platform
from installer.bundle.reader import Bundle
from installer.config import ClusterConfig
from installer.errors import InputError
from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.facts import NodeFacts, gather
from installer.foundcontainerd import FoundContainerd
from installer.given import saved_config
from installer.install import Report, demand_root, listener
from installer.installed import CONFIG_PATH, Installed
from installer.journal import open_journal
from installer.networks import NETWORKS, Network, network_named, others
from installer.node import Node, NodeView
from installer.nodeimages import node_images
from installer.plan import demand_platform, proxy_mode
from installer.recording import RecordingNode
from installer.render.containerd import DEFAULT_SOCKET
from installer.render.kubeadm import NodeIdentity
from installer.steps import helm
from installer.steps.addons import PluginsPresent, addon_steps
from installer.steps.charts import chart_steps
from installer.steps.files import PlaceFile
from installer.steps.images import ImportImages
from installer.steps.imagestore import ImageStore
from installer.steps.leftovers import remove_leftovers_of
from installer.steps.oldnetwork import remove_network
from installer.steps.podnetwork import AgentGone, NetworkHere, PodsRenewed, SwitchBegun, SwitchEnded, read_mark

_PLACED = ("cni-plugins", "helm")
_PLUGINS = "CNI plugins"


@dataclass(frozen=True)
class Switch:
    """What a change of the pod network on this node needs to know, found by looking only."""

    bundle: Bundle
    record: Installed
    config: ClusterConfig
    facts: NodeFacts
    platform: Platform
    addon: BundledAddon
    network: Network
    socket: str

    @property
    def node(self) -> NodeIdentity:
        """This node as the cluster knows it."""
        return NodeIdentity(self.record.node_name, self.record.address, self.socket)


def prepare_switch(view: NodeView, bundle: Bundle, wanted: str) -> Switch:
    """Judges whether this node can go over to the network ``wanted`` from ``bundle``; :class:`InputError` if not."""
    record = Installed.demand_node(view, "the first install brings the pod network of its medium")
    network = network_named(wanted)
    if network is None:
        known = ", ".join(row.name for row in NETWORKS)
        raise InputError("no such pod network is known", where="--to", wanted=f"one of {known}", got=wanted)
    index = bundle.index
    if record.kubernetes.lstrip("v") != index.kubernetes.lstrip("v"):
        raise InputError(
            "the medium is of another Kubernetes than this node",
            where=index.name,
            wanted=f"a bundle of v{record.kubernetes.lstrip('v')}",
            got=f"v{index.kubernetes.lstrip('v')}",
            next_step=f"bundle build --k8s {record.kubernetes.lstrip('v')} --cni {wanted}",
        )
    addon = pod_network(index)
    if addon is None or addon.name != wanted:
        raise InputError(
            "the medium does not have this pod network",
            where=index.name,
            wanted=wanted,
            got=addon.name if addon else "no pod network",
            next_step=f"bundle build --k8s {record.kubernetes.lstrip('v')} --cni {wanted}",
        )
    config = ClusterConfig.from_text(saved_config(view) or "", where=CONFIG_PATH)
    demand_services(index, config.kube_proxy_mode)
    facts = gather(view, containerd_root=record.containerd_root)
    found = FoundContainerd.find(view) if record.containerd_owner == "site" else None
    socket = found.socket if found else DEFAULT_SOCKET
    return Switch(bundle, record, config, facts, demand_platform(index, facts), addon, network, socket)


def plan_switch(view: NodeView, switch: Switch) -> Plan:
    """The steps on this node; none where the network is the wanted one and nothing of another is left."""
    config, network = switch.config, switch.network
    timeout_seconds = config.timeouts.addon_seconds
    old, fresh = _old_networks(view, switch), _release_steps(view, switch)
    leftovers = remove_leftovers_of(_owners(view, network), config.pod_subnet)
    is_here = all(view.stat(path) is not None for path in network.config_paths)
    if not old and not fresh and is_here and read_mark(view) is None and all(_holds(view, step) for step in leftovers):
        return Plan((), (f"the pod network is {network.name} here, and nothing is left of another",))
    cluster = tuple(step for row in old for step in remove_network(row, timeout_seconds))
    gone = tuple(AgentGone(row, switch.socket, timeout_seconds) for row in others(network))
    phases = (
        Phase("files", (*_files(switch), _images(switch))),
        Phase("begin", (SwitchBegun(network),)),
        Phase("old network", (*cluster, *gone, *leftovers)),
        Phase("new network", (*fresh, NetworkHere(network, switch.socket, timeout_seconds))),
        Phase("pods", (PodsRenewed(switch.socket), SwitchEnded())),
    )
    return Plan(phases, tuple(_notes(switch, old)))


def carry_out_switch(node: Node, plan: Plan, switch: Switch, report: Report, folder: Path) -> tuple[StepResult, ...]:
    """Carries the plan out. Cut off anywhere, the same command goes on."""
    demand_root(node)
    with open_journal(folder, "cni switch", identity=str(switch.bundle.identity), to=switch.network.name) as journal:
        return Executor(RecordingNode(node, journal), listener(journal, report)).run(plan)


def _old_networks(view: NodeView, switch: Switch) -> tuple[Network, ...]:
    """The networks to take out of the cluster. Only a control plane can; while a change is under way every other
    one counts, as an uninstalled release does not tell any more that its namespaces are still to go.
    """
    if switch.record.role != "cp":
        return ()
    under_way = read_mark(view) is not None
    rows = others(switch.network)
    return tuple(row for row in rows if helm.namespaces_of(view, row.name) or (under_way and _left(view, row)))


def _left(view: NodeView, network: Network) -> bool:
    return not all(_holds(view, step) for step in remove_network(network, 0.0))


def _holds(view: NodeView, step: Step) -> bool:
    return step.check(view).satisfied


def _release_steps(view: NodeView, switch: Switch) -> tuple[Step, ...]:
    """What installs the new network, on a control plane whose cluster does not have it yet.

    Without its readiness: on nodes that were not visited yet its pods have no image.
    """
    if switch.record.role != "cp":
        return ()
    release = helm.read_release(view, switch.addon)
    if release is not None and release.status == "deployed" and release.is_of(switch.addon):
        return ()
    config, index = switch.config, switch.bundle.index
    mode = proxy_mode(config, index, switch.facts).name
    known = cluster_facts(config, switch.node, index.kubernetes, switch.facts.addresses, proxy_mode=mode)
    steps: tuple[Step, ...] = ()
    for addon in index.addons[: index.addons.index(switch.addon) + 1]:  # what the network needs stands before it
        values = values_of(addon, config, known)
        steps += (
            *chart_steps(switch.bundle, addon, values),
            *addon_steps(addon, values, config.timeouts.addon_seconds),
        )
    return steps[:-1]


def _owners(view: NodeView, network: Network) -> frozenset[str]:
    """Whose leftovers go here. What the plugins made is the old network's only until the new one has begun to work."""
    plugins = () if any(view.stat(path) is not None for path in network.config_paths) else (_PLUGINS,)
    return frozenset((*(row.owner for row in others(network)), *plugins))


def _files(switch: Switch) -> tuple[Step, ...]:
    items = switch.bundle.index.files_for(switch.record.role, switch.platform)
    placed = tuple(PlaceFile(switch.bundle, item) for item in items if item.component in _PLACED)
    return (*placed, PluginsPresent(switch.addon)) if switch.addon.plugins else placed


def _images(switch: Switch) -> Step:
    images = node_images(switch.bundle.index, switch.record.role, switch.config)
    found, version = switch.facts.runtime, ""
    if switch.record.containerd_owner == "site" and found is not None:
        store = ImageStore(found.socket, found.version, found.snapshotter, found.ctr, found.root)
    else:
        items = switch.bundle.index.files_for(switch.record.role, switch.platform)
        version = next((item.version for item in items if item.component == "containerd"), "")
        store = ImageStore(
            switch.socket, version, switch.config.containerd_snapshotter, root=switch.config.containerd_root
        )
    return ImportImages(switch.bundle, images, switch.platform, store)


def _notes(switch: Switch, old: tuple[Network, ...]) -> list[str]:
    names = ", ".join(row.name for row in old)
    notes = [f"{names} is taken out of the cluster, {switch.network.name} comes in its place"] if old else []
    notes.append("every pod of this node with a network of its own is started anew")
    if switch.record.role == "cp":
        notes.append("then the same command on every other node: until then its pods reach nobody")
        notes += [note for row in old for note in row.notes]
        notes += addon_notes(switch.bundle.index)
    return notes

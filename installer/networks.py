"""The pod networks that can take each other's place: how each is known in a cluster and on a node, and what must go
before it. A table; what each leaves on a node is in :mod:`installer.leftovers`, under its ``owner``.
"""

from __future__ import annotations

from dataclasses import dataclass

from installer.leftovers import LEFTOVERS

_CNI_CONFIG = "/etc/cni/net.d/"


@dataclass(frozen=True)
class Network:
    """A pod network. ``name`` is its add-on's and its Helm release's; ``agent`` the label of its pod on each node.

    ``resources`` are removed before the release, in their order: its operator must still be there to take away what
    each stands for, and holds them by finalizers until it has. ``namespaces`` go last. ``notes`` are what stays.
    """

    name: str
    owner: str
    agent: tuple[str, str]
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def config_paths(self) -> tuple[str, ...]:
        """The CNI configuration that its agent writes on a node once it works there."""
        rows = (row.mark for row in LEFTOVERS if row.kind == "file" and row.owner == self.owner)
        return tuple(path for path in rows if path.startswith(_CNI_CONFIG) and path.endswith(".conflist"))


NETWORKS = (
    Network("flannel", "Flannel", ("app", "flannel"), namespaces=("kube-flannel",)),
    Network(
        "calico",
        "Calico",
        ("k8s-app", "calico-node"),
        resources=(
            "whiskers.operator.tigera.io/default",
            "goldmanes.operator.tigera.io/default",
            "apiservers.operator.tigera.io/default",
            "installations.operator.tigera.io/default",
        ),
        namespaces=("calico-apiserver", "calico-system", "tigera-operator"),
        notes=("Calico's definitions stay, and with them its own NetworkPolicies, which nobody heeds any more",),
    ),
    Network(
        "cilium",
        "Cilium",
        ("k8s-app", "cilium"),
        namespaces=("cilium-secrets",),
        notes=(
            "programs that Cilium attached to interfaces stay until a reboot: reboot each node when all is done",
            "Cilium's definitions stay, and with them its own policies, which nobody heeds any more",
        ),
    ),
)


def network_named(name: str) -> Network | None:
    """The row of a name."""
    return next((network for network in NETWORKS if network.name == name), None)


def others(network: Network) -> tuple[Network, ...]:
    """Every other row."""
    return tuple(other for other in NETWORKS if other != network)

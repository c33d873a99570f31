"""Checks of the network: the pod network's configuration, what an old one left, names, and what the logs say."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from installer.check import Finding, check, ok, problem, warn
from installer.doctor.health import Health

_FOREIGN = ("bird", "zebra", "babel")
"""Routing daemons; of the networks here only Calico runs one."""


@check("pod-network", reads="/etc/cni/net.d, /opt/cni/bin")
def pod_network(health: Health) -> Finding:
    """A runtime takes the first file by name in /etc/cni/net.d; every plugin it names must be in /opt/cni/bin.

    With none the node is NotReady; with two, pods get the network of whichever comes first.
    """
    there = [name for name in health.facts.network_configurations if not name.endswith(".json")]
    if not there:
        why = "the node stays NotReady: no pod network has been installed, or its pod does not run here"
        return problem("pod-network", "none configured", why, "kubectl -n kube-system get pods -o wide")
    if len(there) > 1:
        why = f"pods are connected by {there[0]}; another network's file is beside it"
        fix = f"remove those of the network that is gone from /etc/cni/net.d: {', '.join(there[1:])}"
        return problem("pod-network", ", ".join(there), why, fix)
    if health.plugins_missing:
        missing = ", ".join(health.plugins_missing)
        why = "no pod gets an address without"
        return problem("pod-network", f"{there[0]} names {missing}, not in /opt/cni/bin", why, "run ./install again")
    return ok("pod-network", there[0])


@check("routes", reads="ip route")
def routes(health: Health) -> Finding:
    """Routes that an old pod network left lead packets for pods the wrong way: slow, or nowhere.

    Calico's stay with "proto bird" when it is removed; flannel or Cilium then share the road with them.
    """
    pods = ipaddress.ip_network(health.config.pod_subnet)
    strays = []
    for route in health.routes:
        try:
            network = ipaddress.ip_network(route.network, strict=False)
        except ValueError:
            continue  # "default"
        if route.protocol in _FOREIGN and network.version == pods.version and network.overlaps(pods):
            strays.append(route)
    if not strays or any("calico" in name for name in health.facts.network_configurations):
        return ok("routes", "none of another pod network")
    shown = ", ".join(f"{route.network} dev {route.interface} proto {route.protocol}" for route in strays[:4])
    why = "an old pod network made them; packets for pods take the wrong way"
    fix = "\n       ".join(f"ip route del {route.network} dev {route.interface}" for route in strays)
    return problem("routes", f"{len(strays)}: {shown}", why, fix)


@check("resolver", reads="/etc/resolv.conf")
def resolver(health: Health) -> Finding:
    """CoreDNS asks the servers in this file when it does not know a name.

    With a local address there it asks itself, notices, and stops; with none it has nobody to ask, which is right on an
    isolated site where dns.upstream says so.
    """
    there = health.name_servers
    local = [name for name in there if _is_loopback(name)]
    if local and len(local) == len(there):
        why = "pods that take this file ask themselves; CoreDNS calls it a loop and stops"
        return warn("resolver", ", ".join(there), why, "name real servers in dns.upstream of cluster.yaml, or none")
    if len(there) > 3:
        return warn("resolver", f"{len(there)} name servers", "only the first three are asked", "leave three")
    return ok("resolver", ", ".join(there) or "no name server, none needed")


@check("clock-back", reads="the clock, and the date of the install")
def clock(health: Health) -> Finding:
    """A clock that has gone back makes every certificate and token not valid yet, and leases that never end."""
    record, now = health.installed, health.facts.now_seconds
    if record is not None and now < record.since_seconds:
        why = "it is earlier than the install: certificates made then are not valid yet"
        return problem("clock-back", "gone back", why, "date -u -s 'YYYY-MM-DD HH:MM' && systemctl restart kubelet")
    return ok("clock-back", "after the install")


@check("logs", reads="journalctl -k, -u kubelet, -u containerd")
def logs(health: Health) -> Iterator[Finding]:
    """Lines in the last logs that have one known cause."""
    for item in health.sightings:
        name = f"logs {item.signature.cause.partition(';')[0]}"
        yield warn(name, f"{item.times} times in {item.where}: {item.line}", item.signature.cause, item.signature.fix)
    if not health.sightings:
        yield ok("logs", "none of the known lines")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


CHECKS = (pod_network, routes, resolver, clock, logs)

"""CoreDNS' configuration: one server for the cluster's names and everything else, one for each zone of the site's.

Only plugins and options that ``kubeadm upgrade`` knows how to carry over are used, so that it does not stop at a
Corefile of ours. Without anybody to ask there is no ``forward``, which would refuse to start without a server, and no
``loop``, which would have nothing to find: an outside name fails at once, and no packet leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from installer.dns import DnsCache, DnsSettings

NODE_FILE = "/etc/resolv.conf"
"""In CoreDNS' own pod: the resolver file that the kubelet of its node hands out."""
_STEP = "    "
_REVERSE_ZONES = "in-addr.arpa ip6.arpa"


def corefile(dns: DnsSettings, domain: str, upstreams: tuple[str, ...]) -> str:
    """The Corefile for the cluster's ``domain``; names of nobody's are asked of ``upstreams``, if there are any."""
    zones = ((zone, _zone(dns, zone)) for zone in sorted(dns.zones))
    lines: list[str] = []
    for zone, plugins in ((".", _cluster(dns, domain, upstreams)), *zones):
        lines += [f"{zone}:53 {{", *(f"{_STEP}{line}" for line in plugins), "}"]
    return "".join(f"{line}\n" for line in lines)


def _cluster(dns: DnsSettings, domain: str, upstreams: tuple[str, ...]) -> Iterator[str]:
    """The plugins of the server for everything that is in no zone of the site's."""
    yield from ["errors"] if upstreams else _block("errors", ['consolidate 5m "no next plugin found$"'])
    yield from _log(dns)
    yield from _block("health", [f"lameduck {dns.lameduck_seconds}s"])
    yield "ready"
    yield from _hosts(dns, "")
    answers = ["pods insecure", f"fallthrough {_REVERSE_ZONES}", f"ttl {dns.ttl_seconds}"]
    yield from _block(f"kubernetes {domain} {_REVERSE_ZONES}", answers)
    yield "prometheus :9153"
    if upstreams:
        yield from _forward(upstreams, dns)
    yield from _cache(dns.cache)
    if upstreams:
        yield "loop"
    yield "reload"
    yield "loadbalance round_robin"


def _zone(dns: DnsSettings, zone: str) -> Iterator[str]:
    """The plugins of the server for one zone of the site's."""
    yield "errors"
    yield from _log(dns)
    yield from _hosts(dns, zone)
    yield from _forward(dns.zones[zone], dns)
    yield from _cache(dns.cache)
    yield "loadbalance round_robin"


def _log(dns: DnsSettings) -> Iterator[str]:
    if dns.log:
        yield from _block("log .", [f"class {' '.join(dns.log)}"])


def _hosts(dns: DnsSettings, zone: str) -> Iterator[str]:
    """The names of ``dns.hosts`` that questions to this server can be about: each server has its own zone only."""
    entries = []
    for address, names in dns.hosts.items():
        here = [name for name in names if _zone_of(name, dns.zones) == zone]
        if here:
            entries.append(f"{address} {' '.join(here)}")
    if entries:
        yield from _block("hosts", [*entries, "fallthrough"])


def _zone_of(name: str, zones: Iterable[str]) -> str:
    """The longest of ``zones`` that ``name`` is in, or ``""``."""
    inside = [zone for zone in zones if name == zone or name.endswith(f".{zone}")]
    return max(inside, key=len, default="")


def _forward(servers: tuple[str, ...], dns: DnsSettings) -> Iterator[str]:
    yield from _block(f"forward . {' '.join(servers)}", [f"max_concurrent {dns.max_concurrent}"])


def _cache(cache: DnsCache) -> Iterator[str]:
    options = [
        f"success {cache.success_entries} {cache.success_seconds}",
        f"denial {cache.denial_entries} {cache.denial_seconds}",
    ]
    if cache.prefetch_queries:
        options.append(f"prefetch {cache.prefetch_queries} {cache.prefetch_gap_seconds}s {cache.prefetch_percent}%")
    yield from _block(f"cache {cache.success_seconds}", options)


def _block(head: str, options: Iterable[str]) -> Iterator[str]:
    yield f"{head} {{"
    for option in options:
        yield f"{_STEP}{option}"
    yield "}"

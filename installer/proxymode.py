"""Which mode kube-proxy gets, always said explicitly: from 1.37 on it warns when none is.

``auto`` is ipvs where the first node's kernel has its modules and upstream still carries the mode, else iptables,
upstream's own default. It is decided once, on the first control-plane node: the whole cluster has one mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from installer.render.kernel import PROXY_MODULES

FIRST_MINOR_DEPRECATING_IPVS = 35
FIRST_MINOR_WITH_NFTABLES = 31
"""Where the mode is on without a feature gate; it is beta there."""
FIRST_MINOR_WITH_STABLE_NFTABLES = 33


@dataclass(frozen=True)
class ProxyMode:
    """A mode, and ``why`` it is this one."""

    name: str
    why: str


def decide(wanted: str, minor: int, modules: Mapping[str, str]) -> ProxyMode:
    """The mode for Kubernetes 1.``minor`` on a kernel with ``modules``, where cluster.yaml says ``wanted``."""
    if wanted != "auto":
        return ProxyMode(wanted, "as cluster.yaml says")
    if minor >= FIRST_MINOR_DEPRECATING_IPVS:
        return ProxyMode("iptables", f"Kubernetes 1.{FIRST_MINOR_DEPRECATING_IPVS} and later deprecate ipvs")
    missing = [name for name in PROXY_MODULES["ipvs"] if modules.get(name, "missing") == "missing"]
    if missing:
        return ProxyMode("iptables", f"for ipvs this kernel lacks {', '.join(missing)}")
    return ProxyMode("ipvs", "this kernel has its modules")

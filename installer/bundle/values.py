"""Values of a chart that name facts of the cluster: ``${podSubnet}`` anywhere in a string stands for the fact.

The bundle carries the values as its author wrote them. The builder fills them with :data:`SAMPLE` to see what the
chart renders to; the installer fills them with the cluster's own facts. The operator's values are laid over them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

SAMPLE: Mapping[str, str] = {
    "apiHost": "192.0.2.10",
    "apiPort": "6443",
    "clusterDNS": "10.96.0.10",
    "dnsDomain": "cluster.local",
    "kubeProxyReplacement": "false",
    "kubernetes": "v1.30.14",
    "nodeLocalDNS": "169.254.20.10",
    "nodeNames": ".*",
    "nodeNetwork": "192.0.2.0",
    "nodePrefixes": "192.0.2.0/24",
    "podMTU": "1450",
    "podSubnet": "10.244.0.0/16",
    "proxyMode": "iptables",
    "serviceSubnet": "10.96.0.0/12",
}
"""Every fact there is, with a value of its form."""
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


def fill(values: Any, facts: Mapping[str, str]) -> Any:
    """A copy of ``values`` (what JSON can hold) in which every placeholder is its fact; ``KeyError`` without one."""
    if isinstance(values, dict):
        return {key: fill(value, facts) for key, value in values.items()}
    if isinstance(values, list):
        return [fill(value, facts) for value in values]
    if isinstance(values, str):
        return _PLACEHOLDER.sub(lambda found: facts[found[1]], values)
    return values


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``under`` as Helm lays values: mappings key by key, everything else (lists too) as a whole."""
    out = dict(under)
    for key, value in over.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out


def problems(values: Any, path: str = "values") -> Iterator[str]:
    """What cannot be carried: unknown placeholders, keys that are no strings, values that JSON cannot hold."""
    if isinstance(values, dict):
        for key, value in values.items():
            if not isinstance(key, str):
                yield f"{path}.{key}: wanted a name, got {key!r}"
            yield from problems(value, f"{path}.{key}")
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from problems(value, f"{path}[{number}]")
    elif isinstance(values, str):
        for name in _PLACEHOLDER.findall(values):
            if name not in SAMPLE:
                yield f"{path}: unknown fact ${{{name}}}, wanted one of {', '.join(sorted(SAMPLE))}"
    elif isinstance(values, float) and not math.isfinite(values):
        yield f"{path}: wanted a number, got {values}"
    elif values is not None and not isinstance(values, (bool, int, float)):
        yield f"{path}: wanted a string, number, true, false, list or mapping, got {values!r}"

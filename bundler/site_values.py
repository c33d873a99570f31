"""What a site's ``cluster.yaml`` says of add-ons, for the build: its values can switch on images that nobody lists.

Only the mapping ``addons`` is read, and the networks and the domain that values may name as facts. The rest of the file
is for the installer, which reads all of it by the same rules.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundler.errors import InputError
from bundler.yaml_document import read_text
from installer.bundle.addon import read_values
from installer.bundle.strict import Fields, Problems

_DNS_ADDRESS_NUMBER = 10
"""kubeadm gives the cluster's DNS Service this address of the service network, counted from its first."""


@dataclass(frozen=True)
class SiteValues:
    """Values of add-ons by name, facts by name, and ``where``: the file they are from, as the operator named it."""

    where: str = ""
    addons: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's own name, for marking what it asks for."""
        return Path(self.where).name

    @classmethod
    def from_file(cls, path: Path) -> SiteValues:
        """The values in a ``cluster.yaml``; raises :class:`InputError` with the line, or with each problem's path."""
        from installer.bundle.yamltext import load_yaml  # the parser only where there is something to read

        document = load_yaml(read_text(path), where=str(path))
        problems = Problems()
        fields = Fields({} if document is None else document, problems)
        named = fields.mapping("addons", optional=True)
        values = {}
        for name in named.keys():  # noqa: SIM118 - Fields is not a dict
            item = named.mapping(name, optional=True)
            values[name] = read_values(item)
            item.finish()
        facts = _facts(fields)
        problems.check("the site's values cannot be used", InputError, where=str(path))
        return cls(str(path), values, facts)

    def demand_carried(self, names: Iterable[str]) -> None:
        """Raises :class:`InputError` for values of an add-on that the build does not carry; no install takes them."""
        known = list(names)
        unknown = [name for name in self.addons if name not in known]
        if unknown:
            raise InputError(
                "the build carries no such add-on",
                where=f"{self.where}, addons.{unknown[0]}",
                wanted=f"one of {', '.join(known)}" if known else "no addons: this build carries none",
                got=", ".join(unknown),
                next_step=f"carry it (--addon {unknown[0]}), or leave its values out",
            )


def _facts(fields: Fields) -> dict[str, str]:
    facts = {}
    for key in ("podSubnet", "serviceSubnet"):
        if key in fields and (subnet := fields.parsed(key, _network)) is not None:
            facts[key] = str(subnet)
            if key == "serviceSubnet":
                facts["clusterDNS"] = str(subnet[_DNS_ADDRESS_NUMBER])
    if "dnsDomain" in fields:
        facts["dnsDomain"] = fields.text("dnsDomain")
    return facts


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise InputError("not a network", wanted=f"one such as 10.244.0.0/16 ({error})", got=text[:100]) from None
    if network.num_addresses <= _DNS_ADDRESS_NUMBER:
        raise InputError("too small a network", wanted=f"more than {_DNS_ADDRESS_NUMBER} addresses", got=text[:100])
    return network

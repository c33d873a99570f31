"""Where a registry of the site is, as an operator writes it: ``registry.plant.example:5000/prefix``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from installer.bundle.errors import FormatError, InputError
from installer.bundle.reference import Reference


@dataclass(frozen=True)
class SiteRegistry:
    """A registry: ``scheme`` (``https`` or ``http``), ``host`` with its port, and a ``prefix`` of repositories."""

    scheme: str
    host: str
    prefix: str = ""

    @property
    def base(self) -> str:
        """``https://host:port``."""
        return f"{self.scheme}://{self.host}"

    @classmethod
    def parse(cls, text: str, *, plain_http: bool, has_ca: bool, where: str) -> SiteRegistry:
        """The registry that ``text`` names; on loopback without a CA it is asked without TLS, as container tools do."""
        host, _, prefix = text.rstrip("/").partition("/")
        try:
            if not host:
                raise FormatError("no host")
            Reference(host, f"{prefix}/x" if prefix else "x", "any")
        except FormatError:
            raise InputError(
                "not a registry's address",
                where=where,
                wanted="HOST[:PORT][/PREFIX] in lower case, such as registry.plant.example/k8s",
                got=text[:300],
                next_step="leave out https:// and user names",
            ) from None
        plain = plain_http or (is_loopback(host) and not has_ca)
        return cls("http" if plain else "https", host, prefix)


def is_loopback(host: str) -> bool:
    """Whether ``host[:port]`` is this machine."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

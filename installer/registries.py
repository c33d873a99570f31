"""Registries of the site in ``cluster.yaml``: where containerd asks for images of a registry, after its hosts.toml."""

from __future__ import annotations

import re
from dataclasses import dataclass

from installer.bundle.strict import Fields
from installer.settings import folder, is_host

CAPABILITIES = ("pull", "resolve", "push")
ANY_REGISTRY = "_default"
"""In the place of a registry's name: for every registry that has no entry of its own."""


@dataclass(frozen=True)
class RegistryHost:
    """One host that is asked, in containerd's own terms; ``ca`` is a file on the node."""

    url: str
    capabilities: tuple[str, ...] = ("pull", "resolve")
    ca: str | None = None
    skip_verify: bool = False
    override_path: bool = False

    @classmethod
    def read(cls, fields: Fields) -> RegistryHost:
        """A host from its mapping."""
        host = cls(
            url=_url(fields, "url"),
            capabilities=_capabilities(fields),
            ca=folder(fields, "ca", "") or None,
            skip_verify=fields.boolean("skipVerify", False),
            override_path=fields.boolean("overridePath", False),
        )
        if host.skip_verify and host.ca is not None:
            fields.note("skipVerify", "with a ca there is something to verify by; leave one of the two out")
        fields.finish()
        return host


@dataclass(frozen=True)
class Registry:
    """The hosts asked for images of the registry ``name``, in order; ``server`` is asked last, else the registry."""

    name: str
    hosts: tuple[RegistryHost, ...]
    server: str | None = None

    @classmethod
    def read_all(cls, fields: Fields) -> tuple[Registry, ...]:
        """Every registry of the mapping, by name."""
        return tuple(cls._read(name, fields) for name in sorted(fields.keys()))

    @classmethod
    def _read(cls, name: str, registries: Fields) -> Registry:
        if not _is_registry(name):
            registries.note(name, f"wanted a registry's host, with its port if it has one, or {ANY_REGISTRY}")
        fields = registries.mapping(name)
        hosts = tuple(RegistryHost.read(item) for item in fields.mappings("hosts"))
        server = _url(fields, "server") if "server" in fields else None
        if not hosts:
            fields.note("hosts", "wanted at least one host")
        fields.finish()
        return cls(name, hosts, server)


def _is_registry(name: str) -> bool:
    host, _, port = name.partition(":")
    return name == ANY_REGISTRY or (is_host(host) and (not port or bool(re.fullmatch(r"[1-9][0-9]{0,4}", port))))


def _capabilities(fields: Fields) -> tuple[str, ...]:
    named = tuple(fields.texts("capabilities", list(RegistryHost.capabilities)))
    if not named or not set(named) <= set(CAPABILITIES):
        fields.note("capabilities", f"wanted some of {', '.join(CAPABILITIES)}")
    return named


def _url(fields: Fields, key: str) -> str:
    text: str = fields.text(key)
    if text and not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?", text):
        fields.note(key, f"wanted an address such as https://mirror.example.com, got {text[:100]!r}")
    return text

"""The parts of ``cluster.yaml``, each a value that reads itself from its mapping, and the rules its fields share."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

from installer.bundle.addon import read_values
from installer.bundle.strict import Fields
from installer.errors import InputError

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
API_PORT = 6443
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True)
class Endpoint:
    """Where the API is reached: a DNS name or address, and a port."""

    host: str
    port: int = API_PORT

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """``host``, ``host:port`` or ``[v6]:port``; anything else is an :class:`InputError`."""
        match = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[^:\[\]/]+))(?::(?P<port>[0-9]{1,5}))?", text)
        host = (match["v6"] or match["host"]) if match else ""
        port = int(match["port"] or API_PORT) if match else 0
        if not is_host(host) or not 0 < port < 65536:
            raise InputError("not an endpoint", wanted="a DNS name or address, and optionally a port", got=text[:100])
        return cls(host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds; slow machines need more. All but the last are kubeadm's, with its own defaults."""

    control_plane_seconds: int = 240
    kubelet_seconds: int = 240
    api_call_seconds: int = 60
    etcd_call_seconds: int = 120
    tls_bootstrap_seconds: int = 300
    discovery_seconds: int = 300
    addon_seconds: int = 300

    @classmethod
    def read(cls, fields: Fields) -> Timeouts:
        """Timeouts from their mapping."""
        default = cls()
        timeouts = cls(
            fields.integer("controlPlaneSeconds", default.control_plane_seconds, least=1, most=86400),
            fields.integer("kubeletSeconds", default.kubelet_seconds, least=1, most=86400),
            fields.integer("apiCallSeconds", default.api_call_seconds, least=1, most=86400),
            fields.integer("etcdCallSeconds", default.etcd_call_seconds, least=1, most=86400),
            fields.integer("tlsBootstrapSeconds", default.tls_bootstrap_seconds, least=1, most=86400),
            fields.integer("discoverySeconds", default.discovery_seconds, least=1, most=86400),
            fields.integer("addonSeconds", default.addon_seconds, least=1, most=86400),
        )
        fields.finish()
        return timeouts


@dataclass(frozen=True)
class ExtraArgs:
    """Flags added to a component's command line, without the leading dashes."""

    api_server: dict[str, str] = field(default_factory=dict)
    controller_manager: dict[str, str] = field(default_factory=dict)
    scheduler: dict[str, str] = field(default_factory=dict)
    etcd: dict[str, str] = field(default_factory=dict)
    kubelet: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> ExtraArgs:
        """Extra flags from their mapping; a flag written with dashes is a problem."""
        args = cls(
            flags(fields, "apiServer"),
            flags(fields, "controllerManager"),
            flags(fields, "scheduler"),
            flags(fields, "etcd"),
            flags(fields, "kubelet"),
        )
        if "pod-infra-container-image" in args.kubelet:
            fields.note("kubelet.pod-infra-container-image", "is the installer's: the bundle says which pause image")
        fields.finish()
        return args


@dataclass(frozen=True)
class Taint:
    """A taint of the node: pods stay away unless they tolerate it."""

    key: str
    effect: str
    value: str = ""

    @classmethod
    def read(cls, fields: Fields) -> Taint:
        """A taint from its mapping."""
        taint = cls(fields.text("key"), fields.choice("effect", TAINT_EFFECTS), fields.text("value", ""))
        fields.finish()
        return taint


def is_host(text: str) -> bool:
    """Whether ``text`` is an IP address or a lower-case DNS name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(_DNS_NAME.fullmatch(text)) and not text.replace(".", "").isdigit()
    return True


def is_node_name(text: str) -> bool:
    """Whether ``text`` can name a Kubernetes node: a lower-case DNS name (RFC 1123)."""
    return bool(_DNS_NAME.fullmatch(text))


def named(fields: Fields, key: str, default: str | None) -> Any:
    name = fields.text(key, default)
    if name and not _DNS_NAME.fullmatch(name):
        fields.note(key, f"wanted lower-case letters, digits, '-' and '.', got {name[:100]!r}")
    return name


def subnet(fields: Fields, key: str, default: str) -> str:
    text: str = fields.text(key, default)
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        if text:
            fields.note(key, f"wanted a network such as {default}, got {text[:100]!r} ({error})")
        return default


def hosts(fields: Fields, key: str) -> tuple[str, ...]:
    hosts = fields.texts(key, [])
    for number, host in enumerate(hosts):
        if not is_host(host.removeprefix("*.")):
            fields.note(f"{key}[{number}]", f"wanted a DNS name or an address, got {host[:100]!r}")
    return tuple(hosts)


def folder(fields: Fields, key: str, default: str) -> str:
    path: str = fields.text(key, default)
    if path and (not re.fullmatch(r"/[A-Za-z0-9._/-]*[A-Za-z0-9_-]", path) or ".." in path.split("/")):
        fields.note(key, f"wanted an absolute path of letters, digits and '._-', got {path[:100]!r}")
    return path


def flags(fields: Fields, key: str) -> dict[str, str]:
    flags = fields.text_map(key)
    for name in flags:
        if not re.fullmatch(r"[a-z0-9][A-Za-z0-9.-]*", name):
            fields.note(f"{key}.{name}", "wanted a flag's name without the leading dashes")
    return flags


def taints(fields: Fields) -> tuple[Taint, ...] | None:
    if "taints" not in fields:
        return None
    return tuple(Taint.read(item) for item in fields.mappings("taints"))


def addon_values(fields: Fields) -> dict[str, dict[str, Any]]:
    """The operator's own values of each add-on by its name, from the mapping ``addons``."""
    values = {}
    for name in fields.keys():  # noqa: SIM118 - Fields is not a dict
        addon = fields.mapping(name, optional=True)
        values[name] = read_values(addon)
        addon.finish()
    return values

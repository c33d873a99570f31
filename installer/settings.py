"""The parts of ``cluster.yaml``, each a value that reads itself from its mapping, and the rules its fields share."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

from installer.bundle.addon import read_values
from installer.bundle.strict import Fields
from installer.errors import InputError

FILESYSTEMS = ("ext4", "xfs")
"""What a data disk can be formatted as."""
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
API_PORT = 6443
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
Flags = dict[str, tuple[str, ...]]
"""Flags of one component: the values of each, in the order they are passed."""
_NO_KUBELET_HAS_IT = "is refused by every kubelet from 1.28 on, which would not start"
KUBELET_FLAGS_REFUSED = {
    "pod-infra-container-image": "is the installer's: the bundle says which pause image",
    "container-runtime-endpoint": "is the installer's: the kubelet talks to the containerd that is installed",
    "cgroup-driver": "is the installer's: containerd and the kubelet both use systemd",
    **dict.fromkeys(
        ("container-runtime", "network-plugin", "cni-bin-dir", "cni-conf-dir", "image-pull-progress-deadline"),
        _NO_KUBELET_HAS_IT,
    ),
}
"""Kubelet flags that are never passed on, and why."""
RESERVABLE = ("cpu", "memory", "ephemeral-storage", "pid")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
PATCH_TARGETS = (
    "corednsdeployment",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeletconfiguration",
)
"""What kubeadm can patch, by the names its patch files begin with."""


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
    """Flags added to a component's command line, without the leading dashes; one may have several values."""

    api_server: Flags = field(default_factory=dict)
    controller_manager: Flags = field(default_factory=dict)
    scheduler: Flags = field(default_factory=dict)
    etcd: Flags = field(default_factory=dict)
    kubelet: Flags = field(default_factory=dict)

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
        for flag in sorted(args.kubelet.keys() & KUBELET_FLAGS_REFUSED.keys()):
            fields.note(f"kubelet.{flag}", KUBELET_FLAGS_REFUSED[flag])
        fields.finish()
        return args

    @property
    def repeated(self) -> tuple[str, ...]:
        """The flags that are given more than once, each with its component."""
        components = {
            "apiServer": self.api_server,
            "controllerManager": self.controller_manager,
            "scheduler": self.scheduler,
            "etcd": self.etcd,
            "kubelet": self.kubelet,
        }
        return tuple(
            f"{component}.{flag}" for component, flags in components.items() for flag in flags if len(flags[flag]) > 1
        )


@dataclass(frozen=True)
class KubeletSettings:
    """What the kubelets are told. ``system_reserved`` and ``kube_reserved`` override single resources of the computed
    ones; ``fail_cgroup_v1`` of ``False`` lets a kubelet of 1.35 and later run on cgroup v1.
    """

    image_gc_high_percent: int = 85
    image_gc_low_percent: int = 80
    system_reserved: dict[str, str] = field(default_factory=dict)
    kube_reserved: dict[str, str] = field(default_factory=dict)
    fail_cgroup_v1: bool = True

    @classmethod
    def read(cls, fields: Fields) -> KubeletSettings:
        """Kubelet settings from their mapping."""
        default = cls()
        settings = cls(
            fields.integer("imageGCHighThresholdPercent", default.image_gc_high_percent, least=1, most=100),
            fields.integer("imageGCLowThresholdPercent", default.image_gc_low_percent, least=0, most=99),
            _reserved(fields, "systemReserved"),
            _reserved(fields, "kubeReserved"),
            fields.boolean("failCgroupV1", default.fail_cgroup_v1),
        )
        if settings.image_gc_low_percent >= settings.image_gc_high_percent:
            fields.note(
                "imageGCLowThresholdPercent",
                f"wanted less than imageGCHighThresholdPercent ({settings.image_gc_high_percent}), "
                f"got {settings.image_gc_low_percent}",
            )
        fields.finish()
        return settings


@dataclass(frozen=True)
class DataDiskSettings:
    """The block device that containerd's folder is put on, and the file system an empty one gets."""

    device: str
    filesystem: str = "ext4"

    @classmethod
    def read(cls, fields: Fields) -> DataDiskSettings:
        """The data disk from its mapping."""
        disk = cls(fields.text("device"), fields.choice("filesystem", FILESYSTEMS, "ext4"))
        if disk.device and not is_device(disk.device):
            fields.note("device", f"wanted a device such as /dev/vdb1, got {disk.device[:100]!r}")
        fields.finish()
        return disk


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


def is_device(text: str) -> bool:
    """Whether ``text`` can be the path of a block device."""
    return bool(re.fullmatch(r"/dev/[A-Za-z0-9._:+@=/-]+", text)) and ".." not in text.split("/")


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


def flags(fields: Fields, key: str) -> Flags:
    part = fields.mapping(key, optional=True)
    read: Flags = {}
    for name in part.keys():  # noqa: SIM118 - Fields is no mapping
        given = part.raw(name)
        values = given if isinstance(given, list) and given else [given]
        if not re.fullmatch(r"[a-z0-9][A-Za-z0-9.-]*", name):
            part.note(name, "wanted a flag's name without the leading dashes")
        elif not all(isinstance(value, str) for value in values):
            part.note(name, f"wanted a string, got {str(given)[:60]}; a list of strings is a flag that is repeated")
        else:
            read[name] = tuple(values)
    return read


def patches(fields: Fields) -> dict[str, dict[str, Any]]:
    part = fields.mapping("patches", optional=True)
    read: dict[str, dict[str, Any]] = {}
    for target in part.keys():  # noqa: SIM118 - Fields is no mapping
        patch = part.raw(target)
        if target not in PATCH_TARGETS:
            part.note(target, f"wanted one of {', '.join(PATCH_TARGETS)}")
        elif not isinstance(patch, dict) or not patch:
            part.note(target, "wanted a mapping, merged into what kubeadm writes")
        else:
            read[target] = patch
    return read


def _reserved(fields: Fields, key: str) -> dict[str, str]:
    amounts = fields.text_map(key)
    for name, amount in amounts.items():
        if name not in RESERVABLE:
            fields.note(f"{key}.{name}", f"wanted one of {', '.join(RESERVABLE)}")
        elif not _QUANTITY.fullmatch(amount):
            fields.note(f"{key}.{name}", f"wanted a quantity such as 200m or 512Mi, got {amount[:60]!r}")
    return amounts


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

"""containerd's configuration and unit, the whole file, for whichever schema the release speaks.

A file is always written whole: on 1.6 and 1.7 a drop-in that names a plugin replaces that plugin's entire table, so
half a table would silently reset the sandbox image and the cgroup driver. From 2.0 on tables are merged key by key,
so there the main file imports ``/etc/containerd/conf.d`` for keys of the user's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

CONFIG_PATH = "/etc/containerd/config.toml"
UNIT_PATH = "/etc/systemd/system/containerd.service"
REGISTRY_DIR = "/etc/containerd/certs.d"
DROP_IN_DIR = "/etc/containerd/conf.d"
DEFAULT_SOCKET = "/run/containerd/containerd.sock"
DEFAULT_SNAPSHOTTER = "overlayfs"

_HEADER = "# Written by airgap-bundle, and replaced as a whole by the next install."
_DROP_IN_NOTE = f"# Keys of your own belong in {DROP_IN_DIR}/*.toml, with the same version line."


@dataclass(frozen=True)
class RuntimeSettings:
    """What containerd is told: the ``sandbox`` image (``None`` leaves it out), where runc is, the usual places."""

    sandbox: str | None
    runc_path: str = "/usr/local/sbin/runc"
    root: str = "/var/lib/containerd"
    state: str = "/run/containerd"
    socket: str = DEFAULT_SOCKET
    snapshotter: str = DEFAULT_SNAPSHOTTER
    cni_bin_dir: str = "/opt/cni/bin"
    cni_conf_dir: str = "/etc/cni/net.d"


def schema_of(version: str) -> int:
    """The newest configuration schema the containerd ``version`` (``1.7.27``) reads."""
    major, minor = major_minor(version)
    if major < 2:
        return 2
    return 3 if (major, minor) < (2, 3) else 4


def config(version: str, settings: RuntimeSettings) -> str:
    """``config.toml`` for containerd ``version``."""
    if schema_of(version) == 2:
        tables = _head(2, settings, _grpc("grpc", settings)) + _schema_2(settings)
    else:
        schema = schema_of(version)
        server = _grpc("grpc" if schema == 3 else "plugins.'io.containerd.server.v1.grpc'", settings)
        tables = _head(schema, settings, server) + _schema_3(settings, bin_dirs=major_minor(version) >= (2, 1))
    return "\n".join(tables) + "\n"


def is_ours(text: bytes) -> bool:
    """Whether a configuration was written here."""
    return text.startswith(_HEADER.encode())


def sandbox_of(document: dict[str, object]) -> str | None:
    """The sandbox image that a parsed configuration (``containerd config dump``) names, in either dialect."""
    plugins = _table(document.get("plugins"))
    pinned = _table(_table(plugins.get("io.containerd.cri.v1.images")).get("pinned_images"))
    legacy = _table(plugins.get("io.containerd.grpc.v1.cri"))
    for value in (pinned.get("sandbox"), legacy.get("sandbox_image")):
        if isinstance(value, str) and value:
            return value
    return None


def unit(version: str) -> str:
    """``containerd.service`` with the daemon in ``/usr/local/bin``."""
    major, _ = major_minor(version)
    return f"""\
# Written by airgap-bundle for containerd {version}. Changes of your own belong in containerd.service.d/*.conf.
[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target local-fs.target{" dbus.service" if major >= 2 else ""}

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""


def major_minor(version: str) -> tuple[int, int]:
    """``(1, 7)`` of ``v1.7.27``."""
    major, minor = version.lstrip("v").split(".")[:2]
    return int(major), int(minor)


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(value)


def _head(schema: int, settings: RuntimeSettings, server: list[str]) -> list[str]:
    own_keys = [] if schema == 2 else [_DROP_IN_NOTE]
    imports = [] if schema == 2 else [f"imports = [{_text(DROP_IN_DIR + '/*.toml')}]"]
    return [
        _HEADER,
        *own_keys,
        f"version = {schema}",
        *imports,
        f"root = {_text(settings.root)}",
        f"state = {_text(settings.state)}",
        "",
        *server,
    ]


def _grpc(table: str, settings: RuntimeSettings) -> list[str]:
    return [f"[{table}]", f"  address = {_text(settings.socket)}", ""]


def _runc(table: str, settings: RuntimeSettings) -> list[str]:
    return [
        f"  [{table}.containerd.runtimes.runc]",
        '    runtime_type = "io.containerd.runc.v2"',
        "",
        f"  [{table}.containerd.runtimes.runc.options]",
        f"    BinaryName = {_text(settings.runc_path)}",
        "    SystemdCgroup = true",
        "",
    ]


def _sandbox(key: str, settings: RuntimeSettings) -> list[str]:
    return [] if settings.sandbox is None else [f"  {key} = {_text(settings.sandbox)}"]


def _schema_2(settings: RuntimeSettings) -> list[str]:
    cri = "plugins.'io.containerd.grpc.v1.cri'"
    return [
        f"[{cri}]",
        *_sandbox("sandbox_image", settings),
        "",
        f"  [{cri}.cni]",
        f"    bin_dir = {_text(settings.cni_bin_dir)}",
        f"    conf_dir = {_text(settings.cni_conf_dir)}",
        "",
        f"  [{cri}.containerd]",
        '    default_runtime_name = "runc"',
        f"    snapshotter = {_text(settings.snapshotter)}",
        "",
        *_runc(cri, settings),
        f"  [{cri}.registry]",
        f"    config_path = {_text(REGISTRY_DIR)}",
    ]


def _schema_3(settings: RuntimeSettings, *, bin_dirs: bool) -> list[str]:
    images, runtime = "plugins.'io.containerd.cri.v1.images'", "plugins.'io.containerd.cri.v1.runtime'"
    bin_dir = f"bin_dirs = [{_text(settings.cni_bin_dir)}]" if bin_dirs else f"bin_dir = {_text(settings.cni_bin_dir)}"
    return [
        f"[{images}]",
        f"  snapshotter = {_text(settings.snapshotter)}",
        "",
        f"  [{images}.pinned_images]",
        *(f"  {line}" for line in _sandbox("sandbox", settings)),
        "",
        f"  [{images}.registry]",
        f"    config_path = {_text(REGISTRY_DIR)}",
        "",
        f"[{runtime}]",
        "",
        f"  [{runtime}.cni]",
        f"    {bin_dir}",
        f"    conf_dir = {_text(settings.cni_conf_dir)}",
        "",
        f"  [{runtime}.containerd]",
        '    default_runtime_name = "runc"',
        "",
        *_runc(runtime, settings)[:-1],
    ]

"""What is seen of a node that was installed: gathered by looking only, and without the API where that is down.

Nothing is asked beyond the cluster itself. What a machine does not say is empty; the checks decide what that means.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installer.certificates import Validity, first_validity
from installer.config import ClusterConfig
from installer.doctor.containers import Container, containers
from installer.doctor.counters import Counters, counters
from installer.doctor.signatures import SIGNATURES, Sighting, sightings
from installer.drift import Item
from installer.errors import OperatorError
from installer.facts import NodeFacts, gather
from installer.installed import CONFIG_PATH, Installed
from installer.kernelstate import Table
from installer.node import NodeView
from installer.render.containerd import DEFAULT_SOCKET, sandbox_of
from installer.status import UNITS, gather_status
from installer.steps.runtime import effective_config

KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
KUBECTL = "/usr/local/bin/kubectl"
_CERTIFICATE_FOLDERS = ("/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd")
_KUBELET_CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"
_LOG_LINES = "2000"


@dataclass(frozen=True)
class RoutedNetwork:
    """A route as the kernel has it; ``protocol`` says who made it: ``kernel``, ``bird``, ``boot``."""

    network: str
    interface: str
    protocol: str


@dataclass(frozen=True)
class Health:
    """A node's state. ``sandbox`` is containerd's sandbox image as configured, ``sandbox_wanted`` kubeadm's;
    ``api`` what the API server says of itself (empty where it does not answer), ``plugins_missing`` the CNI plugins
    that the network's configuration calls and that are not there, ``inotify`` each user's watches.
    """

    facts: NodeFacts
    config: ClusterConfig
    services: dict[str, str]
    restarts: dict[str, int]
    items: tuple[Item, ...]
    certificates: dict[str, Validity | None]
    containers: tuple[Container, ...] | None
    routes: tuple[RoutedNetwork, ...]
    plugins_missing: tuple[str, ...]
    sandbox: str | None
    sandbox_wanted: str | None
    api: str
    api_error: str
    name_servers: tuple[str, ...]
    counters: Counters
    inotify: dict[int, Table] = field(default_factory=dict)
    sightings: tuple[Sighting, ...] = ()

    @property
    def installed(self) -> Installed | None:
        """The record of the install, if there is one."""
        return self.facts.installed

    @property
    def is_control_plane(self) -> bool:
        """Whether an API server is to run here."""
        return self.installed is not None and self.installed.role == "cp"


def look_at_health(view: NodeView, journal_folder: Path) -> Health:
    """The state of the node behind ``view``."""
    status = gather_status(view, journal_folder)
    text = view.read_text(CONFIG_PATH)
    api, api_error = _api(view)
    return Health(
        facts=gather(view),
        config=ClusterConfig.from_text(text or "", where=CONFIG_PATH),
        services=status.services,
        restarts={unit: _restarts(view, unit) for unit in UNITS},
        items=status.items,
        certificates=_certificates(view),
        containers=containers(view, f"unix://{DEFAULT_SOCKET}"),
        routes=_routes(view),
        plugins_missing=_plugins_missing(view),
        sandbox=sandbox_of(effective_config(view)),
        sandbox_wanted=_sandbox_wanted(view),
        api=api,
        api_error=api_error,
        name_servers=_name_servers(view),
        counters=counters(view),
        inotify=_inotify(view),
        sightings=sightings(_logs(view), SIGNATURES),
    )


def _restarts(view: NodeView, unit: str) -> int:
    said = view.query(["systemctl", "show", "-p", "NRestarts", "--value", f"{unit}.service"]).stdout.strip()
    return int(said) if said.isdecimal() else 0


def _certificates(view: NodeView) -> dict[str, Validity | None]:
    """Every certificate kubeadm and the kubelet keep as a file."""
    paths = [f"{folder}/{name}" for folder in _CERTIFICATE_FOLDERS for name in view.list_dir(folder)]
    paths = [path for path in paths if path.endswith(".crt")]
    paths += [_KUBELET_CERTIFICATE] if view.read_text(_KUBELET_CERTIFICATE) is not None else []
    return {path: first_validity(view.read_text(path) or "") for path in paths}


def _routes(view: NodeView) -> tuple[RoutedNetwork, ...]:
    rows = _list(view.query(["ip", "-j", "route", "show"]).stdout)
    return tuple(
        RoutedNetwork(str(row.get("dst", "")), str(row.get("dev", "")), str(row.get("protocol", ""))) for row in rows
    )


def _plugins_missing(view: NodeView) -> tuple[str, ...]:
    """The plugins of the configuration that comes first by name, as container runtimes take it."""
    names = sorted(name for name in view.list_dir("/etc/cni/net.d") if name.endswith((".conf", ".conflist")))
    if not names:
        return ()
    try:
        document = json.loads(view.read_text(f"/etc/cni/net.d/{names[0]}") or "{}")
    except ValueError:
        return ()
    plugins = document.get("plugins", [document]) if isinstance(document, dict) else []
    kinds = [str(plugin["type"]) for plugin in plugins if isinstance(plugin, dict) and "type" in plugin]
    return tuple(kind for kind in kinds if view.stat(f"/opt/cni/bin/{kind}") is None)


def _sandbox_wanted(view: NodeView) -> str | None:
    installed = Installed.read(view)
    if installed is None:
        return None
    version = f"v{installed.kubernetes.lstrip('v')}"
    said = view.query(["/usr/local/bin/kubeadm", "config", "images", "list", "--kubernetes-version", version])
    found = [line for line in said.stdout.split() if line.rpartition(":")[0].endswith("/pause")]
    return found[0] if said.ok and len(found) == 1 else None


def _api(view: NodeView) -> tuple[str, str]:
    """``/readyz`` by the node's own credentials, and why it could not be asked."""
    credentials = next((path for path in (ADMIN_CONF, KUBELET_CONF) if view.stat(path) is not None), None)
    if credentials is None:
        return "", "no kubeconfig is here yet"
    said = view.query([KUBECTL, "--kubeconfig", credentials, "get", "--raw=/readyz", "--request-timeout=10s"])
    lines = said.stderr.strip().splitlines()
    return (said.stdout.strip(), "") if said.ok else ("", lines[-1][:300] if lines else "no reason given")


def _name_servers(view: NodeView) -> tuple[str, ...]:
    lines = (line.split() for line in (view.read_text("/etc/resolv.conf") or "").splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")


def _inotify(view: NodeView) -> dict[int, Table]:
    """Watches of each user, counted where the kernel shows them: ``/proc/PID/fdinfo``."""
    most = view.read_text("/proc/sys/fs/inotify/max_user_watches") or ""
    limit = int(most) if most.strip().isdecimal() else 0
    used: dict[int, int] = {}
    for process in view.list_dir("/proc"):
        owner = view.stat(f"/proc/{process}") if process.isdecimal() else None
        if owner is not None:
            with contextlib.suppress(OperatorError):  # a process of the kernel's own, or of another container
                used[owner.uid] = used.get(owner.uid, 0) + _watches(view, f"/proc/{process}")
    return {uid: Table(count, limit) for uid, count in used.items()}


def _watches(view: NodeView, process: str) -> int:
    """The inotify watches of one process; one that has just ended has none."""
    count = 0
    for number in view.list_dir(f"{process}/fd"):
        link = view.stat(f"{process}/fd/{number}")
        if link is not None and link.link_target == "anon_inode:inotify":
            shown = view.read_text(f"{process}/fdinfo/{number}") or ""
            count += sum(1 for line in shown.splitlines() if line.startswith("inotify "))
    return count


def _logs(view: NodeView) -> dict[str, str]:
    """The last lines of the kernel's log and of both services', by where they come from."""
    base = ["journalctl", "-q", "--no-pager", "-o", "cat", "-n", _LOG_LINES]
    texts = {f"journalctl -u {unit}": view.query([*base, "-u", unit]).stdout for unit in UNITS}
    return {"journalctl -k": view.query([*base, "-k"]).stdout} | texts


def _list(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

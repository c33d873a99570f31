"""``hosts.toml`` of one registry: which hosts containerd asks for its images. Read at every pull, so no restart."""

from __future__ import annotations

import json

from installer.registries import Registry
from installer.render.containerd import REGISTRY_DIR

FILE_NAME = "hosts.toml"
_HEADER = "# Written by airgap-bundle from containerd.registries in cluster.yaml.\n"


def path(registry: str) -> str:
    """Where the file of a registry is."""
    return f"{REGISTRY_DIR}/{registry}/{FILE_NAME}"


def is_ours(text: bytes) -> bool:
    """Whether a hosts.toml was written here."""
    return text.startswith(_HEADER.encode())


def hosts_file(registry: Registry) -> str:
    """The file's text; its hosts are asked in this order."""
    lines = [] if registry.server is None else [f"server = {json.dumps(registry.server)}"]
    for host in registry.hosts:
        lines += ["", f"[host.{json.dumps(host.url)}]", f"  capabilities = {json.dumps(list(host.capabilities))}"]
        if host.ca is not None:
            lines.append(f"  ca = {json.dumps(host.ca)}")
        if host.skip_verify:
            lines.append("  skip_verify = true")
        if host.override_path:
            lines.append("  override_path = true")
    return _HEADER + "\n".join(lines) + "\n"

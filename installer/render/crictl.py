"""``/etc/crictl.yaml``, so that ``crictl`` on the node asks containerd and nothing else."""

from __future__ import annotations

CONFIG_PATH = "/etc/crictl.yaml"


def config(socket: str) -> str:
    """The file for a CRI ``socket`` (a path)."""
    return f"""\
# Written by airgap-bundle.
runtime-endpoint: unix://{socket}
image-endpoint: unix://{socket}
timeout: 30
debug: false
"""

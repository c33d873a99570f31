"""What a containerd that the site owns has decided already, taken into the configuration."""

from __future__ import annotations

from dataclasses import replace

from installer.config import ClusterConfig
from installer.errors import InputError
from installer.facts import NodeFacts


def adopted(config: ClusterConfig, facts: NodeFacts) -> ClusterConfig:
    """The configuration, with what a containerd that the site owns has decided already."""
    found = facts.runtime
    if found is None or facts.containerd_owner(config.containerd_owner) == "installer":
        return config
    default = ClusterConfig()
    for field, asked, usual, there in (
        ("root", config.containerd_root, default.containerd_root, found.root),
        ("snapshotter", config.containerd_snapshotter, default.containerd_snapshotter, found.snapshotter),
    ):
        if asked not in (usual, there):
            raise InputError(
                f"the site's containerd has another {field} than cluster.yaml asks for",
                where=f"containerd.{field}",
                wanted=f"{there}, as {found.config_path} says",
                got=asked,
                next_step=f"leave containerd.{field} out of cluster.yaml; what the site owns is not moved",
            )
    return replace(config, containerd_root=found.root, containerd_snapshotter=found.snapshotter)

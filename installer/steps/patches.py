"""kubeadm's folder of patches: exactly the files this install wants, as kubeadm applies whatever lies in it."""

from __future__ import annotations

from collections.abc import Mapping

from installer.node import Node, NodeView
from installer.render.kubeadm import PATCHES_DIR
from installer.steps.textfile import is_written


def pending(view: NodeView, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """What is to change until the folder holds the ``wanted`` texts by path, and nothing else."""
    writes = tuple(f"write {path}" for path, text in wanted.items() if not is_written(view, path, text))
    return (*writes, *(f"remove {path}" for path in _stale(view, wanted)))


def bring(node: Node, wanted: Mapping[str, str]) -> None:
    """Makes the folder hold the ``wanted`` texts by path, and nothing else."""
    for path in _stale(node, wanted):
        node.remove(path)
    for path, text in wanted.items():
        node.write_file(path, text.encode())


def _stale(view: NodeView, wanted: Mapping[str, str]) -> tuple[str, ...]:
    there = (f"{PATCHES_DIR}/{name}" for name in view.list_dir(PATCHES_DIR))
    return tuple(path for path in there if path not in wanted)

"""Volumes that are folders of a node: the provisioner, and the busybox that makes and removes the folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.lab import debian
from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles.compiled import LOCAL_PATH

PROGRAM = "local-path-provisioner"
IMAGE = f"docker.io/rancher/local-path-provisioner:v{LOCAL_PATH}"
HELPER_IMAGE = "docker.io/library/busybox:1.37.0"
PACKAGES = ("busybox-static",)
_APPLETS = ("sh", "mkdir", "rm", "sleep", "cat")


def images(programs: Mapping[str, Path]) -> list[tuple[str, str, ImageParts]]:
    """Each image with its reference and the program it is for."""
    program = image({"amd64": [layer({f"usr/bin/{PROGRAM}": programs[PROGRAM]})]}, ImageConfig())
    busybox = debian.unpacked(PACKAGES) / "bin" / "busybox"
    shell = layer({"bin/busybox": busybox, **{f"bin/{name}": "busybox" for name in _APPLETS}})
    return [(IMAGE, PROGRAM, program), (HELPER_IMAGE, "busybox", image({"amd64": [shell]}, ImageConfig()))]

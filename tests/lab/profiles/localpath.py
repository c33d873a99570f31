"""Volumes that are folders of a node: the provisioner, and the busybox that makes and removes the folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles import pieces
from tests.lab.profiles.compiled import LOCAL_PATH

PROGRAM = "local-path-provisioner"
IMAGE = f"docker.io/rancher/local-path-provisioner:v{LOCAL_PATH}"
HELPER_IMAGE = "docker.io/library/busybox:1.37.0"


def images(programs: Mapping[str, Path]) -> list[tuple[str, str, ImageParts]]:
    """Each image with its reference and the program it is for."""
    program = image({"amd64": [layer({f"usr/bin/{PROGRAM}": programs[PROGRAM]})]}, ImageConfig())
    shell = image({"amd64": [pieces.shell("cat", "mkdir", "rm", "sh", "sleep")]}, ImageConfig())
    return [(IMAGE, PROGRAM, program), (HELPER_IMAGE, "busybox", shell)]

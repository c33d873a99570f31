"""The unpacked bundle in the hands of a stock ``ctr``: tar the folder up, import it, and every image is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bundler.assemble import assemble
from bundler.measure import UnpackedSizes
from installer.steps.imagestore import ImageStore
from tests.fakes.images import AMD64, ARM64, small_parts
from tests.integration.containerd_lab import ContainerdLab, LabNode


def test_ctr_imports_the_unpacked_folder(lab: ContainerdLab, node: LabNode, tmp_path: Path) -> None:
    parts = small_parts(platforms=(AMD64, ARM64))
    sizes = UnpackedSizes(tmp_path / "sizes")
    media = assemble(parts.lock((AMD64, ARM64)), parts.store, b"#!/bin/sh\n", tmp_path / "dist", sizes=sizes, jobs=2)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", media.tarball, "-C", folder], check=True)
    with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
        argv = [*lab.ctr, "images", "import", "-"]
        done = subprocess.run(argv, stdin=tar.stdout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stored = ImageStore(lab.socket).demand(node)
    wanted = {name: image.blob for image in parts.images for name in image.names()}
    # The CRI plugin adds names of its own, which are the digests of the configurations.
    assert {name: image.digest for name, image in stored.items() if not name.startswith("sha256:")} == wanted
    assert all(image.whole for image in stored.values())

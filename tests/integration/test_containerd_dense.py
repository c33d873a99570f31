"""A dense bundle in a real containerd of each generation: the same images under the same names, pinned and whole."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundler.assemble import assemble
from bundler.measure import UnpackedSizes
from installer.bundle.reader import Bundle, open_media_set
from installer.steps.images import ImportImages
from installer.steps.imagestore import ImageStore
from tests.fakes.images import AMD64, PAUSE, small_parts
from tests.integration.containerd_generations import Generation, every_generation
from tests.integration.containerd_lab import ContainerdLab, LabNode, carry_out
from tests.lab.profiles.mini import STAND_INS
from tests.lab.toolchain import built


@contextmanager
def bundle_of(folder: Path, layers: str) -> Iterator[Bundle]:
    """An open media set with layers of 3 MB, held as ``layers`` says."""
    parts = small_parts(large_bytes=3_000_000)
    lock = replace(parts.lock(), layers=layers)
    media = assemble(lock, parts.store, b"#!/bin/sh\n", folder, sizes=UnpackedSizes(folder / "sizes"), jobs=2)
    with open_media_set(media.folder) as bundle:
        yield bundle


def step(lab: ContainerdLab, bundle: Bundle) -> ImportImages:
    return ImportImages(bundle, bundle.index.images_for("cp"), AMD64, ImageStore(lab.socket))


def asked(*argv: str | Path) -> Any:
    """What a program answers as JSON."""
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)


@every_generation
def test_the_images_are_upstream_s_by_their_ids_and_under_digest_names(
    lab: ContainerdLab, node: LabNode, containerd: Generation, tmp_path: Path
) -> None:
    crictl = (built(STAND_INS) / "crictl", "--runtime-endpoint", f"unix://{lab.socket}")
    with bundle_of(tmp_path / "dense", "dense") as bundle:
        done, again = (carry_out(node, step(lab, bundle))[0] for _ in range(2))
        assert (done.outcome, again.outcome) == ("changed", "as wanted")
        stored = ImageStore(lab.socket).demand(node)
        for image in bundle.index.images:
            its = image.platforms[AMD64]
            for name in image.names():
                found = stored[name]
                assert (found.digest, found.pinned, found.whole) == (its.packed_manifest, True, True)
                manifest = asked(*lab.ctr, "content", "get", found.digest)
                assert manifest["config"]["digest"] == its.config
                # The kubelet asks by these names, and pulls only what is not found; the id is the config's digest.
                assert asked(*crictl, "inspecti", "-o", "json", name)["status"]["id"] == its.config


@every_generation
def test_what_is_unpacked_is_byte_for_byte_the_same(
    lab: ContainerdLab, node: LabNode, containerd: Generation, tmp_path: Path
) -> None:
    seen = []
    for layers in ("dense", "registry"):
        with bundle_of(tmp_path / layers, layers) as bundle:
            carry_out(node, step(lab, bundle))
            images = [image for image in bundle.index.images if "cp" in image.roles]
            seen.append([mounted(lab, image.names()[0], tmp_path / "mount") for image in images])
            for name in ImageStore(lab.socket).demand(node):
                subprocess.run([*lab.ctr, "images", "rm", "--sync", name], check=True, capture_output=True)
    assert seen[0] == seen[1]
    assert {"pause", "etcd", "demo", "modern"} == {name for files in seen[0] for name in files} - {"etc/os-release"}


def mounted(lab: ContainerdLab, name: str, folder: Path) -> dict[str, bytes]:
    """The files of an image, by path."""
    folder.mkdir(exist_ok=True)
    subprocess.run([*lab.ctr, "images", "mount", name, str(folder)], check=True, capture_output=True)
    try:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    finally:
        subprocess.run([*lab.ctr, "images", "unmount", "--rm", str(folder)], check=True, capture_output=True)


def test_images_that_came_with_the_registry_s_own_layers_are_not_imported_again(
    lab: ContainerdLab, node: LabNode, tmp_path: Path
) -> None:
    with bundle_of(tmp_path / "registry", "registry") as bundle:
        carry_out(node, step(lab, bundle))
    with bundle_of(tmp_path / "dense", "dense") as bundle:
        assert carry_out(node, step(lab, bundle))[0].outcome == "as wanted"
        subprocess.run([*lab.ctr, "images", "rm", PAUSE], check=True, capture_output=True)
        assert carry_out(node, step(lab, bundle))[0].detail.startswith("1 image,")

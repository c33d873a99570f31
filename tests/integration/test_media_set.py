"""A media set in the hands of ordinary tools: sha256sum, zstd, GNU tar and skopeo; and of little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.assemble import MediaSet, assemble
from bundler.measure import UnpackedSizes
from installer.bundle.placement import Placement
from installer.bundle.reader import open_media_set
from tests.fakes.images import AMD64, ARM64, PAUSE, Parts, noise, small_parts, tar_of

LARGE_BYTES = 200_000_000


@pytest.fixture(scope="module")
def parts() -> Parts:
    made = small_parts(large_bytes=6_000_000, platforms=(AMD64, ARM64))
    made.image("quay.io/site/lone:1", {AMD64: [tar_of({"lone": noise(100, 1)})]}, single=True)
    return made


@pytest.fixture(scope="module")
def media(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> MediaSet:
    root = tmp_path_factory.mktemp("media")
    sizes = UnpackedSizes(root / "sizes")
    return assemble(parts.lock((AMD64, ARM64)), parts.store, b"#!/bin/sh\n", root / "dist", sizes=sizes, jobs=2)


@pytest.fixture(scope="module")
def unpacked(media: MediaSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    run("tar", "--zstd", "-xf", str(media.tarball), "-C", str(folder))
    return folder


def run(*command: str, cwd: Path | None = None, stdin: bytes | None = None) -> str:
    result = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False, timeout=120)
    assert result.returncode == 0, (command, result.stderr.decode())
    return result.stdout.decode()


def test_stock_tools_check_it_before_any_of_our_code_runs(media: MediaSet) -> None:
    assert run("sha256sum", "-c", "SHA256SUMS", cwd=media.folder).splitlines() == [
        "bundle.json: OK",
        "install: OK",
        f"{media.tarball.name}: OK",
        "sbom.cdx.json: OK",
        "sbom.spdx.json: OK",
    ]
    run("zstd", "-t", "-q", str(media.tarball))


def test_gnu_tar_lists_it_in_order(media: MediaSet, parts: Parts) -> None:
    lines = run("tar", "--zstd", "--full-time", "--numeric-owner", "-tvf", str(media.tarball)).splitlines()
    with open_media_set(media.folder) as bundle:
        assert [line.split()[-1] for line in lines] == [member.name for member in bundle.layout.members]
    assert {tuple(line.split()[:2]) for line in lines} == {("-rw-r--r--", "0/0")}


def test_skopeo_reads_the_folder_as_an_oci_layout(unpacked: Path, parts: Parts, tmp_path: Path) -> None:
    for image in parts.images:
        for name in image.names() if "demo" not in image.reference.repository else ():
            raw = run("skopeo", "inspect", "--raw", f"oci:{unpacked}:{name}").encode()
            assert raw.strip() == parts.store.blobs[image.blob].strip(), name
    target = tmp_path / "copy"
    for platform in ("amd64", "arm64"):
        arguments = ["--override-os", "linux", "--override-arch", platform, "copy", "-q"]
        run("skopeo", *arguments, f"oci:{unpacked}:registry.k8s.io/etcd:3.5.15-0", f"dir:{target}-{platform}")
        manifest = json.loads((tmp_path / f"copy-{platform}/manifest.json").read_bytes())
        etcd = parts.images[1].platforms[AMD64 if platform == "amd64" else ARM64]
        assert [layer["digest"] for layer in manifest["layers"]] == list(etcd.layers)


def test_skopeo_reads_images_in_docker_types_too(unpacked: Path, parts: Parts, tmp_path: Path) -> None:
    """By name, skopeo only looks at entries of OCI types; alone in ``index.json`` the image is read as it is."""
    demo = next(image for image in parts.images if image.reference.repository == "library/demo")
    document = json.loads((unpacked / "index.json").read_bytes())
    document["manifests"] = [entry for entry in document["manifests"] if entry["digest"] == demo.blob][:1]
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "blobs").symlink_to(unpacked / "blobs")
    (folder / "oci-layout").symlink_to(unpacked / "oci-layout")
    (folder / "index.json").write_text(json.dumps(document))
    run("skopeo", "--override-arch", "arm64", "copy", "-q", f"oci:{folder}", f"dir:{tmp_path / 'copy'}")
    manifest = json.loads((tmp_path / "copy/manifest.json").read_bytes())
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert [layer["digest"] for layer in manifest["layers"]] == list(demo.platforms[ARM64].layers)


def test_what_the_node_imports_is_an_oci_layout_too(media: MediaSet, tmp_path: Path) -> None:
    folder = tmp_path / "oci"
    folder.mkdir()
    with open_media_set(media.folder) as bundle:
        stream = b"".join(bundle.oci_tar(bundle.index.images_for("worker"), (AMD64,)))
    run("tar", "-xf", "-", "-C", str(folder), stdin=stream)
    source = f"oci:{folder}:{PAUSE}"
    run("skopeo", "--override-arch", "amd64", "copy", "-q", source, f"dir:{tmp_path / 'pause'}")
    assert "etcd" not in (folder / "index.json").read_text()


PROBE = """
import resource, sys
from pathlib import Path
from installer.bundle.reader import open_media_set
from installer.bundle.verify import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_media_set(Path(sys.argv[1])) as bundle:
    if sys.argv[2] == "verify":
        size_bytes = verify(bundle, jobs=4).read_bytes
    else:
        size_bytes = sum(len(chunk) for chunk in bundle.chunks(bundle.index.files[0].blob))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, size_bytes)
"""


@pytest.mark.parametrize("work", ["verify", "chunks"])
def test_reading_takes_little_memory(work: str, tmp_path: Path) -> None:
    """A member of 200 MB is verified and streamed within 100 MB: a few frames, never the member."""
    parts = Parts()
    parts.file("large", noise(1_000_000, 5) * (LARGE_BYTES // 1_000_000), Placement(0o755, "/usr/local/bin/large"))
    parts.image(PAUSE, {AMD64: [tar_of({"pause": b"x"})]})
    sizes = UnpackedSizes(tmp_path / "sizes")
    media = assemble(parts.lock(), parts.store, b"", tmp_path / "dist", sizes=sizes, jobs=2)
    told = run(sys.executable, "-c", PROBE, str(media.folder), work, cwd=Path(__file__).parents[2]).split()
    assert int(told[0]) < 100_000, f"{told[0]} KiB"
    assert int(told[1]) >= (LARGE_BYTES if work == "chunks" else 1_000_000)


def test_two_builds_at_once_end_with_one_whole_media_set(parts: Parts, tmp_path: Path) -> None:
    """A second process builds the same release into the same folder meanwhile; each result is whole."""
    code = (
        "import sys; from pathlib import Path; from tests.fakes.images import small_parts; "
        "from bundler.assemble import assemble; from bundler.measure import UnpackedSizes; "
        "parts = small_parts(large_bytes=3_000_000); sizes = UnpackedSizes(Path(sys.argv[1] + '-sizes')); "
        "assemble(parts.lock(), parts.store, b'x', Path(sys.argv[1]), sizes=sizes, jobs=2)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "dist")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    builds = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) for _ in range(3)
    ]
    for build in builds:
        output, _ = build.communicate(timeout=120)
        assert build.returncode == 0, output.decode()
    names = sorted(path.name for path in (tmp_path / "dist").iterdir())
    assert names == ["k8s-v1.30.14-linux-amd64", "k8s-v1.30.14-linux-amd64.lock.json"]
    run("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=tmp_path / "dist" / names[0])

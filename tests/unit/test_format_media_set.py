"""A media set, written and read back: every kind of damage has its own answer, and names what it hit."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundler.assemble import MediaSet, assemble
from bundler.errors import OperatorError
from bundler.measure import UnpackedSizes
from installer.bundle import seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, InputError, IntegrityError
from installer.bundle.layout import Layout, padding, tar_header
from installer.bundle.pack import write_tarball
from installer.bundle.reader import open_media_set
from installer.bundle.sums import parse_sums, read_sums, sums_text
from installer.bundle.verify import Verified, verify
from tests.fakes.images import AMD64, ARM64, Parts, small_parts

INSTALL = b"#!/bin/sh\nexit 0\n"


def build(parts: Parts, root: Path, *, jobs: int = 2, install: bytes = INSTALL) -> MediaSet:
    sizes = UnpackedSizes(root / "sizes")
    return assemble(parts.lock((AMD64, ARM64)), parts.store, install, root / "dist", sizes=sizes, jobs=jobs)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return small_parts(platforms=(AMD64, ARM64))


@pytest.fixture
def media(parts: Parts, tmp_path: Path) -> MediaSet:
    return build(parts, tmp_path)


def check(path: Path) -> Verified:
    with open_media_set(path) as bundle:
        return verify(bundle)


def test_a_whole_media_set_is_proven(media: MediaSet, parts: Parts) -> None:
    seen: list[int] = []
    with open_media_set(media.folder) as bundle:
        result = verify(bundle, progress=seen.append)
        assert bundle.identity == media.identity == Digest.of(bundle.index.to_bytes())
    assert result.summed == ("bundle.json", "install", media.tarball.name, "sbom.cdx.json", "sbom.spdx.json")
    assert result.unexpected == ()
    assert result.members == 3 + len(parts.descriptors)
    files = [entry for entry in media.folder.iterdir() if entry.name != "SHA256SUMS"]
    assert sum(seen) == result.read_bytes == sum(entry.stat().st_size for entry in files)
    names = sorted(entry.name for entry in media.folder.iterdir())
    assert names == ["SHA256SUMS", "bundle.json", "install", media.tarball.name, "sbom.cdx.json", "sbom.spdx.json"]
    assert [entry.name for entry in media.folder.parent.iterdir() if entry.name.startswith(".")] == []


def test_the_tarball_alone_can_be_verified(media: MediaSet) -> None:
    assert check(media.tarball).summed == ()


def test_the_same_bytes_at_any_number_of_jobs(tmp_path: Path) -> None:
    parts = small_parts(large_bytes=9_000_000)
    one, eight = (build(parts, tmp_path / str(jobs), jobs=jobs) for jobs in (1, 8))
    for name in ("SHA256SUMS", one.tarball.name):
        assert (one.folder / name).read_bytes() == (eight.folder / name).read_bytes()
    assert one.lock.read_bytes() == eight.lock.read_bytes()
    assert check(eight.folder).identity == one.identity


def test_any_zstd_and_tar_read_it(media: MediaSet, parts: Parts) -> None:
    with media.tarball.open("rb") as stream:
        plain = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert {name.split("/")[-1] for name in contents} >= {digest.hex for digest in parts.store.blobs}
    assert all(Digest.of(data).hex == name[-64:] for name, data in contents.items() if name.startswith("blobs/"))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=150, deadline=None
)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(media: MediaSet, data: st.DataObject) -> None:
    raw = media.tarball.read_bytes()
    position = data.draw(st.integers(0, len(raw) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(raw)
    damaged[position] ^= 1 << bit
    media.tarball.write_bytes(damaged)
    try:
        with pytest.raises(IntegrityError) as caught:
            check(media.folder)
        assert caught.value.where and media.tarball.name in caught.value.where
        assert caught.value.next_step
    finally:
        media.tarball.write_bytes(raw)


def test_a_damaged_layer_is_named_with_its_image(media: MediaSet, parts: Parts) -> None:
    layer = parts.images[1].platforms[AMD64].layers[1]
    with open_media_set(media.folder) as bundle:
        member = bundle.member(layer)
        frame = next(frame for frame in bundle.frames if frame.start_bytes == member.offset_bytes)
    raw = bytearray(media.tarball.read_bytes())
    raw[frame.offset_bytes + frame.compressed_bytes // 2] ^= 1
    media.tarball.write_bytes(raw)
    with pytest.raises(IntegrityError) as caught:
        check(media.folder)
    where = caught.value.where or ""
    assert f"inside image registry.k8s.io/etcd:3.5.15-0, layer {layer}" in where
    assert f"bytes {frame.offset_bytes} to " in where
    assert caught.value.wanted == layer
    with open_media_set(media.folder) as bundle, pytest.raises(IntegrityError):
        list(bundle.chunks(layer))
    with open_media_set(media.folder) as bundle, pytest.raises(IntegrityError):
        list(bundle.oci_tar(bundle.index.images, (AMD64,)))


def test_other_content_in_a_good_frame_is_named_with_both_digests(parts: Parts, tmp_path: Path) -> None:
    """Somebody rebuilt the tarball around other bytes of the same size: only the digests can tell."""
    media = build(parts, tmp_path)
    victim = parts.files[0].blob
    store = Parts().store
    store.blobs = dict(parts.store.blobs)
    evil = b"X" + parts.store.blobs[victim][1:]
    store.blobs[victim] = evil

    class Trusting:
        def open(self, digest: Digest, /) -> io.BytesIO:
            return io.BytesIO(store.blobs[digest])

    with open_media_set(media.folder) as bundle:
        index = bundle.index
    with media.tarball.open("wb") as stream:
        packed = write_tarball(index, Trusting(), stream, jobs=1)
    sums = read_sums(media.folder) | {media.tarball.name: packed.digest}
    (media.folder / "SHA256SUMS").write_text(sums_text(sums))
    with pytest.raises(IntegrityError) as caught:
        check(media.folder)
    assert (caught.value.wanted, caught.value.got) == (victim, Digest.of(evil))
    assert "file kubeadm 1.0.0 for linux/amd64" in (caught.value.where or "")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60, deadline=None
)
@given(data=st.data())
def test_a_truncated_tarball_is_cut_short(media: MediaSet, data: st.DataObject) -> None:
    raw = media.tarball.read_bytes()
    length = data.draw(st.integers(4, len(raw) - 1))
    media.tarball.write_bytes(raw[:length])
    try:
        with pytest.raises(IntegrityError, match=r"cut short|seek table at the end"):
            check(media.folder)
        if length < len(raw) - 4096:
            with pytest.raises(IntegrityError, match="cut short"):
                check(media.folder)
    finally:
        media.tarball.write_bytes(raw)


def test_added_bytes_are_named(media: MediaSet) -> None:
    size_bytes = media.tarball.stat().st_size
    with media.tarball.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(IntegrityError, match="added to the end") as caught:
        check(media.folder)
    assert caught.value.wanted == f"{size_bytes} bytes"


def test_foreign_files_are_not_bundles(tmp_path: Path) -> None:
    for name, content in (("b.tar.zst", b"PK\x03\x04" * 100), ("c", zstandard.compress(b"x"))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError if name != "c" else IntegrityError):
            check(tmp_path / name)


def test_a_foreign_tar_in_seekable_zstd_is_not_a_bundle(media: MediaSet, tmp_path: Path) -> None:
    content = b"x" * 2048
    frame = zstandard.compress(content)
    path = tmp_path / "foreign.tar.zst"
    path.write_bytes(frame + seekable.table_bytes([(len(frame), len(content))]))
    with pytest.raises(FormatError, match="not a bundle"):
        check(path)


def test_missing_and_unexpected_files_are_different_answers(media: MediaSet) -> None:
    (media.folder / "join.yaml").write_text("x: 1\n")
    assert check(media.folder).unexpected == ("join.yaml",)
    (media.folder / "install").unlink()
    with pytest.raises(IntegrityError, match="not complete") as caught:
        check(media.folder)
    assert caught.value.got == "all but install; not among them: join.yaml"


def test_a_damaged_install_is_named(media: MediaSet) -> None:
    (media.folder / "install").write_bytes(INSTALL + b"x")
    with pytest.raises(IntegrityError, match="install is damaged") as caught:
        check(media.folder)
    assert caught.value.wanted == Digest.of(INSTALL)
    assert caught.value.got == Digest.of(INSTALL + b"x")


@pytest.mark.parametrize("text", ["", "no sums\n", f"{'0' * 64}  ../etc/passwd\n", f"{'0' * 64}  a\n{'1' * 64}  a\n"])
def test_sums_that_are_not_sums_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_sums(text, "SHA256SUMS")


def test_a_missing_sums_file_or_tarball(media: MediaSet) -> None:
    (media.folder / "SHA256SUMS").unlink()
    with pytest.raises(IntegrityError, match="not complete") as caught:
        check(media.folder)
    assert caught.value.got == "all but SHA256SUMS"
    media.tarball.unlink()
    with pytest.raises(InputError, match="not a media set"):
        check(media.folder)


def test_wrong_platform_and_newer_builder_are_not_damage(parts: Parts, tmp_path: Path) -> None:
    sizes = UnpackedSizes(tmp_path / "sizes")
    media = assemble(small_parts().lock(), small_parts().store, INSTALL, tmp_path / "one", sizes=sizes, jobs=1)
    with open_media_set(media.folder) as bundle:
        bundle.demand_platform(AMD64)
        with pytest.raises(InputError, match="another platform"):
            bundle.demand_platform(ARM64)
        bundle.demand_installer("0.10.0")
        with pytest.raises(InputError, match="newer builder"):
            bundle.demand_installer("0.0.9")


def test_a_role_gets_only_its_images(media: MediaSet, parts: Parts) -> None:
    with open_media_set(media.folder) as bundle:
        stream = b"".join(bundle.oci_tar(bundle.index.images_for("worker"), (AMD64,)))
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    named = {e["annotations"]["io.containerd.image.name"] for e in json.loads(contents["index.json"])["manifests"]}
    assert named == {name for image in parts.images if "worker" in image.roles for name in image.names()}
    wanted = {f"blobs/sha256/{d.hex}" for i in parts.images if "worker" in i.roles for d in i.blobs((AMD64,))}
    assert set(contents) == wanted | {"oci-layout", "index.json"}
    assert json.loads(contents["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert all(Digest.of(contents[name]).hex == name[-64:] for name in wanted)


def test_a_finished_media_set_is_proven_and_kept(parts: Parts, media: MediaSet, tmp_path: Path) -> None:
    before = media.tarball.stat().st_ino
    again = build(parts, tmp_path)
    assert again.kept and not media.kept
    assert again.tarball.stat().st_ino == before
    assert again.size_bytes == media.size_bytes
    raw = bytearray(media.tarball.read_bytes())
    raw[len(raw) // 2] ^= 1
    media.tarball.write_bytes(raw)
    mended = build(parts, tmp_path)
    assert not mended.kept
    assert check(mended.folder).identity == media.identity


def test_a_failed_build_leaves_what_was_there(parts: Parts, media: MediaSet, tmp_path: Path) -> None:
    broken = small_parts(platforms=(AMD64, ARM64))
    broken.store.blobs[broken.files[0].blob] = b"not these bytes"
    sizes = UnpackedSizes(tmp_path / "sizes")
    lock = broken.lock((AMD64, ARM64))
    with pytest.raises(OperatorError):
        assemble(lock, broken.store, INSTALL + b"2", tmp_path / "dist", sizes=sizes, jobs=2)
    assert check(media.folder).identity == media.identity
    with pytest.raises(OperatorError):
        assemble(lock, broken.store, INSTALL, tmp_path / "fresh", sizes=sizes, jobs=2)
    assert [path.name for path in (tmp_path / "fresh").iterdir() if not path.name.endswith(".lock.json")] == []


def test_remnants_of_killed_builds_go(parts: Parts, tmp_path: Path) -> None:
    remnant = tmp_path / "dist" / f".{parts.lock((AMD64, ARM64)).name}.partial-killed"
    remnant.mkdir(parents=True)
    (remnant / "half").write_bytes(b"x")
    build(parts, tmp_path)
    assert not remnant.exists()


@pytest.mark.parametrize("size_bytes", [2**62, 2**40])
def test_an_index_that_lies_about_sizes_is_refused_at_once(parts: Parts, tmp_path: Path, size_bytes: int) -> None:
    """Billions of frames would follow from it; the check is arithmetic and takes neither memory nor time."""
    media = build(parts, tmp_path)
    with open_media_set(media.folder) as bundle:
        blobs = bundle.index.blobs
        lying = replace(bundle.index, blobs=(replace(blobs[0], size_bytes=size_bytes), *blobs[1:]))
    raw = lying.to_bytes()
    member = Layout.of(lying).members[0]
    content = member.header + raw + member.padding
    frame = zstandard.compress(content)
    media.tarball.write_bytes(frame + seekable.table_bytes([(len(frame), len(content))]))
    with pytest.raises(FormatError, match="members that bundle"):
        check(media.tarball)
    media.tarball.write_bytes(frame)
    with pytest.raises(IntegrityError, match="cut short"):
        check(media.tarball)


def test_a_newer_schema_is_named_as_such(media: MediaSet) -> None:
    with open_media_set(media.folder) as bundle:
        raw = bundle.index.to_bytes().replace(b'"schema": 1', b'"schema": 2')
    content = tar_header("bundle.json", len(raw), 0) + raw + padding(len(raw))
    frame = zstandard.compress(content)
    media.tarball.write_bytes(frame + seekable.table_bytes([(len(frame), len(content))]))
    with pytest.raises(FormatError, match="newer builder"):
        check(media.tarball)


def test_a_medium_that_cannot_be_read_is_named(media: MediaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """An I/O error in the middle of a stick says which bytes, and does not pass for a damaged copy."""
    real = os.pread

    def failing(descriptor: int, length: int, offset: int) -> bytes:
        if offset > 20_000:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, length, offset)

    with open_media_set(media.folder) as bundle:
        monkeypatch.setattr(os, "pread", failing)
        with pytest.raises(IntegrityError, match="medium cannot be read") as caught:
            verify(bundle)
    assert "bytes" in (caught.value.where or "")
    assert "Input/output error" in (caught.value.got or "")

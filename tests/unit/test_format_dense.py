"""Dense bundles: the chain from an image's name to its plain layers, long frames, and what a node is given of them."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundler.assemble import MediaSet, assemble, index_of
from bundler.errors import OperatorError
from bundler.measure import UnpackedSizes
from installer.bundle import dense, layout, seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, InputError, IntegrityError, MediumError
from installer.bundle.index import BundleIndex
from installer.bundle.reader import open_media_set
from installer.bundle.seekable import Frame, LongFrame
from installer.bundle.verify import verify
from tests.fakes.images import AMD64, ARM64, PAUSE, Parts, noise, small_parts, tar_gzip_of, tar_of

INSTALL = b"#!/bin/sh\nexit 0\n"
LONG_BYTES = 50_000


@pytest.fixture(autouse=True)
def small_and_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are long and many with little content."""
    monkeypatch.setattr(seekable, "MAXIMUM_SMALL_BYTES", 10_000)
    monkeypatch.setattr(layout, "FRAME_BYTES", 8192)
    monkeypatch.setattr("installer.bundle.pack.FRAME_BYTES", 8192)
    monkeypatch.setattr(layout, "LONG_FRAME_BYTES", 5 * 8192)


@pytest.fixture
def parts() -> Parts:
    return small_parts(large_bytes=LONG_BYTES, platforms=(AMD64, ARM64))


def build(parts: Parts, root: Path, *, jobs: int = 2) -> MediaSet:
    lock = replace(parts.lock((AMD64, ARM64)), layers="dense")
    return assemble(lock, parts.store, INSTALL, root / "dist", sizes=UnpackedSizes(root / "sizes"), jobs=jobs)


@pytest.fixture
def media(parts: Parts, tmp_path: Path) -> MediaSet:
    return build(parts, tmp_path)


def plain_layers(parts: Parts) -> dict[Digest, bytes]:
    """Every layer's tar, by the layer's digest in the registry."""
    layers = {digest for image in parts.images for its in image.platforms.values() for digest in its.layers}
    return {digest: unpacked(parts.store.blobs[digest]) for digest in layers}


def unpacked(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()


def test_it_is_proven_and_has_every_layer_s_tar_once(media: MediaSet, parts: Parts) -> None:
    with open_media_set(media.folder) as bundle:
        assert any(frame.is_long for frame in bundle.frames)
        seen: list[int] = []
        verify(bundle, progress=seen.append)
        assert sum(seen) == media.size_bytes - (media.folder / "SHA256SUMS").stat().st_size
        plain = plain_layers(parts)
        held = {blob.digest for blob in bundle.index.blobs}
        assert held == (set(parts.store.blobs) - set(plain)) | {Digest.of(tar) for tar in plain.values()}
        for digest, tar in plain.items():
            assert b"".join(bundle.chunks(bundle.index.dense_layers[digest].diff_id)) == tar


def test_it_is_smaller(media: MediaSet, parts: Parts, tmp_path: Path) -> None:
    lock = parts.lock((AMD64, ARM64))
    other = assemble(lock, parts.store, INSTALL, tmp_path / "r", sizes=UnpackedSizes(tmp_path / "sizes"), jobs=2)
    assert media.identity != other.identity
    with open_media_set(other.folder) as bundle:
        assert bundle.index.layers == ()
        assert "layers" not in json.loads(bundle.index.to_bytes())


def test_the_same_bytes_at_any_number_of_jobs_and_with_what_was_learnt_before(parts: Parts, tmp_path: Path) -> None:
    one, eight, again = build(parts, tmp_path / "1"), build(parts, tmp_path / "8", jobs=8), build(parts, tmp_path / "1")
    assert one.tarball.read_bytes() == eight.tarball.read_bytes()
    assert again.kept


def test_it_is_ordinary_tar_in_ordinary_zstd(media: MediaSet) -> None:
    with media.tarball.open("rb") as stream:
        plain = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert all(Digest.of(data).hex == name[-64:] for name, data in contents.items() if name.startswith("blobs/"))


def test_what_is_needed_together_is_compressed_together_and_most_comes_first(media: MediaSet) -> None:
    with open_media_set(media.folder) as bundle:
        words = list(dict.fromkeys(layout.groups(bundle.index).values()))
        sections = [section for section in bundle.layout.sections if section.is_long]
    both = "linux/amd64 cp, linux/amd64 worker, linux/arm64 cp, linux/arm64 worker"
    assert words[0] == both
    assert words[1:] == [
        "linux/amd64 cp, linux/amd64 worker",
        "linux/arm64 cp, linux/arm64 worker",
        "linux/amd64 cp",
        "linux/arm64 cp",
    ]
    assert len(sections) == len(words)


def imported(media: MediaSet, role: str) -> dict[str, bytes]:
    """What a node of ``role`` is given, by path."""
    with open_media_set(media.folder) as bundle:
        stream = b"".join(bundle.oci_tar(bundle.index.images_for(role), (AMD64,)))
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_a_node_gets_the_same_configs_and_the_same_tars_under_the_same_names(media: MediaSet, parts: Parts) -> None:
    contents = imported(media, "worker")
    assert all(Digest.of(data).hex == name[-64:] for name, data in contents.items() if name.startswith("blobs/"))
    named = {
        item["annotations"]["io.containerd.image.name"]: contents[f"blobs/sha256/{item['digest'][7:]}"]
        for item in json.loads(contents["index.json"])["manifests"]
    }
    images = [image for image in parts.images if "worker" in image.roles]
    assert set(named) == {name for image in images for name in image.names()}
    used = {"oci-layout", "index.json"}
    for image in images:
        its = image.platforms[AMD64]
        for name in image.names():
            manifest = json.loads(named[name])
            assert manifest["config"]["digest"] == its.config
            tars = [unpacked(contents[f"blobs/sha256/{layer['digest'][7:]}"]) for layer in manifest["layers"]]
            assert tars == [plain_layers(parts)[digest] for digest in its.layers]
            used |= {f"blobs/sha256/{layer['digest'][7:]}" for layer in (manifest["config"], *manifest["layers"])}
            used.add(f"blobs/sha256/{Digest.of(named[name]).hex}")
            with open_media_set(media.folder) as bundle:
                known = next(found for found in bundle.index.images if found.reference == image.reference)
            assert {Digest.of(named[name]), image.blob} < known.stored_digests
    assert set(contents) == used


def test_only_the_frames_of_the_role_are_read(media: MediaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = seekable.read_at

    def noted(stream: io.BufferedReader, offset_bytes: int, length_bytes: int, where: str) -> bytes:
        read.append(offset_bytes)
        return real(stream, offset_bytes, length_bytes, where)

    with open_media_set(media.folder) as bundle:
        etcd = next(image for image in bundle.index.images if image.roles == ("cp",)).platforms[AMD64].layers[1]
        section = next(
            section
            for section in bundle.layout.sections
            if bundle.index.dense_layers[etcd].diff_id in {member.digest for member in section.members}
        )
        start = section.members[0].offset_bytes
        others = {
            frame.offset_bytes for frame in bundle.frames if start <= frame.start_bytes < start + section.stored_bytes
        }
        monkeypatch.setattr(seekable, "read_at", noted)
        list(bundle.oci_tar(bundle.index.images_for("worker"), (AMD64,)))
    assert others
    assert not others & set(read)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=100, deadline=None
)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found_and_placed(media: MediaSet, data: st.DataObject) -> None:
    raw = media.tarball.read_bytes()
    damaged = bytearray(raw)
    damaged[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    media.tarball.write_bytes(damaged)
    try:
        with pytest.raises(IntegrityError) as caught, open_media_set(media.folder) as bundle:
            verify(bundle)
        assert caught.value.where and media.tarball.name in caught.value.where
        assert caught.value.next_step
    finally:
        media.tarball.write_bytes(raw)


def test_a_damaged_layer_is_named_with_its_image_and_does_not_reach_a_node(media: MediaSet) -> None:
    with open_media_set(media.folder) as bundle:
        etcd = next(image for image in bundle.index.images if image.roles == ("cp",))
        diff_id = bundle.index.dense_layers[etcd.platforms[AMD64].layers[1]].diff_id
        member = bundle.member(diff_id)
        frame = next(frame for frame in bundle.frames if frame.end_bytes > member.offset_bytes + 30_000)
    raw = bytearray(media.tarball.read_bytes())
    raw[frame.offset_bytes + frame.compressed_bytes // 2] ^= 1
    media.tarball.write_bytes(raw)
    with open_media_set(media.folder) as bundle:
        with pytest.raises(IntegrityError) as caught:
            verify(bundle)
        assert f"inside image {etcd.reference}, layer {diff_id}" in (caught.value.where or "")
        assert f"bytes {frame.offset_bytes} to " in (caught.value.where or "")
        with pytest.raises(IntegrityError):
            list(bundle.chunks(diff_id))
        with pytest.raises(IntegrityError):
            list(bundle.oci_tar((etcd,), (AMD64,)))


def test_members_of_one_frame_are_had_in_any_order(media: MediaSet) -> None:
    with open_media_set(media.folder) as bundle:
        blobs = [layer.diff_id for layer in bundle.index.layers]
        for digest in (*blobs, *reversed(blobs)):
            assert Digest.of(b"".join(bundle.chunks(digest))) == digest
        first, second = bundle.chunks(blobs[0]), bundle.chunks(blobs[1])
        next(first)
        assert Digest.of(b"".join(second)) == blobs[1]


def test_a_reader_that_is_left_in_the_middle_does_no_harm(media: MediaSet) -> None:
    with open_media_set(media.folder) as bundle:
        largest = max((blob for blob in bundle.index.blobs), key=lambda blob: blob.size_bytes).digest
        for _ in range(3):
            started = bundle.chunks(largest)
            next(started)
            started.close()  # type: ignore[attr-defined]
        assert Digest.of(b"".join(bundle.chunks(largest))) == largest


def test_another_library_than_the_builder_s_is_refused(media: MediaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_media_set(media.folder) as bundle:
        bundle.demand_packing()
        monkeypatch.setattr("installer.bundle.reader.ZSTD", "1.4.0")
        with pytest.raises(InputError, match="packed to other bytes") as caught:
            bundle.demand_packing()
    assert (caught.value.wanted, caught.value.got) == (f"zstd {dense.ZSTD}, which the builder had", "zstd 1.4.0")


def test_bytes_that_are_packed_otherwise_reach_no_node(media: MediaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "PACK_LEVEL", 19)
    with open_media_set(media.folder) as bundle, pytest.raises(IntegrityError, match="other bytes than the builder"):
        list(bundle.oci_tar(bundle.index.images_for("worker"), (AMD64,)))


def test_a_config_that_names_other_layers_is_refused_by_the_builder(tmp_path: Path) -> None:
    parts = small_parts()
    digest = parts.images[1].platforms[AMD64].layers[1]
    parts.store.blobs[digest] = tar_gzip_of({"other": b"content"})
    with pytest.raises(OperatorError):
        build_amd64(parts, tmp_path)


def build_amd64(parts: Parts, root: Path) -> BundleIndex:
    lock = replace(parts.lock(), layers="dense")
    return index_of(lock, parts.store, UnpackedSizes(root), jobs=1)


def test_a_layer_that_is_no_tar_is_refused_and_named(tmp_path: Path) -> None:
    parts = small_parts()
    image = parts.images[0]
    layer = image.platforms[AMD64].layers[0]
    parts.descriptors[layer] = replace(parts.descriptors[layer], media_type="application/vnd.example.squashfs")
    with pytest.raises(FormatError) as caught:
        build_amd64(parts, tmp_path)
    assert (caught.value.where, caught.value.got) == (PAUSE, "application/vnd.example.squashfs")
    assert "--layers registry" in (caught.value.next_step or "")


@pytest.mark.parametrize("damage", ["", "{}", '{"size_bytes": 1}', "[]"])
def test_what_was_learnt_and_is_damaged_is_learnt_again(parts: Parts, tmp_path: Path, damage: str) -> None:
    first = build(parts, tmp_path)
    for path in (tmp_path / "sizes" / f"zstd-{dense.ZSTD}-{dense.PACK_LEVEL}").iterdir():
        path.write_text(damage)
    assert build(parts, tmp_path).identity == first.identity


CHANGES = {
    "layers: a digest is listed twice": lambda d: d["layers"].append(d["layers"][0]),
    "is an image's and not listed": lambda d: d["layers"].pop(),
    "is no image's": lambda d: d["layers"].append(d["layers"][0] | {"digest": "sha256:" + "0" * 64}),
    "zstd: wanted beside layers": lambda d: d.pop("zstd"),
    "wanted a packed_manifest": lambda d: d["images"][0]["platforms"]["linux/amd64"].pop("packed_manifest"),
    "packed_size_bytes": lambda d: d["layers"][0].update(packed_size_bytes="many"),
    "unknown": lambda d: d["layers"][0].update(window=1),
}


@pytest.mark.parametrize("problem", CHANGES)
def test_an_index_that_is_not_whole_is_refused(tmp_path: Path, problem: str) -> None:
    document = json.loads(build_amd64(small_parts(), tmp_path).to_bytes())
    assert BundleIndex.from_bytes(json.dumps(document).encode(), where="here").zstd == dense.ZSTD
    CHANGES[problem](document)
    with pytest.raises(FormatError) as caught:
        BundleIndex.from_bytes(json.dumps(document).encode(), where="here")
    assert problem in f"{caught.value.wanted} {caught.value.got}"


def long_frame(content: bytes, **parameters: int) -> bytes:
    chosen = zstandard.ZstdCompressionParameters(write_content_size=True, write_checksum=True, **parameters)
    return zstandard.ZstdCompressor(compression_params=chosen).compress(content)


def reader_of(data: bytes, length_bytes: int) -> LongFrame:
    frame = Frame(100, len(data), 1000, length_bytes)
    return LongFrame(frame, lambda offset, length: data[offset - 100 : offset - 100 + length])


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=5000), sizes=st.lists(st.integers(1, 700)))
def test_a_long_frame_gives_what_went_in_at_any_pieces(content: bytes, sizes: list[int]) -> None:
    reader = reader_of(long_frame(content * 3), 3 * len(content))
    got, left = b"", 3 * len(content)
    for wanted in [*sizes, left]:
        size = min(wanted, left)
        got += reader.read(size) if size else b""
        left -= size
        assert reader.position_bytes == 1000 + len(got)
    assert got == content * 3


def hostile() -> Iterator[tuple[str, bytes, int]]:
    """Frames that lie: what about, the bytes, and the length that the seek table would say."""
    good = long_frame(noise(3000, 1))
    yield "shorter than it says", good, 3001
    yield "longer than it says", good, 2999
    yield "cut short", good[:-3], 3000
    yield "followed by another", good + good, 3000
    yield "followed by bytes", good + b"x", 3000
    yield "not zstd", b"x" * 100, 3000
    yield "without its size", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(3000)), 3000
    yield "a changed checksum", good[:-1] + bytes([good[-1] ^ 1]), 3000


@pytest.mark.parametrize(
    ("data", "length_bytes"), [item[1:] for item in hostile()], ids=[item[0] for item in hostile()]
)
def test_a_long_frame_that_lies_is_refused(data: bytes, length_bytes: int) -> None:
    reader = reader_of(data, length_bytes)
    with pytest.raises(IntegrityError):
        while reader.position_bytes < reader.frame.end_bytes:
            reader.read(min(700, reader.frame.end_bytes - reader.position_bytes))


def test_a_window_over_what_is_allowed_is_refused_before_it_is_allocated() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = compressor.compress(tar_of({"one": bytes(5000)})) + compressor.flush()
    with pytest.raises(IntegrityError):
        reader_of(data, 10_240).read(1)


def test_frames_of_a_section_are_cut_at_the_long_size_only(media: MediaSet) -> None:
    with open_media_set(media.folder) as bundle:
        long_sections = [section for section in bundle.layout.sections if section.is_long]
        assert max(section.frames for section in long_sections) > 1
        assert sum(bundle.layout.frame_sizes()) == bundle.frames[-1].end_bytes
        assert bundle.layout.frames == len(bundle.frames)


@pytest.mark.parametrize("reads", ["everything", "one layer"])
def test_a_medium_that_fails_inside_a_long_frame_does_not_pass_for_a_damaged_one(
    media: MediaSet, monkeypatch: pytest.MonkeyPatch, reads: str
) -> None:
    with open_media_set(media.folder) as bundle:
        long = next(frame for frame in bundle.frames if frame.is_long)
        held = next(member for member in bundle.layout.members if long.overlaps(member.offset_bytes, 1))
        real = os.pread

        def failing(descriptor: int, length_bytes: int, offset_bytes: int) -> bytes:
            if long.offset_bytes <= offset_bytes < long.offset_bytes + long.compressed_bytes:
                raise OSError(errno.EIO, "Input/output error")
            return real(descriptor, length_bytes, offset_bytes)

        monkeypatch.setattr(os, "pread", failing)
        with pytest.raises(MediumError, match="the medium cannot be read"):
            if reads == "everything":
                verify(bundle)
            else:
                b"".join(bundle.chunks(held.digest))

"""How large archives are once unpacked: every shape of gzip and zstd, and what is neither."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
import zstandard

from bundler.errors import FormatError
from bundler.measure import UnpackedSizes
from installer.bundle.descriptor import Descriptor
from installer.bundle.mediatypes import OCI_LAYER, OCI_LAYER_ZSTD, OCTET_STREAM
from tests.fakes.images import FakeStore, noise

OCI_LAYER_GZIP = f"{OCI_LAYER}+gzip"
CONTENT = noise(300_000, 1) + bytes(3_000_000) + noise(100, 2)


def zstd_of(content: bytes) -> bytes:
    return zstandard.compress(content)


SHAPES = {
    "one gzip": (gzip.compress(CONTENT), OCI_LAYER_GZIP),
    "several gzips in one, as estargz has them": (
        gzip.compress(CONTENT[:7]) + gzip.compress(CONTENT[7:]),
        OCI_LAYER_GZIP,
    ),
    "gzip with a name and a comment": (
        b"\x1f\x8b\x08\x18" + bytes(6) + b"layer.tar\x00made here\x00" + gzip.compress(CONTENT)[10:],
        OCI_LAYER_GZIP,
    ),
    "gzip with zeros after it": (gzip.compress(CONTENT) + bytes(512), OCI_LAYER_GZIP),
    "one zstd": (zstd_of(CONTENT), OCI_LAYER_ZSTD),
    "several zstds in one": (zstd_of(CONTENT[:7]) + zstd_of(CONTENT[7:]), OCI_LAYER_ZSTD),
    "zstd with a frame to skip, as zstd:chunked has it": (
        zstd_of(CONTENT) + b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip",
        OCI_LAYER_ZSTD,
    ),
}


def measure(data: bytes, media_type: str, folder: Path) -> Descriptor:
    store = FakeStore()
    return UnpackedSizes(folder).measure(Descriptor(store.add(data), len(data), media_type), store)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_size_is_that_of_all_that_comes_out(shape: str, tmp_path: Path) -> None:
    assert measure(*SHAPES[shape], tmp_path).unpacked_size_bytes == len(CONTENT)


@pytest.mark.parametrize("media_type", [OCTET_STREAM, OCI_LAYER])
def test_what_is_not_compressed_is_not_read(media_type: str, tmp_path: Path) -> None:
    blob = Descriptor(FakeStore().add(b"elsewhere"), 9, media_type)
    assert UnpackedSizes(tmp_path).measure(blob, FakeStore()) == blob


def test_an_answer_is_kept_and_a_damaged_one_is_found_anew(tmp_path: Path) -> None:
    store = FakeStore()
    data = gzip.compress(b"content")
    blob = Descriptor(store.add(data), len(data), OCI_LAYER_GZIP)
    first = UnpackedSizes(tmp_path).measure(blob, store)
    assert UnpackedSizes(tmp_path).measure(blob, FakeStore()) == first
    (tmp_path / blob.digest.hex).write_text("many")
    assert UnpackedSizes(tmp_path).measure(blob, store) == first


def flipped(data: bytes) -> bytes:
    """The same with a byte in the middle of the compressed stream changed."""
    middle = random.Random(3).randrange(len(data) // 3, len(data) // 2)  # noqa: S311 - any place will do
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


DAMAGE = ("not an archive", "changed", "a wrong length at the end")
# A zstd stream that ends early is not told from a whole one here; its digest is, wherever it is read.
DAMAGED = [
    *((damage, OCI_LAYER_ZSTD) for damage in DAMAGE),
    *((damage, OCI_LAYER_GZIP) for damage in (*DAMAGE, "cut short")),
]


@pytest.mark.parametrize(("damage", "media_type"), DAMAGED)
def test_bytes_that_are_no_such_archive_are_refused_and_nothing_is_kept(
    damage: str, media_type: str, tmp_path: Path
) -> None:
    text = b"".join(b"line %d\n" % number for number in range(20_000))
    whole = (
        gzip.compress(text)
        if media_type == OCI_LAYER_GZIP
        else zstandard.ZstdCompressor(write_checksum=True).compress(text)
    )
    data = {
        "not an archive": b"<!doctype html><p>not found" * 20,
        "cut short": whole[: len(whole) // 2],
        "changed": flipped(whole),
        "a wrong length at the end": whole[:-1] + bytes([whole[-1] ^ 1]),
    }[damage]
    with pytest.raises(FormatError, match="not the compressed archive"):
        measure(data, media_type, tmp_path)
    assert list(tmp_path.iterdir()) == []

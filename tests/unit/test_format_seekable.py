"""The seek table: read back as written, and refused whenever file and table do not agree to the byte."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from installer.bundle import seekable
from installer.bundle.errors import FormatError, IntegrityError

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


def _write(tmp_path: Path, contents: list[bytes], table: bytes | None = None) -> Path:
    frames = [zstandard.compress(content) for content in contents]
    sizes = [(len(frame), len(content)) for frame, content in zip(frames, contents, strict=True)]
    path = tmp_path / "frames.zst"
    path.write_bytes(b"".join(frames) + (seekable.table_bytes(sizes) if table is None else table))
    return path


def _parse(path: Path) -> tuple[seekable.Frame, ...]:
    with path.open("rb") as stream:
        return seekable.parse_table(stream, path.stat().st_size, path.name)


@SAME_FOLDER
@given(contents=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20), data=st.data())
def test_any_range_is_found(tmp_path: Path, contents: list[bytes], data: st.DataObject) -> None:
    path = _write(tmp_path, contents)
    frames = _parse(path)
    whole = b"".join(contents)
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - start))
    raw = path.read_bytes()
    got = b"".join(
        seekable.cut(
            seekable.decompress(raw[f.offset_bytes : f.offset_bytes + f.compressed_bytes], f.length_bytes),
            f,
            start,
            length,
        )
        for f in seekable.frames_of(frames, start, length)
    )
    assert got == whole[start : start + length]


@SAME_FOLDER
@given(bit=st.integers(0, 8 * (8 + 3 * 8 + 9) - 1))
def test_a_flipped_bit_in_the_table_never_goes_unseen(tmp_path: Path, bit: int) -> None:
    """Whatever the flip, the table is refused, or it says other sizes than before: then the layout refuses it."""
    path = _write(tmp_path, [b"one", b"two" * 5, b"three"])
    before = _parse(path)
    raw = bytearray(path.read_bytes())
    table = len(raw) - seekable.table_size_bytes(3)
    raw[table + bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)
    try:
        after = _parse(path)
    except FormatError:
        return
    assert [f.length_bytes for f in after] != [f.length_bytes for f in before]


@SAME_FOLDER
@given(tail=st.binary(max_size=64))
def test_foreign_tails_are_refused_in_bounded_memory(tmp_path: Path, tail: bytes) -> None:
    path = _write(tmp_path, [b"one"], tail)
    with pytest.raises(FormatError):
        _parse(path)


@pytest.mark.parametrize(
    "footer",
    [
        struct.pack("<IB", 0xFFFFFFFF, 0),
        struct.pack("<IB", 0, 0),
        struct.pack("<IB", 1, 0x80),
        struct.pack("<IB", 2, 0),
    ],
    ids=["billions of frames", "none", "flags", "more than there are"],
)
def test_lying_footers_are_refused(tmp_path: Path, footer: bytes) -> None:
    path = _write(tmp_path, [b"one"], seekable.table_bytes([(12, 3)])[:-9] + footer + seekable.FOOTER_MAGIC)
    with pytest.raises(FormatError):
        _parse(path)


@pytest.mark.parametrize("sizes", [(12, 0), (0, 3), (12, 2**32 - 1), (2**32 - 1, 3)])
def test_lying_entries_are_refused(tmp_path: Path, sizes: tuple[int, int]) -> None:
    with pytest.raises(FormatError):
        _parse(_write(tmp_path, [b"one"], seekable.table_bytes([sizes])))


def test_a_frame_that_declares_more_than_the_table_is_not_decompressed() -> None:
    bomb = zstandard.compress(bytes(50_000_000))
    with pytest.raises(IntegrityError, match="wrong frame size"):
        seekable.decompress(bomb, 1000)


def test_two_frames_do_not_pass_for_one() -> None:
    with pytest.raises(IntegrityError):
        seekable.decompress(zstandard.compress(b"one") + zstandard.compress(b"two"), 3)


def test_a_frame_without_a_size_is_refused() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"one")
    with pytest.raises(IntegrityError):
        seekable.decompress(unsized, 3)

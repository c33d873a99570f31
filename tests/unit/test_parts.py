"""A media set in parts: cut for a medium, recognised by headers, read in place from wherever the parts are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from bundler.cutting import Medium, Tarball, cut_for, parse_medium, parse_parity
from installer.bundle import seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, InputError, IntegrityError, OperatorError
from installer.bundle.parts import (
    BLOCK_BYTES,
    HEADER_BYTES,
    MOST_PART_BYTES,
    PART_NAME,
    PartSet,
    parse_header,
    parse_table,
    table,
)
from installer.bundle.reader import open_media_set
from installer.bundle.seekable import Frame
from installer.bundle.sums import read_sums
from installer.bundle.verify import bytes_to_read, verify
from installer.config import ClusterConfig
from installer.reading import needed_blobs
from tests.fakes.images import AMD64
from tests.fakes.splits import Discs, small_blocks, split, whole_set

IDENTITY = Digest.of(b"identity")
CUT = PartSet("k8s-v1.30.14-linux-amd64", IDENTITY, 2500, Digest.of(b"tarball"), (0, 1000, 2000), 2, 2)
GIB = 1024**3


@pytest.fixture(scope="module", params=("registry", "dense"))
def discs_made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Discs]]:
    """A set of either kind, whole and on discs."""
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        root = tmp_path_factory.mktemp(request.param)
        source = whole_set(root, request.param)
        made = split(source, root / "out", 120_000, 50)
        yield source, Discs.copied(made, root / "mounted")


@pytest.fixture
def discs(discs_made: tuple[Path, Discs], tmp_path: Path) -> Discs:
    """The same discs, to be harmed."""
    folders = []
    for number, folder in enumerate(discs_made[1].folders):
        shutil.copytree(folder, tmp_path / f"drive{number}" / "disc")
        folders.append(tmp_path / f"drive{number}" / "disc")
    return Discs(discs_made[1].cut, tuple(folders))


def frames_of(*sizes: int) -> list[Frame]:
    found, at = [], 0
    for size in sizes:
        found.append(Frame(at, size, 2 * at, 2 * size))
        at += size
    return found


def tarball(size_bytes: int, frame_bytes: int) -> Tarball:
    whole = [frame_bytes] * (size_bytes // frame_bytes)
    return Tarball("k8s", IDENTITY, size_bytes + 500, Digest.of(b"t"), frames_of(*whole))


def test_a_header_is_read_back() -> None:
    for number in CUT.numbers:
        header = CUT.header(number)
        assert len(header) == HEADER_BYTES
        assert parse_header(header, "here") == (CUT, number)
    assert CUT.words(3) == "part 3 of 3"
    assert CUT.words(4) == "parity part 1 of 2"
    assert [CUT.disc_of(number) for number in CUT.numbers] == [1, 1, 2, 2, 3]
    assert CUT.file_name(2).endswith(".tar.zst.002")
    assert CUT.file_name(5).endswith(".tar.zst.p002")


def test_zstd_passes_over_a_header() -> None:
    frame = zstandard.ZstdCompressor().compress(b"what follows")
    assert zstandard.ZstdDecompressor().stream_reader(CUT.header(1) + frame, read_across_frames=True).read(50) == (
        b"what follows"
    )


def test_every_bit_of_a_header_counts() -> None:
    header = CUT.header(2)
    for at in [*range(0, 900, 3), HEADER_BYTES - 1]:
        damaged = bytearray(header)
        damaged[at] ^= 1
        with pytest.raises(FormatError) as caught:
            parse_header(bytes(damaged), "here")
        assert caught.value.where == "here"


@pytest.mark.parametrize(
    "change",
    [
        {"starts": ()},
        {"starts": (0, 2000, 1000)},
        {"starts": (1, 1000)},
        {"starts": (0, 2500)},
        {"parity": 300},
        {"parity": -1},
        {"on_disc": 0},
        {"name": "../etc/passwd"},
        {"name": "x" * 60},
        {"tarball_bytes": 3 * MOST_PART_BYTES + 3000},
    ],
)
def test_no_cut_that_cannot_be(change: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="not a way to cut"):
        replace(CUT, **change)  # type: ignore[arg-type]


def test_the_table_of_blocks_knows_when_it_is_damaged() -> None:
    checks = (1, 2**32 - 1, 7)
    data = bytearray(table(checks))
    assert parse_table(bytes(data), 3, "") == checks
    data[9] ^= 1
    with pytest.raises(IntegrityError, match="table of blocks"):
        parse_table(bytes(data), 3, "")


def test_names_are_safe_on_every_medium() -> None:
    names = [CUT.file_name(number) for number in CUT.numbers]
    assert all(PART_NAME.fullmatch(name) and len(name) <= 64 for name in names)
    assert len({name.upper() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("text", "disc_bytes"),
    [("dvd", 4_700_000_000), ("FAT32", None), ("700M", 700_000_000), ("8GiB", 8 * GIB), ("4096", 4096), ("1kb", 1000)],
)
def test_media_by_name_and_by_size(text: str, disc_bytes: int | None) -> None:
    assert parse_medium(text).disc_bytes == disc_bytes


@pytest.mark.parametrize("text", ["", "floppy", "-1", "0", "1.5G", "1T", "700 M"])
def test_no_such_medium(text: str) -> None:
    with pytest.raises(InputError, match="not a medium") as caught:
        parse_medium(text)
    assert "fat32" in str(caught.value.wanted)


def test_an_amount_of_parity() -> None:
    assert [parse_parity(text) for text in (None, "0%", "10%", "100%")] == [0, 0, 10, 100]
    for text in ("10", "101%", "-1%", "1.5%"):
        with pytest.raises(InputError, match="amount of parity"):
            parse_parity(text)


@pytest.mark.parametrize("percent", [0, 10, 50, 100])
@pytest.mark.parametrize("name", ["dvd", "bd", "fat32", "700M", "8G"])
def test_discs_are_never_too_full(name: str, percent: int) -> None:
    medium, beside_bytes = parse_medium(name), 60_000_000
    for size_bytes in (900_000_000, 4_640_000_000, 9_000_000_000, 30_000_000_000):
        cut = cut_for(tarball(size_bytes, 3_000_000), medium, percent, beside_bytes)
        assert all(cut.file_bytes(number) <= MOST_PART_BYTES for number in cut.numbers)
        assert cut.parity >= cut.data * percent / 100
        assert all(start % 3_000_000 == 0 for start in cut.starts)
        for disc in range(1, cut.discs + 1):
            there = sum(cut.file_bytes(number) for number in cut.numbers if cut.disc_of(number) == disc)
            assert medium.disc_bytes is None or there + beside_bytes < 0.9955 * medium.disc_bytes
        if not percent and medium.disc_bytes:  # and no disc more than needed
            assert cut.discs <= size_bytes // (0.93 * (medium.disc_bytes - beside_bytes)) + 1


def test_a_tenth_of_parity_is_about_a_tenth() -> None:
    cut = cut_for(tarball(900_000_000, 3_000_000), parse_medium("fat32"), 10, 0)
    assert (cut.data, cut.parity) == (10, 1)


def test_a_small_set_of_long_frames_has_fewer_parts() -> None:
    cut = cut_for(tarball(32_000_000, 4_000_000), parse_medium("fat32"), 10, 0)
    assert (cut.data, cut.parity) == (8, 1)
    cut = cut_for(tarball(4_000_000, 4_000_000), parse_medium("fat32"), 10, 0)
    assert cut.parity == 1


def test_long_frames_are_cut_anywhere() -> None:
    long = [Frame(0, 5_000_000, 0, seekable.MAXIMUM_SMALL_BYTES + 1)]
    cut = cut_for(Tarball("k8s", IDENTITY, 5_000_500, Digest.of(b"t"), long), Medium("x", 2_000_000), 0, 1000)
    assert cut.data == 4


@pytest.mark.parametrize("percent", [0, 10, 100])
@pytest.mark.parametrize("size_bytes", [100_000_000, 3_000_000_000])
def test_too_small_a_medium_says_how_large_it_must_be(size_bytes: int, percent: int) -> None:
    held = tarball(size_bytes, 1_000_000)
    with pytest.raises(InputError, match="too small for this bundle") as caught:
        cut_for(held, Medium("1M", 1_000_000), percent, 30_000_000)
    advised = str(caught.value.next_step).rpartition(" ")[2]
    assert cut_for(held, parse_medium(advised), percent, 30_000_000).data > 1


def test_parts_are_read_in_place(discs_made: tuple[Path, Discs]) -> None:
    source, discs = discs_made
    with open_media_set(source) as bundle:
        wanted = bundle.identity, [b"".join(bundle.chunks(blob.digest)) for blob in bundle.index.blobs]
    for order in (discs.folders, discs.folders[::-1]):
        with open_media_set(order[0], order[1:]) as bundle:
            got = bundle.identity, [b"".join(bundle.chunks(blob.digest)) for blob in bundle.index.blobs]
            assert got == wanted
            verified = verify(bundle)
            assert verified.summed == tuple(sorted(read_sums(order[0])))
            assert verified.read_bytes == bytes_to_read(bundle)
            assert verified.unexpected == ()


def test_the_parts_are_the_tarball(discs_made: tuple[Path, Discs]) -> None:
    source, discs = discs_made
    data = range(1, discs.cut.data + 1)
    (whole,) = source.glob("*.tar.zst")
    assert b"".join(discs.path(number).read_bytes()[HEADER_BYTES:] for number in data) == whole.read_bytes()
    if "dense" not in str(source):
        stream = b"".join(discs.path(number).read_bytes() for number in data)
        unpacked = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
        assert (
            unpacked == zstandard.ZstdDecompressor().stream_reader(whole.read_bytes(), read_across_frames=True).read()
        )


def test_only_what_a_role_needs_is_wanted(discs: Discs) -> None:
    """A part with nothing for a worker may be missing, or damaged."""
    with open_media_set(discs.folders[0], discs.folders[1:]) as bundle:
        needed = needed_blobs(bundle.index, "worker", AMD64, ClusterConfig())
        read = verify(bundle, needed=needed)
        assert read.read_bytes == bytes_to_read(bundle, needed)
        spans = [
            (frame.offset_bytes, frame.compressed_bytes)
            for digest in needed
            for frame in seekable.frames_of(
                bundle.frames, bundle.member(digest).offset_bytes, bundle.member(digest).stored_bytes
            )
        ]
        assert bundle.joined is not None
        spare = set(range(2, discs.cut.data)) - set(bundle.joined.numbers(spans))
    for number in spare:
        discs.path(number).unlink()
    with open_media_set(discs.folders[0], discs.folders[1:]) as bundle:
        if "dense" not in str(bundle.index.layers[:1]):
            assert verify(bundle, needed=needed).members == read.members


def test_renamed_parts_are_known_by_their_headers(discs: Discs) -> None:
    for number in discs.cut.numbers:
        path = discs.path(number)
        path.rename(path.with_name(f"RENAMED{number}.BIN"))
    assert discs.verified().unexpected


def test_discs_that_lie_beside_are_found(discs: Discs, tmp_path: Path) -> None:
    for number, folder in enumerate(discs.folders):
        shutil.move(folder, tmp_path / "together" / f"sr{number}")
    with open_media_set(tmp_path / "together" / "sr1") as bundle:
        assert verify(bundle).members


def test_the_disc_that_is_wanted_is_named(discs: Discs) -> None:
    last = discs.cut.disc_of(discs.cut.data)
    with pytest.raises(IntegrityError, match=f"part {discs.cut.data} of {discs.cut.data} is not here") as caught:
        open_media_set(discs.folders[0])
    assert caught.value.wanted == f"disc {last} of {discs.cut.discs}"
    assert "--media DIR" in str(caught.value.next_step)
    assert "./install copy DIR" in str(caught.value.next_step)
    assert caught.value.where == str(discs.folders[0])


def test_parts_of_another_set_are_none_of_this(discs: Discs, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        other = split(whole_set(tmp_path / "other"), tmp_path / "cut", 200_000, 20)
    foreign = other.discs[0][0]
    with pytest.raises(IntegrityError, match="not here") as caught:
        open_media_set(discs.folders[0], [foreign])
    assert f"of {other.cut.data}" in str(caught.value.got)
    shutil.copy(discs.folders[0] / "SHA256SUMS", foreign / "SHA256SUMS")
    with pytest.raises(OperatorError, match="another set than the one") as swapped:
        open_media_set(foreign)
    assert swapped.value.next_step


def test_of_two_copies_the_whole_one_is_taken(discs: Discs, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    shutil.copy(discs.path(1), good)
    discs.flip(1, 100)
    with open_media_set(discs.folders[0], (*discs.folders[1:], good)) as bundle:
        assert bundle.joined is not None
        assert bundle.joined.here.paths[1].parent == good
        assert verify(bundle).members


def test_damage_is_named_by_part_and_byte(discs: Discs) -> None:
    number = 2
    discs.flip(number, 5000)
    with pytest.raises(IntegrityError) as caught:
        discs.verified()
    error = caught.value
    assert error.message == f"part 2 of {discs.cut.data} is damaged at byte {HEADER_BYTES + 4096}"
    assert str(error.where).startswith(f"{discs.path(2)}, bytes {HEADER_BYTES + 4096} to {HEADER_BYTES + 8191}")
    assert "./install repair" in str(error.next_step)
    assert f"parity parts here: {discs.cut.parity}, needed: 1" in str(error.next_step)


def test_damage_that_reads_whole_is_named(discs: Discs) -> None:
    """Of parity, and of headers, only SHA256SUMS knows; and of an end that was cut off or added, the file's size."""
    cut = discs.cut
    discs.flip(cut.total, 9)
    with pytest.raises(IntegrityError, match=rf"parity part {cut.parity} of {cut.parity} is damaged at byte 8192"):
        discs.verified()
    discs.flip(cut.total, 9)
    discs.flip(1, -9)
    with pytest.raises(IntegrityError, match="the part is not the one that SHA256SUMS lists") as caught:
        discs.verified()
    assert caught.value.where == str(discs.path(1))
    discs.flip(1, -9)
    content = discs.path(2).read_bytes()
    discs.path(2).write_bytes(content + b"x")
    with pytest.raises(IntegrityError, match=r"added to the end of part 2"):
        discs.verified()
    discs.path(2).write_bytes(content[:-1])
    with pytest.raises(IntegrityError, match=r"part 2 of \d+ is cut short"):
        discs.verified()


def test_an_unreadable_part_is_named(discs: Discs, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.pread
    bad = discs.path(2).stat().st_ino

    def pread(handle: int, size: int, at: int) -> bytes:
        if os.fstat(handle).st_ino == bad and at <= HEADER_BYTES + 3000 < at + size:
            raise OSError(5, "Input/output error")
        return real(handle, size, at)

    monkeypatch.setattr("installer.bundle.joined.os.pread", pread)
    with pytest.raises(IntegrityError, match="part 2 of") as caught:
        discs.verified()
    assert "Input/output error" in str(caught.value.got)
    assert str(discs.path(2)) in str(caught.value.where)


def test_splitting_again_gives_the_same_bytes(discs_made: tuple[Path, Discs], tmp_path: Path) -> None:
    source, discs = discs_made
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        again = Discs.copied(split(source, tmp_path / "again", 120_000, 50), tmp_path / "mounted")
        assert sorted(again.contents().values()) == sorted(discs.contents().values())


def test_a_split_set_is_split_otherwise(discs_made: tuple[Path, Discs], tmp_path: Path) -> None:
    """From its parts, and into the folder of the first split, which is replaced."""
    source, _ = discs_made
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        first = split(source, tmp_path, 120_000, 50)
        second = split(first.discs[1][0], tmp_path / "other", None, 0)
        assert second.discs[0][0] == tmp_path / "other" / f"{second.cut.name}.parts"
        replaced = split(second.folder, tmp_path, None, 10)
    assert replaced.folder == first.folder
    assert not (first.folder / "disc1").exists()
    assert replaced.cut.tarball_digest == first.cut.tarball_digest == Digest.of(next(source.glob("*.zst")).read_bytes())
    with open_media_set(replaced.folder) as bundle:
        assert verify(bundle).unexpected == ()


def test_a_damaged_tarball_is_not_split(discs_made: tuple[Path, Discs], tmp_path: Path) -> None:
    source = tmp_path / "damaged"
    shutil.copytree(discs_made[0], source)
    (whole,) = source.glob("*.tar.zst")
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 1
    whole.write_bytes(content)
    with pytest.raises(IntegrityError, match="the tarball to split is damaged"):
        split(source, tmp_path / "out", 120_000, 0)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_block_is_a_mebibyte() -> None:
    assert BLOCK_BYTES == 1024 * 1024


def test_a_damaged_list_is_told_from_a_foreign_one(discs: Discs) -> None:
    """A bit of the index's digest in SHA256SUMS: the parts are right, and the list is not."""
    path = discs.folders[0] / "SHA256SUMS"
    lines = path.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.endswith("  bundle.json\n"))
    lines[at] = ("1" if lines[at][0] == "0" else "0") + lines[at][1:]
    path.write_text("".join(lines))
    with pytest.raises(IntegrityError, match="SHA256SUMS is damaged"):
        open_media_set(discs.folders[0], discs.folders[1:])


def test_a_folder_that_cannot_be_listed_is_named(discs: Discs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path == discs.folders[1]:
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(IntegrityError, match="cannot be read") as caught:
        open_media_set(discs.folders[0], discs.folders[1:])
    assert caught.value.where == str(discs.folders[1])


def test_every_answer_fits_a_serial_console(discs: Discs) -> None:
    """But for paths, no line is longer than 80 columns."""
    with pytest.raises(IntegrityError) as caught:
        open_media_set(discs.folders[0])
    for line in caught.value.lines():
        assert len(line) <= 80 or "/" in line.split()[0] or str(discs.folders[0]) in line, line

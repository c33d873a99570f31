"""Reading the medium: what a node needs and no more, proven before anything is changed, once where it is slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.assemble import MediaSet, assemble
from bundler.measure import UnpackedSizes
from installer.bundle import layout, seekable
from installer.bundle.digest import Digest
from installer.bundle.errors import IntegrityError
from installer.bundle.reader import Bundle, open_media_set
from installer.bundle.spool import Spool
from installer.bundle.sums import read_sums, sums_text
from installer.bundle.verify import Portion, bytes_to_read, verify
from installer.config import ClusterConfig
from installer.node import DiskSpace
from installer.preflight.disk import needed_bytes
from installer.reading import LEFT_FREE_BYTES, Reading, needed_blobs, read_for
from tests.fakes.images import AMD64, ARM64, Parts, small_parts
from tests.fakes.node import FakeNode
from tests.unit.test_preflight import subject

INSTALL = b"#!/bin/sh\nexit 0\n"
KINDS = ("registry", "dense")


@pytest.fixture(params=KINDS)
def media(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MediaSet:
    """A media set for two platforms, of either kind of layers, in many frames."""
    monkeypatch.setattr(seekable, "MAXIMUM_SMALL_BYTES", 10_000)
    monkeypatch.setattr(layout, "FRAME_BYTES", 8192)
    monkeypatch.setattr("installer.bundle.pack.FRAME_BYTES", 8192)
    monkeypatch.setattr(layout, "LONG_FRAME_BYTES", 5 * 8192)
    parts: Parts = small_parts(large_bytes=50_000, platforms=(AMD64, ARM64))
    lock = replace(parts.lock((AMD64, ARM64)), layers=request.param)
    return assemble(lock, parts.store, INSTALL, tmp_path / "dist", sizes=UnpackedSizes(tmp_path / "sizes"), jobs=2)


@pytest.fixture
def bundle(media: MediaSet) -> Iterator[Bundle]:
    with open_media_set(media.folder) as opened:
        yield opened


class Reads:
    """The parts of the medium that were read, in order; each takes a second by the spool's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places: list[tuple[int, int]] = []
        self._now = 0.0
        real = seekable.read_at

        def read_at(stream: object, offset_bytes: int, length_bytes: int, where: str) -> bytes:
            self.places.append((offset_bytes, length_bytes))
            self._now += 1.0
            return real(stream, offset_bytes, length_bytes, where)  # type: ignore[arg-type]

        monkeypatch.setattr(seekable, "read_at", read_at)
        monkeypatch.setattr("time.perf_counter", lambda: self._now)


@pytest.fixture
def reads(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """From now on: the index was read when the bundle was opened."""
    assert bundle.index
    return Reads(monkeypatch)


def worker(bundle: Bundle) -> frozenset[Digest]:
    return needed_blobs(bundle.index, "worker", AMD64, ClusterConfig())


def used(bundle: Bundle, role: str) -> None:
    """Takes everything a node takes, in its order: files, the sandbox image, the other images."""
    for item in bundle.index.files_for(role, AMD64):
        list(bundle.chunks(item.blob))
    images = bundle.index.images_for(role)
    for group, later in ((images[:1], images[1:]), (images[1:], ())):
        list(bundle.oci_tar(group, (AMD64,), later))


def test_only_what_is_needed_is_read(bundle: Bundle, reads: Reads) -> None:
    seen: list[int] = []
    needed = worker(bundle)
    wanted_bytes = bytes_to_read(bundle, needed)
    verified = verify(bundle, needed=needed, progress=seen.append)
    frames = Portion.of(bundle, needed).frames
    for offset, length in reads.places:
        assert any(0 <= offset - frame.offset_bytes <= frame.compressed_bytes - length for frame in frames)
    assert sum(seen) == verified.read_bytes == wanted_bytes < bundle.size_bytes
    assert bundle.path.name not in verified.summed
    assert "bundle.json" in verified.summed


@pytest.mark.parametrize("role", ["cp", "worker"])
def test_nothing_else_is_taken_afterwards(bundle: Bundle, reads: Reads, role: str) -> None:
    """What a node uses lies within what was proven for it."""
    verify(bundle, needed=needed_blobs(bundle.index, role, AMD64, ClusterConfig()))
    proven = set(reads.places)
    reads.places.clear()
    used(bundle, role)
    assert set(reads.places) <= proven


@pytest.mark.parametrize("role", ["cp", "worker"])
def test_a_slow_medium_is_read_once_and_its_room_is_given_back(
    bundle: Bundle, reads: Reads, tmp_path: Path, role: str
) -> None:
    node = FakeNode()
    needed = needed_blobs(bundle.index, role, AMD64, ClusterConfig())
    spool = Spool(10**9, lambda: node.unnamed_file(str(tmp_path)))
    bundle.read_through(spool, needed)
    verify(bundle, needed=needed)
    spool.filled()
    assert spool.held_bytes > 5_000
    reads.places.clear()
    used(bundle, role)
    assert reads.places == []
    assert spool.held_bytes == 0
    used(bundle, role)
    assert reads.places, "what was given back comes from the medium"


def test_damage_in_what_is_needed_is_named_and_elsewhere_left_to_verify(media: MediaSet) -> None:
    with open_media_set(media.folder) as bundle:
        needed = worker(bundle)
        frames = set(Portion.of(bundle, needed).frames)
        after_index = bundle.layout.members[1].offset_bytes
        others = [frame for frame in bundle.frames if frame.start_bytes >= after_index and frame not in frames]
    data = media.tarball.read_bytes()
    for frame in (*frames, *others):
        damaged = bytearray(data)
        damaged[frame.offset_bytes + frame.compressed_bytes // 2] ^= 1
        media.tarball.write_bytes(damaged)
        with open_media_set(media.folder) as bundle:
            if frame in frames:
                with pytest.raises(IntegrityError):
                    verify(bundle, needed=needed)
            else:
                verify(bundle, needed=needed)
                with pytest.raises(IntegrityError):
                    verify(bundle)


def test_the_sums_speak_for_a_part_through_the_index(media: MediaSet) -> None:
    """Another bundle under this one's name: no digest of the whole is needed to see it."""
    other = {"bundle.json": Digest.of(b"another"), "install": Digest.of(INSTALL), media.tarball.name: Digest.of(b"")}
    sums = read_sums(media.folder) | other
    (media.folder / "SHA256SUMS").write_text(sums_text(sums))
    with open_media_set(media.folder) as bundle, pytest.raises(IntegrityError, match="another bundle"):
        verify(bundle, needed=worker(bundle))
    (media.folder / "SHA256SUMS").write_text(sums_text({name: sums[name] for name in sums if name != "bundle.json"}))
    with open_media_set(media.folder) as bundle, pytest.raises(IntegrityError, match="SHA256SUMS is damaged") as caught:
        verify(bundle, needed=worker(bundle))
    assert caught.value.wanted == "a line for bundle.json"


class Quiet:
    """Hears of the reading and keeps it."""

    def verifying(self, total_bytes: int) -> Callable[[int], None]:
        """See :class:`~installer.reading.Watching`."""
        assert total_bytes
        return lambda _read: None

    def verified(self, _bundle: Bundle, _reading: Reading) -> None:
        """See :class:`~installer.reading.Watching`."""


@pytest.mark.parametrize(("room_bytes", "says"), [(10**9, "read once, "), (5_000, "read twice, no room on / to spool")])
def test_the_spool_takes_what_the_install_leaves_free(bundle: Bundle, reads: Reads, room_bytes: int, says: str) -> None:
    judged = replace(subject(role="worker"), index=bundle.index)
    need_bytes = sum(needed_bytes(judged).values())
    disk = DiskSpace("/", 10**12, need_bytes + LEFT_FREE_BYTES + room_bytes, 10**6)
    facts = replace(judged.facts, disks=dict.fromkeys(judged.facts.disks, disk))
    reading = read_for(bundle, replace(judged, facts=facts), Quiet(), FakeNode())
    assert says in reading.words()
    assert reading.spooled_bytes <= room_bytes
    assert (reading.spooled_bytes == reading.slow_bytes) == (room_bytes == 10**9)
    assert reads.places


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(10**9, 2.0, 0.5), "1.0 GB at 2.0 GB/s: read twice, nothing spooled"),
        (Reading(10**9, 40.0, 40.0, 10**9, 10**9, "/var"), "1.0 GB at 25.0 MB/s: read once, 1.0 GB spooled on /var"),
        (
            Reading(10**9, 40.0, 40.0, 10**9, 10**8, "/"),
            "1.0 GB at 25.0 MB/s: read twice, no room on / to spool 900.0 MB",
        ),
    ],
)
def test_the_plan_says_how_often_the_medium_is_read(reading: Reading, words: str) -> None:
    assert reading.words() == words

"""The store: only verified bytes are trusted, unfinished ones are resumed, two builds do not hurt each other."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import BinaryIO

import pytest

import bundler.store
from bundler.errors import InputError, IntegrityError, OperatorError
from bundler.store import STALE_SECONDS, Store, default_store_path
from installer.bundle.digest import Digest

DATA = b"some blob" * 1000
DIGEST = Digest.of(DATA)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, lines: list[str]) -> Store:
    return Store(tmp_path / "store", lines.append)


def _change_a_byte(path: Path, *, keep_times: bool = False) -> None:
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_keeps_what_it_was_given(store: Store) -> None:
    assert store.add_bytes(DATA) == DIGEST
    assert store.has(DIGEST, len(DATA))
    assert store.size_bytes(DIGEST) == len(DATA)
    assert store.read_bytes(DIGEST, len(DATA)) == DATA
    assert store.path(DIGEST) == store.root / "blobs" / "sha256" / DIGEST.hex


def test_lacks_what_it_was_not_given(store: Store) -> None:
    assert not store.has(DIGEST)
    assert store.size_bytes(DIGEST) is None
    with pytest.raises(IntegrityError, match="missing from the store"):
        store.open(DIGEST)


def test_a_foreign_file_under_a_digest_is_hashed_and_thrown_out(store: Store, lines: list[str]) -> None:
    store.path(DIGEST).write_bytes(b"not these bytes")
    assert not store.has(DIGEST)
    assert not store.path(DIGEST).exists()
    assert "thrown out" in lines[0]


def test_a_right_file_that_somebody_put_there_is_hashed_and_kept(store: Store, lines: list[str]) -> None:
    store.path(DIGEST).write_bytes(DATA)
    assert store.has(DIGEST)
    assert lines == []


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_changed_file_is_noticed_without_being_asked_to_verify(store: Store, keep_times: bool) -> None:
    store.add_bytes(DATA)
    _change_a_byte(store.path(DIGEST), keep_times=keep_times)
    assert not store.has(DIGEST)


def test_a_trusted_file_is_not_hashed_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add_bytes(DATA)
    monkeypatch.setattr(Store, "verify", lambda *_: pytest.fail("hashed again"))
    assert store.has(DIGEST)


def test_damage_shows_when_the_blob_is_read_and_evicts_it(store: Store) -> None:
    store.add_bytes(DATA)
    blob = store.open(DIGEST)
    _change_a_byte(store.path(DIGEST))
    with blob, pytest.raises(IntegrityError, match="damaged") as caught:
        while blob.read(100):
            pass
    assert "run the same command again" in str(caught.value.next_step)
    assert not store.path(DIGEST).exists()


def test_damage_that_was_read_does_not_evict_what_another_build_fetched_meanwhile(store: Store, tmp_path: Path) -> None:
    store.add_bytes(DATA)
    blob = store.open(DIGEST)
    _change_a_byte(store.path(DIGEST))
    other = Store(tmp_path / "store")
    assert not other.has(DIGEST)
    other.add_bytes(DATA)
    with blob, pytest.raises(IntegrityError, match="damaged"):
        while blob.read(100):
            pass
    assert other.read_bytes(DIGEST, len(DATA)) == DATA


def test_a_full_disk_is_told_once_with_what_is_needed_and_free(
    store: Store, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundler.room.free_bytes", lambda _path: 4096)
    with pytest.raises(OperatorError, match="cannot be written") as caught, store.receive(DIGEST, 9_000_000) as partial:
        assert partial is not None
        partial.append(DATA)
        monkeypatch.setattr(partial, "_stream", Full(partial._stream))
        partial.append(DATA)
    assert (caught.value.wanted, caught.value.got) == ("room for 9.0 MB more", "No space left on device; <0.1 MB free")
    assert store.begun_bytes(DIGEST, 9_000_000) == len(DATA)
    assert lines == []


class Full:
    """A file on a disk that has no room."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, _data: object) -> int:
        """Takes nothing."""
        raise OSError(28, "No space left on device")


def test_a_small_blob_is_never_larger_than_asked(store: Store) -> None:
    store.add_bytes(DATA)
    with pytest.raises(IntegrityError, match="too large"):
        store.read_bytes(DIGEST, len(DATA) - 1)


def test_an_unfinished_download_goes_on_where_it_stopped(store: Store) -> None:
    with store.receive(DIGEST, len(DATA)) as partial:
        assert partial is not None
        partial.append(DATA[:4000])
    assert not store.has(DIGEST)
    with store.receive(DIGEST, len(DATA)) as partial:
        assert partial is not None
        assert partial.size_bytes == 4000
        partial.append(DATA[4000:])
        partial.finish()
    assert store.read_bytes(DIGEST, len(DATA)) == DATA
    assert not store.partial_path(DIGEST).exists()


@pytest.mark.parametrize(
    ("data", "what"), [(DATA[:-1], "wrong size"), (DATA[:-1] + b"!", "wrong bytes"), (b"", "wrong size")]
)
def test_wrong_bytes_never_become_a_blob_and_are_not_resumed(store: Store, data: bytes, what: str) -> None:
    with store.receive(DIGEST, len(DATA)) as partial:
        assert partial is not None
        partial.append(data)
        with pytest.raises(IntegrityError, match=what):
            partial.finish()
    assert not store.path(DIGEST).exists()
    assert not store.partial_path(DIGEST).exists()


def test_more_bytes_than_wanted_are_refused_at_once(store: Store) -> None:
    with store.receive(DIGEST, len(DATA)) as partial:
        assert partial is not None
        with pytest.raises(IntegrityError, match="wrong size"):
            partial.append(DATA + b"x")
    assert not store.partial_path(DIGEST).exists()


def test_a_leftover_longer_than_the_blob_is_dropped(store: Store) -> None:
    store.partial_path(DIGEST).write_bytes(DATA + b"more")
    with store.receive(DIGEST, len(DATA)) as partial:
        assert partial is not None
        assert partial.size_bytes == 0


def test_a_second_build_waits_and_then_has_the_blob(store: Store, tmp_path: Path, lines: list[str]) -> None:
    other = Store(tmp_path / "store", lines.append)
    with store.receive(DIGEST, len(DATA)) as ours:
        assert ours is not None
        ours.append(DATA)

        def wait(_seconds: float) -> None:
            if not ours.finished:
                ours.finish()
            elif not ours._stream.closed:
                ours._stream.close()

        with other.receive(DIGEST, len(DATA), wait) as theirs:
            assert theirs is None
    assert "another build" in lines[0]
    assert store.has(DIGEST)
    assert not store.partial_path(DIGEST).exists()


def test_a_blob_finished_between_opening_and_locking_its_partial_stays_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.partial_path(DIGEST).write_bytes(DATA)
    locked = bundler.store._locked

    def finished_just_now(stream: BinaryIO) -> bool:
        if store.partial_path(DIGEST).stat().st_size:
            store.partial_path(DIGEST).replace(store.path(DIGEST))
        return locked(stream)

    monkeypatch.setattr(bundler.store, "_locked", finished_just_now)
    with store.receive(DIGEST, len(DATA), lambda _seconds: store.partial_path(DIGEST).touch()) as partial:
        assert partial is None
    assert store.read_bytes(DIGEST, len(DATA)) == DATA


def test_a_second_build_goes_on_when_the_first_one_is_gone(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "store")
    with store.receive(DIGEST, len(DATA)) as ours:
        assert ours is not None
        ours.append(DATA[:10])
        with other.receive(DIGEST, len(DATA), lambda _seconds: ours._stream.close()) as theirs:
            assert theirs is not None
            assert theirs.size_bytes == 10
            theirs.append(DATA[10:])
            theirs.finish()
    assert store.has(DIGEST)


def test_leftovers_are_dropped_after_a_week_unless_somebody_writes(store: Store, tmp_path: Path) -> None:
    old, fresh, held = (store.partial_path(Digest.of(name)) for name in (b"old", b"fresh", b"held"))
    for path in (old, fresh, held):
        path.write_bytes(b"x")
    long_ago = time.time() - STALE_SECONDS - 60
    with store.receive(Digest.of(b"held"), 4):
        os.utime(old, (long_ago, long_ago))
        os.utime(held, (long_ago, long_ago))
        Store(tmp_path / "store")
        assert (old.exists(), fresh.exists(), held.exists()) == (False, True, True)


def test_a_file_is_only_added_under_its_own_digest(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(DATA)
    with pytest.raises(IntegrityError, match="wrong bytes"):
        store.add_file(path, Digest.of(b"another"))
    store.add_file(path, DIGEST)
    assert store.has(DIGEST, len(DATA))


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="store cannot be used") as caught:
        Store(tmp_path / "file" / "store")
    assert "--store" in str(caught.value.next_step)


def test_the_default_place_follows_xdg() -> None:
    assert default_store_path({"XDG_CACHE_HOME": "/c"}) == Path("/c/airgap-bundle")
    assert default_store_path({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "airgap-bundle"
    assert default_store_path({}) == Path.home() / ".cache" / "airgap-bundle"

"""Room by mount: what falls on one file system is summed, and what is too small is named with its option."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from bundler.errors import InputError
from bundler.room import Need, demand_room, demand_writable, rooms, write_error


def test_needs_on_one_file_system_are_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.room.free_bytes", lambda _path: 5_000_000)
    store, out = Need("--store", tmp_path, 3_000_000), Need("--out", tmp_path / "not" / "there", 3_000_000)
    (room,) = rooms([store, out])
    assert (room.needed_bytes, room.paths, room.enough) == (6_000_000, (store.path, out.path), False)
    demand_room([store])
    demand_room([out])
    with pytest.raises(InputError, match="not enough room") as caught:
        demand_room([store, out])
    assert (caught.value.wanted, caught.value.got) == ("6.0 MB free, the most that is written", "5.0 MB free")
    assert str(caught.value.next_step).endswith("--out DIR or --store DIR")


def test_what_can_be_written_is_said_before(tmp_path: Path) -> None:
    demand_writable("--out", tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="folder cannot be written") as caught:
        demand_writable("--out", tmp_path / "file" / "dist")
    assert caught.value.got == f"{tmp_path / 'file'} is a file"


def test_a_full_disk_is_told_with_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.room.free_bytes", lambda _path: 0)
    full = OSError(errno.ENOSPC, "No space left on device")
    error = write_error("it cannot be written", full, tmp_path, needed_bytes=9_000_000, next_step="make room")
    assert (error.wanted, error.got) == ("room for 9.0 MB more", "No space left on device; 0.0 MB free")

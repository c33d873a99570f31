"""A finished runtime is made once, and made again when anything it follows from is another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import bundler.payloads
from bundler.lockfile import LockedRuntime, LockedWheel
from bundler.payloads import KeptPayloads
from bundler.runtime import Payload, archive_bytes, payload
from bundler.store import Store
from installer.bundle.digest import Digest
from tests.fakes.images import AMD64
from tests.unit.test_runtime import python_tree, wheel


class Desk:
    """A store with the parts of a runtime, and how often one was made of them."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "payloads"
        self.store = Store(root / "store")
        self.made = 0
        archive = archive_bytes(python_tree())
        wheels = tuple(
            LockedWheel(name, "1", f"{name}.whl", self.store.add_bytes(wheel(name)))
            for name in ("click", "yaml", "zstandard", "tqdm")
        )
        digest = self.store.add_bytes(archive)
        self.locked = LockedRuntime("catalogue", AMD64, "3.14.7", "origin", digest, len(archive), wheels)

    def make(self, locked: LockedRuntime, store: Store) -> Payload:
        """Counts, and makes it as ever."""
        self.made += 1
        return payload(locked, store)

    def get(self) -> Payload:
        """The runtime, as a new process would ask for it."""
        return KeptPayloads(self.folder, self.store).payload(self.locked)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path)
    monkeypatch.setattr(bundler.payloads, "payload", made.make)
    return made


def test_it_is_made_once(desk: Desk) -> None:
    first = desk.get()
    assert desk.get() == first == payload(desk.locked, desk.store)
    assert desk.made == 1


def test_other_parts_make_another(desk: Desk) -> None:
    desk.get()
    desk.locked = replace(desk.locked, wheels=desk.locked.wheels[::-1])
    desk.get()
    assert desk.made == 2


def test_another_installer_makes_another(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.get()
    monkeypatch.setattr(bundler.payloads, "installer_sources", lambda: {"installer/cli.py": b"newer"})
    desk.get()
    assert desk.made == 2


@pytest.mark.parametrize("record", [b"", b"sha256:0 2.17\n", b"\xff" * 5000, b"sha256:" + b"0" * 64 + b" 2.17\n"])
def test_a_record_that_is_damaged_or_leads_nowhere_is_made_again(desk: Desk, record: bytes) -> None:
    first = desk.get()
    (path,) = desk.folder.iterdir()
    path.write_bytes(record)
    assert desk.get() == first
    assert desk.get() == first
    assert desk.made == 2


def test_an_archive_that_the_store_lost_is_made_again(desk: Desk) -> None:
    first = desk.get()
    (path,) = desk.folder.iterdir()
    desk.store.path(Digest(path.read_text().split()[0])).unlink()
    assert desk.get() == first
    assert desk.made == 2

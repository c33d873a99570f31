"""The installer's wheels through the real pip, from a folder instead of an index."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from bundler.errors import IntegrityError, OperatorError, SourceError
from bundler.lockfile import LockedRuntime, LockedWheel
from bundler.sources.wheels import fetch_wheels
from bundler.store import Store
from installer.bundle.digest import Digest
from installer.bundle.platform import Platform

WHEELS = ("plain-1.0-py3-none-any.whl", "native-2.0-cp314-cp314-manylinux2014_aarch64.whl")


def _make_wheel(folder: Path, filename: str) -> Digest:
    name, version, tag = filename.removesuffix(".whl").split("-", 2)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / filename, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return Digest.of((folder / filename).read_bytes())


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LockedWheel, ...]:
    """Wheels in a folder that is all pip may look at."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return tuple(
        LockedWheel(filename.split("-")[0], filename.split("-")[1], filename, _make_wheel(folder, filename))
        for filename in WHEELS
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _runtime(*wheels: LockedWheel) -> LockedRuntime:
    digest = Digest.of(b"python")
    return LockedRuntime("catalogue", Platform("linux/arm64"), "3.14.7", "https://x.invalid/", digest, 6, wheels)


def test_fetches_wheels_for_another_python_and_machine(wheels: tuple[LockedWheel, ...], store: Store) -> None:
    fetch_wheels(_runtime(*wheels), store)
    assert all(store.has(wheel.digest) for wheel in wheels)


def test_asks_nobody_when_the_store_has_them(
    wheels: tuple[LockedWheel, ...], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_wheels(_runtime(*wheels), store)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    fetch_wheels(_runtime(*wheels), store)


def test_another_hash_is_an_integrity_error(wheels: tuple[LockedWheel, ...], store: Store) -> None:
    plain = wheels[0]
    other = LockedWheel(plain.name, plain.version, plain.filename, Digest.of(b"other"))
    with pytest.raises(IntegrityError, match="other bytes") as caught:
        fetch_wheels(_runtime(other), store)
    assert "plain 1.0" in str(caught.value.where)
    assert not store.has(plain.digest)


def test_a_version_that_is_nowhere_is_told(wheels: tuple[LockedWheel, ...], store: Store) -> None:
    gone = LockedWheel("plain", "9.9", "plain-9.9-py3-none-any.whl", Digest.of(b"x"))
    with pytest.raises(SourceError, match="pip cannot fetch") as caught:
        fetch_wheels(_runtime(gone), store)
    assert "9.9" in str(caught.value.got)


def test_a_python_without_pip_is_told_what_to_do(
    wheels: tuple[LockedWheel, ...], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(OperatorError, match="need pip") as caught:
        fetch_wheels(_runtime(*wheels), store)
    assert "--runtime host" in str(caught.value.next_step)

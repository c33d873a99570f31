"""The runtime archive: pruned, put together the same way each time, and nothing that leads out of it."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from bundler import elf
from bundler.errors import FormatError, InputError
from bundler.launcher import install_bytes
from bundler.lockfile import LockedRuntime, LockedWheel
from bundler.runtime import (
    Entry,
    Payload,
    Tree,
    archive_bytes,
    installer_sources,
    lock_archive,
    payload,
    pruned,
    read_archive,
    unused,
)
from installer.bundle.digest import Digest
from tests.fakes.images import AMD64, ARM64, FakeStore

LIBRARY = "python/lib/python3.14"


def python_tree() -> Tree:
    """The shape of a python-build-standalone archive, links and dead weight included."""
    return {
        "python/bin/python3.14": Entry(b"\x7fELF program", executable=True, mtime_seconds=1_700_000_000),
        "python/bin/python3": Entry(b"", link="python3.14"),
        "python/bin/pip3": Entry(b"#!", executable=True),
        "python/bin/idle3": Entry(b"", link="idle3.14"),
        "python/include/python3.14/Python.h": Entry(b"h" * 1000),
        "python/lib/libpython3.14.so.1.0": Entry(b"\x7fELF library"),
        "python/lib/libpython3.14.so": Entry(b"", link="libpython3.14.so.1.0"),
        "python/lib/tcl9.0/init.tcl": Entry(b"tcl"),
        f"{LIBRARY}/os.py": Entry(b"os"),
        f"{LIBRARY}/test/test_os.py": Entry(b"test"),
        f"{LIBRARY}/site-packages/pip/__init__.py": Entry(b"pip"),
        f"{LIBRARY}/lib-dynload/_tkinter.cpython-314-x86_64-linux-gnu.so": Entry(b"\x7fELF"),
        f"{LIBRARY}/email/message.py": Entry(b"email"),
    }


def wheel(name: str, **more: bytes) -> bytes:
    """A wheel with a package of that name, and a script that nothing uses."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"name = {name!r}\n")
        archive.writestr(f"{name}-1.data/scripts/{name}", "#!")
        for path, content in more.items():
            archive.writestr(path.replace("__", "/"), content)
    return out.getvalue()


def _locked(store: FakeStore, archive: bytes, kind: str = "catalogue") -> LockedRuntime:
    wheels = tuple(
        LockedWheel(name, "1", f"{name}-1-py3-none-any.whl", store.add(wheel(name)))
        for name in ("click", "yaml", "zstandard", "tqdm")
    )
    return LockedRuntime(kind, AMD64, "3.14.7", "origin", store.add(archive), len(archive), wheels)


def test_a_catalogue_runtime_holds_what_the_installer_needs_and_no_more() -> None:
    store = FakeStore()
    made = payload(_locked(store, archive_bytes(python_tree())), store)
    tree = read_archive(made.archive, "made")
    assert tree["python/bin/python3"].link == "python3.14"
    assert tree["python/bin/python3.14"].executable
    assert tree["python/bin/python3.14"].mtime_seconds == 1_700_000_000
    assert tree[f"{LIBRARY}/site-packages/airgap-bundle.pth"].content == b"../../../../lib\n"
    assert {f"lib/{name}" for name in installer_sources()} <= set(tree)
    assert {f"lib/{name}/__init__.py" for name in ("click", "yaml", "zstandard", "tqdm")} <= set(tree)
    gone = ("pip", "idle", "include", "tcl", "/test/", "tkinter", "libpython", ".data")
    assert [name for name in tree for word in gone if word in name] == []
    assert made == payload(_locked(store, archive_bytes(python_tree())), store)


def test_the_interpreter_as_a_library_stays_when_the_program_links_it() -> None:
    tree = python_tree() | {"python/bin/python3.14": Entry(b"\x7fELF needs libpython3.14.so.1.0\0")}
    assert "python/lib/libpython3.14.so.1.0" in pruned(tree)


def test_what_the_installer_imports_is_never_pruned() -> None:
    for name in (
        "json/decoder",
        "email/message",
        "concurrent/futures/thread",
        "hashlib",
        "tarfile",
        "zipfile/__init__",
    ):
        assert not unused(f"{LIBRARY}/{name}.py")
    for name in ("_hashlib", "_ctypes", "zlib", "_struct", "unicodedata", "fcntl"):
        assert not unused(f"{LIBRARY}/lib-dynload/{name}.cpython-314-x86_64-linux-gnu.so")
    for name in (
        "click/core.py",
        "yaml/loader.py",
        "zstandard/backend_c.cpython-314-x86_64-linux-gnu.so",
        "tqdm/std.py",
    ):
        assert not unused(f"lib/{name}")
    assert not [name for name in installer_sources() if unused(f"lib/{name}")]


def test_a_users_archive_gets_this_installer() -> None:
    store = FakeStore()
    tree = {
        name: entry for name, entry in read_archive(archive_bytes(python_tree()), "x").items() if not unused(name)
    } | {f"lib/{name}/__init__.py": Entry(b"") for name in ("click", "yaml", "zstandard", "tqdm")}
    tree["lib/installer/old.py"] = Entry(b"old")
    archive = archive_bytes(tree)
    locked = lock_archive(archive, "file", AMD64, origin="mine.tar.gz", python="3.14.7", keep=store.add)
    assert (locked.digest, locked.size_bytes) == (Digest.of(archive), len(archive))
    found = read_archive(payload(locked, store).archive, "made")
    assert "lib/installer/old.py" not in found
    assert found["lib/installer/__init__.py"].content == installer_sources()["installer/__init__.py"]


def test_an_incomplete_archive_is_refused_before_anything_is_built() -> None:
    with pytest.raises(InputError) as caught:
        lock_archive(archive_bytes(python_tree()), "file", AMD64, origin="mine", python="3", keep=Digest.of)
    assert "lib/click/__init__.py" in (caught.value.got or "")


def _tar(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in members:
            archive.addfile(member)
    return gzip.compress(out.getvalue())


def _member(name: str, link: str = "", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.linkname, member.type = link, kind
    return member


@pytest.mark.parametrize(
    "archive",
    [
        _tar(_member("../evil")),
        _tar(_member("/evil")),
        _tar(_member("python/../../evil")),
        _tar(_member("python/bin/python3", "/bin/sh", tarfile.SYMTYPE)),
        _tar(_member("python/bin/python3", "../../../bin/sh", tarfile.SYMTYPE)),
        _tar(_member("python/bin/python3", "absent", tarfile.LNKTYPE)),
        b"no archive",
        gzip.compress(b"no tar" * 1000),
        _tar(_member("python/bin/python3"))[:-10],
    ],
    ids=["up", "absolute", "up inside", "link out", "link up", "hard link", "no gzip", "no tar", "cut"],
)
def test_archives_that_lead_out_or_are_none_are_refused(archive: bytes) -> None:
    with pytest.raises(FormatError):
        read_archive(archive, "archive.tar.gz")


def test_a_wheel_that_leads_out_is_refused() -> None:
    store = FakeStore()
    evil = store.add(wheel("click", **{"..__..__evil.py": b"x"}))
    archive = store.add(archive_bytes(python_tree()))
    wheels = (LockedWheel("click", "1", "click-1-py3-none-any.whl", evil),)
    with pytest.raises(FormatError):
        payload(LockedRuntime("catalogue", AMD64, "3.14.7", "origin", archive, 1, wheels), store)


def test_an_archive_is_a_function_of_its_files() -> None:
    tree = python_tree()
    backwards = dict(reversed(tree.items()))
    assert archive_bytes(tree) == archive_bytes(backwards)
    assert read_archive(archive_bytes(tree), "x") == tree


def test_glibc_is_the_newest_any_program_names() -> None:
    magic = b"\x7fELF\x02\x01"
    contents = [magic + b"\0GLIBC_2.4\0GLIBC_2.34\0", magic + b"\0GLIBC_2.9\0", b"text GLIBC_2.99"]
    assert elf.glibc_needed(contents) == "2.34"
    assert elf.glibc_needed([b"script"]) == "2.17"


def test_the_launcher_says_where_each_payload_is() -> None:
    payloads = [Payload(ARM64, b"arm" * 1000, "2.17"), Payload(AMD64, b"amd" * 999, "2.36")]
    install = install_bytes(payloads)
    assert install == install_bytes(list(reversed(payloads)))
    assert install.startswith(b"#!/bin/sh\n")
    table = install.split(b"payloads='\n")[1].split(b"\n'")[0].decode().splitlines()
    assert [line.split()[0] for line in table] == ["amd64", "arm64"]
    for line, expected in zip(table, reversed(payloads), strict=True):
        _, offset, size, unpacked, digest, glibc = line.split()
        assert unpacked == "0", "no archive"
        content = install[int(offset) - 1 : int(offset) - 1 + int(size)]
        assert content == expected.archive
        assert Digest.of(content).hex == digest
        assert glibc == expected.glibc

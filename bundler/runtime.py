"""The installer's runtime: an archive with ``python/`` (the interpreter) and ``lib/`` (the installer and its wheels).

Three kinds. ``catalogue``: a python-build-standalone archive and wheels, all by digest, pruned and put together here.
``file``: an archive the user gave in the shape written here, with this version's installer put in. ``host``: made from
the running interpreter (:mod:`bundler.host_python`) when the release is resolved, and used as it is.
The same inputs give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import installer.bundle
from bundler import elf
from bundler.errors import FormatError, InputError
from bundler.lockfile import LockedRuntime
from installer.bundle.digest import Digest
from installer.bundle.pack import BlobSource
from installer.bundle.platform import Platform

INSTALLER = Path(installer.bundle.__file__).parents[1]
"""The installer package that goes into every runtime: the one of this version."""
PYTHON = "python/bin/python3"
DEPENDENCIES = {"click": "click", "yaml": "pyyaml", "zstandard": "zstandard", "tqdm": "tqdm"}
"""The packages the installer imports, and the distributions they come from."""
MAXIMUM_BYTES = 512 * 1024 * 1024
_BLOCK_BYTES = 4096
_FIXED_SECONDS = 315_532_800
"""1980-01-01, the oldest time that zip archives and every file system can hold."""
_PATH_FILE = b"../../../../lib\n"
_LIBRARY = re.compile(r"python/lib/[^/]+/os\.pyc?")
_UNUSED = re.compile(
    r"""python/(?:include|share)/ | \.(?:a|o)$ | /libpython[^/]*\.so[^/]*$ | /(?:test|tests|idlelib|tkinter|turtledemo)/
    | /(?:ensurepip|lib2to3|pydoc_data|site-packages|dist-packages|config-[^/]*|sqlite3|curses|dbm|venv|unittest)/
    | /(?:lib|itcl|thread|tcl|tk)[0-9.]+/ | python/lib/(?:pkgconfig|terminfo|[^/]*(?:tcl|tk|itcl)[^/]*) | /__phello__/
    | /(?:turtle|pydoc|doctest|antigravity|this|_pydecimal|backend_cffi)\.pyc?$ | \.opt-[12]\.pyc$ | \.exe$
    | /lib-dynload/(?:_?test|_?xx|_ctypes_test|_sqlite3|_ssl|_tkinter|_curses|readline|_dbm|_gdbm|nis|ossaudiodev)
    | /lib-dynload/(?:_codecs_|_multibytecodec|_bz2|_lzma|_uuid|audioop|_crypt|_elementtree|pyexpat|_dbm|_zstd)
    | /(?:_test[^/]*|zstandard/_cffi[^/]*|yaml/_yaml[^/]*)\.so$ | /bin/(?!python3(?:\.\d+)?$)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Entry:
    """A file of the archive, or a symbolic link where ``link`` is set."""

    content: bytes
    executable: bool = False
    link: str | None = None
    mtime_seconds: int = _FIXED_SECONDS


Tree = dict[str, Entry]
"""An archive's files by path."""


@dataclass(frozen=True)
class Payload:
    """A finished runtime: its archive, for which machines, and the oldest glibc it runs with."""

    platform: Platform
    archive: bytes
    glibc: str


def payload(locked: LockedRuntime, blobs: BlobSource) -> Payload:
    """The runtime that ``locked`` describes, from verified blobs."""
    archive = _read(blobs, locked.digest)
    tree = read_archive(archive, locked.origin)
    if locked.kind == "host":
        return Payload(locked.platform, archive, _glibc(tree))
    if locked.kind == "catalogue":
        tree = pruned({name: entry for name, entry in tree.items() if name.startswith("python/")})
        for wheel in locked.wheels:
            tree |= wheel_tree(_read(blobs, wheel.digest), wheel.filename)
    tree = with_installer(tree)
    _demand_shape(tree, locked.origin)
    return Payload(locked.platform, archive_bytes(tree), _glibc(tree))


def lock_archive(
    archive: bytes, kind: str, platform: Platform, *, origin: str, python: str, keep: Callable[[bytes], Digest]
) -> LockedRuntime:
    """The lock's record of a ``file`` or ``host`` runtime; ``keep`` puts the archive into the store."""
    _demand_shape(with_installer(read_archive(archive, origin)), origin)
    return LockedRuntime(kind, platform, python, origin, keep(archive), len(archive))


def unused(name: str) -> bool:
    """Whether a path of the archive is something that the installer can never import."""
    return bool(_UNUSED.search(name))


def pruned(tree: Tree) -> Tree:
    """The tree without what the installer can never import, links to what is gone included."""
    programs = [entry.content for name, entry in tree.items() if name.startswith("python/bin/")]

    def linked(name: str) -> bool:
        """Whether it is the interpreter as a library and a program is built upon it."""
        base = PurePosixPath(name).name.encode()
        return base.startswith(b"libpython") and any(base in content for content in programs)

    kept = {name: entry for name, entry in tree.items() if not unused(name) or linked(name)}
    return {
        name: entry
        for name, entry in kept.items()
        if entry.link is None or str(PurePosixPath(name).parent / entry.link) in kept
    }


def with_installer(tree: Tree) -> Tree:
    """The tree with this version's installer package, and with ``lib/`` on the interpreter's path."""
    out = {name: entry for name, entry in tree.items() if not name.startswith("lib/installer/")}
    for name, content in installer_sources().items():
        out[f"lib/{name}"] = Entry(content)
    # A path file works with -I, which ignores PYTHONPATH; where the interpreter looks for them depends on who built it.
    libraries = {str(PurePosixPath(name).parent) for name in tree if _LIBRARY.fullmatch(name)}
    for folder in sorted(libraries):
        for site in ("site-packages", "dist-packages"):
            out[f"{folder}/{site}/airgap-bundle.pth"] = Entry(_PATH_FILE)
    return out


def installer_sources() -> dict[str, bytes]:
    """The installer package's modules by path, ``installer/cli.py``."""
    return {
        str(path.relative_to(INSTALLER.parent)): path.read_bytes()
        for path in sorted(INSTALLER.rglob("*"))
        if path.is_file() and path.suffix in {".py", ".typed"}
    }


def wheel_tree(wheel: bytes, filename: str) -> Tree:
    """A wheel's packages under ``lib/``; its scripts and data, which nothing uses, are left out."""
    tree: Tree = {}
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            for item in archive.infolist():
                if item.is_dir() or ".data/" in item.filename:
                    continue
                _demand_inside(item.filename, filename)
                tree[f"lib/{item.filename}"] = Entry(archive.read(item))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _unreadable(filename, "a wheel", str(error)) from None
    return {name: entry for name, entry in tree.items() if not unused(name)}


def read_archive(archive: bytes, origin: str) -> Tree:
    """The files of a tar.gz; names and links that lead out of it are refused."""
    tree: Tree = {}
    hard_links: dict[str, str] = {}
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(archive)) as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
        if len(content) > MAXIMUM_BYTES:
            raise _unreadable(origin, f"at most {MAXIMUM_BYTES} bytes unpacked", "more")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                _demand_inside(name, origin)
                if member.isreg() and (data := tar.extractfile(member)):
                    tree[name] = Entry(data.read(), bool(member.mode & 0o100), None, int(member.mtime))
                elif member.issym():
                    _demand_inside(str(PurePosixPath(name).parent / member.linkname), origin)
                    tree[name] = Entry(b"", link=member.linkname, mtime_seconds=int(member.mtime))
                elif member.islnk():
                    hard_links[name] = member.linkname.removeprefix("./")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _unreadable(origin, "a tar archive in gzip", str(error)) from None
    for name, target in hard_links.items():
        if target not in tree:
            raise _unreadable(origin, "hard links to files before them", f"{name} -> {target}")
        tree[name] = replace(tree[target])
    return tree


def archive_bytes(tree: Tree) -> bytes:
    """The tree as a tar.gz: sorted, owner 0, no names, nothing of this machine or moment."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=6, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name in sorted(tree):
            entry = tree[name]
            member = tarfile.TarInfo(name)
            member.mtime = entry.mtime_seconds
            member.mode = 0o755 if entry.executable or entry.link else 0o644
            if entry.link:
                member.type, member.linkname = tarfile.SYMTYPE, entry.link
            member.size = len(entry.content)
            tar.addfile(member, io.BytesIO(entry.content))
    return out.getvalue()


def unpacked_kib(archive: bytes) -> int:
    """What an archive's files and folders take on a disk, in KiB: whole blocks of 4 KiB, as file systems have them."""
    folders: set[PurePosixPath] = set()
    blocks = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                folders.update(PurePosixPath(member.name).parents)
                blocks += -(-member.size // _BLOCK_BYTES)
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return 0  # no archive of ours; what starts from it says so
    return (blocks + len(folders)) * _BLOCK_BYTES // 1024


def _read(blobs: BlobSource, digest: Digest) -> bytes:
    with blobs.open(digest) as reader:
        content = b"".join(iter(lambda: reader.read(1024 * 1024), b""))
    if len(content) > MAXIMUM_BYTES:
        raise _unreadable(digest, f"at most {MAXIMUM_BYTES} bytes", f"{len(content)} bytes")
    return content


def _glibc(tree: Tree) -> str:
    return elf.glibc_needed(entry.content for entry in tree.values())


def _demand_shape(tree: Tree, origin: str) -> None:
    wanted = [PYTHON, *(f"lib/{name}/__init__.py" for name in ("installer", *DEPENDENCIES))]
    missing = [name for name in wanted if name not in tree]
    if missing:
        raise InputError(
            "the runtime archive is not complete",
            where=origin,
            wanted=f"{PYTHON}, and under lib/ {', '.join(DEPENDENCIES)}",
            got=f"no {', '.join(missing)}",
            next_step="give an archive that --runtime host made on such a machine, or use --runtime catalogue",
        )


def _demand_inside(name: str, origin: str) -> None:
    depth = 0
    for part in name.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            break
    if depth < 0 or name.startswith("/") or "\0" in name:
        raise _unreadable(origin, "paths inside the archive", name)


def _unreadable(where: str, wanted: str, got: str) -> FormatError:
    return FormatError(
        "an archive for the runtime cannot be used", where=where, wanted=wanted, got=got[:200], next_step="get it again"
    )

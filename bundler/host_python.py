"""A runtime made from the running interpreter: what the installer needs of it, and nothing else of this machine.

The program, its standard library as byte code, the extension modules, and every shared library they link except
glibc's own. ``python/bin/python3`` is a shell script that starts the program through the node's loader with those
libraries first; unlike an environment variable, that does not reach the programs the installer starts.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pickle
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path, PurePosixPath

from bundler import elf
from bundler.errors import InputError, OperatorError
from bundler.runtime import DEPENDENCIES, PYTHON, Entry, Tree, archive_bytes, unused, with_installer
from installer.bundle.platform import Platform, platform_of_machine

_LIBRARY = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LICENCE = re.compile(r"\.dist-info/(?:METADATA$|licenses/|(?:LICEN[SC]E|COPYING|NOTICE)[^/]*$)")
_STARTER = """#!/bin/sh
case $0 in */*) here=${{0%/*}} ;; *) here=. ;; esac
exec {loader} --library-path "$here/../shared" "$here/python3.bin" "$@"
"""
_COMPILER = """
import pickle, sys
from importlib._bootstrap_external import _code_to_hash_pyc
from importlib.util import source_hash
sources = pickle.load(sys.stdin.buffer)
codes = {}
for name, source in sources.items():
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    codes[name] = bytes(_code_to_hash_pyc(code, source_hash(source), checked=False))
pickle.dump(codes, sys.stdout.buffer)
"""


def host_platform() -> Platform | None:
    """The platform this process runs on, if it is one that bundles are made for."""
    return platform_of_machine(platform.machine())


def host_origin() -> str:
    """What the lock says of such a runtime's origin."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def host_archive(wanted: Platform) -> bytes:
    """The runtime archive of the running interpreter; :class:`InputError` unless it runs on ``wanted``."""
    if host_platform() != wanted or platform.libc_ver()[0] != "glibc":
        raise InputError(
            "this machine's interpreter cannot be packed for that platform",
            where="--runtime host",
            wanted=f"{wanted} with glibc",
            got=f"{platform.system().lower()}/{platform.machine()} {' '.join(platform.libc_ver())}".strip(),
            next_step="use --runtime catalogue, or --runtime FILE with an archive made on such a machine",
        )
    binary = _binary()
    files = _standard_library() | _dependencies()
    tree: Tree = {name: Entry(_lean(path.read_bytes())) for name, path in files.items()}
    linked = [binary, *(path for path in files.values() if path.suffix == ".so")]
    for name, path in elf.shared_libraries(linked).items():
        tree[f"python/shared/{name}"] = Entry(_lean(path.read_bytes()), executable=True)
    content = binary.read_bytes()
    starter = _STARTER.format(loader=elf.loader(content) or "")
    tree[f"{PYTHON}.bin"] = Entry(_lean(content), executable=True)
    tree[PYTHON] = Entry(starter.encode("ascii"), executable=True)
    return archive_bytes(_compiled(with_installer(tree)))


def _binary() -> Path:
    """The interpreter's program itself, behind virtual environments, links and version switchers."""
    return Path(os.path.realpath("/proc/self/exe"))


def _standard_library() -> dict[str, Path]:
    """Every file of the standard library by its path in the archive."""
    return _files_below(Path(sysconfig.get_path("stdlib")), f"python/lib/{_LIBRARY}")


def _dependencies() -> dict[str, Path]:
    """The installer's packages as this interpreter has them, with their licences."""
    found: dict[str, Path] = {}
    for package, distribution in DEPENDENCIES.items():
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                "the running interpreter lacks what the installer needs",
                where=sys.executable,
                wanted=distribution,
                got="no such package",
                next_step=f"pip install {distribution}",
            )
        found |= _files_below(Path(spec.submodule_search_locations[0]), f"lib/{package}")
        for item in importlib.metadata.files(distribution) or ():
            if _LICENCE.search(str(item)):
                found[f"lib/{item}"] = Path(str(item.locate()))
    return found


def _files_below(root: Path, prefix: str) -> dict[str, Path]:
    """What the installer can use of the files below ``root``, by their path in the archive, below ``prefix``.

    Folders of no use are not entered: a standard library holds ``site-packages``, and that may be large.
    """
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        inside = (PurePosixPath(prefix) / Path(folder).relative_to(root)).as_posix()
        folders[:] = (name for name in folders if not unused(f"{inside}/{name}/"))
        for name in names:
            path = Path(folder, name)
            if path.suffix != ".pyc" and not unused(f"{inside}/{name}") and path.is_file():
                found[f"{inside}/{name}"] = path
    return found


def _lean(content: bytes) -> bytes:
    return elf.stripped(content) if elf.is_elf(content) else content


def _compiled(tree: Tree) -> Tree:
    """The tree with byte code that is never checked against its source, for a quick start.

    The standard library keeps no source. A fixed hash seed and a process of its own make the byte code reproducible.
    """
    sources = {name: entry.content for name, entry in tree.items() if name.endswith(".py")}
    command = [sys.executable, "-s", "-S", "-P", "-B", "-c", _COMPILER]
    environment = elf.plain_environment() | {"PYTHONHASHSEED": "0"}
    result = subprocess.run(
        command, input=pickle.dumps(sources), capture_output=True, check=False, env=environment, timeout=300
    )
    if result.returncode:
        raise OperatorError(
            "the runtime's modules do not compile",
            where=sys.executable,
            got=result.stderr.decode(errors="replace")[-500:],
            next_step="use --runtime catalogue",
        )
    out = dict(tree)
    for name, code in pickle.loads(result.stdout).items():  # noqa: S301 - the answer of our own process
        if name.startswith("python/"):
            del out[name]
            out[f"{name}c"] = Entry(code)
        else:
            out[importlib.util.cache_from_source(name)] = Entry(code)
    return out

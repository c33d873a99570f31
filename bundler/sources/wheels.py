"""The installer's pinned wheels for the catalogue runtime, through the ordinary ``pip download``.

pip is asked for a package by name and version with exactly one acceptable hash, so the user's own pip settings
(a site's package mirror, a proxy) apply and still decide nothing about the bytes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bundler.errors import IntegrityError, OperatorError, SourceError
from bundler.lockfile import LockedRuntime, LockedWheel
from bundler.store import Store

_TIMEOUT_SECONDS = 900
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_MANYLINUX = ("manylinux_2_17", "manylinux2014", "manylinux_2_28", "manylinux_2_5", "manylinux1")


def fetch_wheels(runtime: LockedRuntime, store: Store, ca_file: Path | None = None) -> None:
    """Brings the wheels of ``runtime`` that the store lacks into it.

    Raises :class:`SourceError` when pip cannot get them and :class:`IntegrityError` when a hash differs.
    """
    missing = [wheel for wheel in runtime.wheels if not store.has(wheel.digest)]
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="airgap-bundle-") as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(
            "".join(f"{wheel.name}=={wheel.version} --hash={wheel.digest}\n" for wheel in missing), encoding="utf-8"
        )
        _run_pip(pip_arguments(runtime, requirements, folder, ca_file), missing)
        for wheel in missing:
            store.add_file(_only_file(folder, wheel), wheel.digest)


def pip_arguments(runtime: LockedRuntime, requirements: Path, folder: Path, ca_file: Path | None) -> list[str]:
    """The command that downloads wheels for the runtime's Python and platform, whatever this machine is."""
    major, minor = runtime.python.split(".")[:2]
    machine = _MACHINES[runtime.platform.architecture]
    return [
        *(sys.executable, "-P"),
        *("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--implementation", "cp", "--python-version", f"{major}.{minor}"),
        *("--abi", f"cp{major}{minor}", "--abi", "abi3", "--abi", "none"),
        *(part for name in _MANYLINUX for part in ("--platform", f"{name}_{machine}")),
        *(("--cert", str(ca_file)) if ca_file else ()),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]


def _run_pip(argv: Sequence[str], wheels: Sequence[LockedWheel]) -> None:
    names = ", ".join(f"{wheel.name} {wheel.version}" for wheel in wheels)
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SourceError("pip did not end in time", temporary=True, where=names) from None
    if done.returncode == 0:
        return
    told = "\n".join(done.stderr.strip().splitlines()[-5:])
    if "No module named pip" in done.stderr:
        raise OperatorError(
            "the installer's wheels need pip, and this Python has none",
            where=sys.executable,
            wanted=names,
            got=told,
            next_step="install it (Debian: apt install python3-pip), or build with --runtime host or --runtime FILE",
        )
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise IntegrityError("a wheel has other bytes than its checksum says", where=names, got=told)
    raise SourceError(
        "pip cannot fetch the installer's wheels",
        temporary=True,
        where=names,
        got=told,
        next_step="check the network and pip's own settings, or build with --runtime host or --runtime FILE",
    )


def _only_file(folder: Path, wheel: LockedWheel) -> Path:
    path = folder / wheel.filename
    if path.name != wheel.filename or not path.is_file():
        there = ", ".join(sorted(item.name for item in folder.glob("*.whl"))) or "no wheel"
        raise IntegrityError("pip fetched another wheel", where=wheel.name, wanted=wheel.filename, got=there)
    return path

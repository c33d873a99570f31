"""Programs and libraries from Debian packages, of this machine's release unless said otherwise, not installed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests.lab.cache import cached, key_of
from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.progress import timed

_HINT = "apt-get update"


def candidates(packages: Sequence[str], apt: Sequence[str] = ()) -> dict[str, str]:
    """The version apt would install of each package; ``apt`` are further options of apt's own."""
    found: dict[str, str] = {}
    name = ""
    for line in run(["apt-cache", *apt, "policy", *packages], hint=_HINT).splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif (match := re.fullmatch(r"  Candidate: (\S+)", line)) and match[1] != "(none)":
            found[name] = match[1]
    missing = [package for package in packages if package not in found]
    if missing:
        raise LabError("apt does not know these packages", where=" ".join(missing), next_step=_HINT)
    return found


def upstream_version(debian_version: str) -> str:
    """The version upstream gave it: ``1.6.20`` of ``1.6.20~ds1-1+deb12u3``."""
    return re.split(r"[-+~]", debian_version.partition(":")[2] or debian_version)[0]


def unpacked(packages: Sequence[str], apt: Sequence[str] = ()) -> Path:
    """A folder with the contents of ``packages`` laid over each other."""
    wanted = [f"{name}={version}" for name, version in sorted(candidates(packages, apt).items())]
    return cached("debian", key_of(*wanted), lambda out: _unpack(wanted, out, apt))


def _unpack(wanted: Sequence[str], out: Path, apt: Sequence[str]) -> None:
    downloads = out / ".downloads"
    downloads.mkdir()
    as_root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    with timed("download", f"{len(wanted)} Debian packages"):
        run(["apt-get", *apt, "download", "--quiet", *as_root, *wanted], cwd=downloads, hint=_HINT)
    for package in sorted(downloads.glob("*.deb")):
        run(["dpkg", "-x", str(package), str(out)])
        package.unlink()
    downloads.rmdir()

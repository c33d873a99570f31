"""Packages of other Debian releases than this machine's, by an apt state of the lab's own.

Where they come from is derived from the sources this machine's apt already has: the same servers, another release.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cache import cache_root, locked
from tests.lab.commands import run
from tests.lab.debian import unpacked
from tests.lab.errors import LabError
from tests.lab.progress import timed

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FRESH_SECONDS = 24 * 3600
_HINT = "apt-get update, and look whether the mirror has this release"


@dataclass(frozen=True)
class AptSource:
    """One source of packages that apt knows: a release (``bookworm-updates``), a component, and where."""

    release: str
    component: str
    uri: str

    @property
    def entry(self) -> str:
        """The source as a line of ``sources.list``."""
        return f"deb {self.uri} {self.release} {self.component}"


def debian_sources() -> list[AptSource]:
    """Every Debian source this machine's apt has."""
    line = "$(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)"
    rows = run(["apt-get", "indextargets", "--format", line, "Created-By: Packages"]).splitlines()
    return [AptSource(*row.split()[1:]) for row in rows if len(row.split()) == 4 and row.startswith("Debian ")]


def unpacked_from(release: str, *packages: str) -> Path:
    """A folder with the contents of ``packages`` as ``release`` (``trixie``) has them; :class:`LabError` if not."""
    sources = [source for source in debian_sources() if "-" not in source.release]
    if any(source.release == release for source in sources):
        return unpacked(packages)
    return unpacked(packages, _apt_of(release, sorted({source.uri for source in sources})))


def _apt_of(release: str, uris: list[str]) -> list[str]:
    """Options that make apt see ``release`` alone; its package lists are fetched when a day old."""
    state = cache_root() / "apt" / release
    for folder in ("lists/partial", "archives/partial", "none"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    (state / "sources.list").write_text("".join(f"deb {signed}{uri} {release} main\n" for uri in uris))
    settings = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": state / "none",
        "Dir::Etc::preferencesparts": state / "none",
        "Acquire::Languages": "none",
    }
    if os.geteuid() == 0:
        settings["APT::Sandbox::User"] = Path("root")
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    with locked(state / "lock"):
        _refresh(release, state / "fetched", options)
    return options


def _refresh(release: str, stamp: Path, options: list[str]) -> None:
    """Fetches the package lists; without a network, older ones that are there still serve."""
    if stamp.exists() and time.time() - stamp.stat().st_mtime < _FRESH_SECONDS:
        return
    try:
        with timed("apt", f"package lists of Debian {release}"):
            run(["apt-get", *options, "-o", "APT::Update::Error-Mode=any", "update"], hint=_HINT)
    except LabError:
        if not stamp.exists():
            raise
    stamp.touch()

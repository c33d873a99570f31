"""What every test on machines does around them: build the media set, try once more when it fails, keep the evidence."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from installer.errors import OperatorError
from tests.lab.accelerator import prepare
from tests.lab.builds import build
from tests.lab.machine import media_disk
from tests.lab.phases import Phases
from tests.lab.rootfs import node_root
from tests.lab.upstream import serving

ATTEMPTS = 2
KUBERNETES = "1.30"


def built(
    phases: Phases,
    config: pytest.Config,
    folder: Path,
    cni: str,
    *,
    addons: Iterable[str] = (),
    files: Iterable[Path] = (),
    layers: str = "registry",
) -> Path:
    """The media set with the pod network ``cni``, ``addons`` and those in ``files``, from the options' profile.

    ``layers`` is how they are held.
    """
    profile: str = config.getoption("--profile")
    if (profile, cni) == ("real", "flannel"):
        profile = "real-flannel"
    binaries: str | None = config.getoption("--binaries")
    with ExitStack() as stack:
        with phases.phase(f"Serve the {profile} upstream (the first time, this compiles Kubernetes)") as phase:
            upstream = stack.enter_context(
                serving(profile, folder / "upstream", binaries=Path(binaries) if binaries else None)
            )
            phase.say(upstream.files or "the true upstreams")
        with phases.phase("Build the bundle and verify it") as phase:
            runtime = "catalogue" if profile == "internet" else "host"
            options = ["--k8s", KUBERNETES, "--cni", cni, "--runtime", runtime, "--layers", layers]
            options += [word for addon in addons for word in ("--addon", addon)]
            options += [word for file in files for word in ("--addon-file", str(file))]
            options += ["--mirror", str(upstream.mirror), "--catalog", str(upstream.catalog)]
            return build(options, folder / "dist", phase.say)


def disk_and_root(phases: Phases, media: Path, folder: Path) -> Path:
    """A disk in ``folder`` that holds ``media``; and what the machines start from, made now and not on their time."""
    with phases.phase("Put the media set on a disk; make a bare Debian for the nodes"):
        disk = media_disk(media, folder / "media.img")
        prepare()
        node_root()
        return disk


def attempt(evidence: Path, travel: Callable[[Path], None]) -> None:
    """``travel`` on fresh machines, twice at most; the evidence of each attempt has its own folder."""
    for number in range(1, ATTEMPTS + 1):
        folder = evidence / f"attempt-{number}"
        folder.mkdir(parents=True)
        try:
            travel(folder)
        except Exception as error:
            why = "\n".join(error.lines()) if isinstance(error, OperatorError) else traceback.format_exc()
            (folder / "failure").write_text(f"{why}\n")
            print(f"\nattempt {number} failed; its logs are in {folder}\n{why}", flush=True)
            if number == ATTEMPTS:
                raise
        else:
            if number > 1:
                print(f"\nflaky: attempt {number} passed after {number - 1} failed; see {evidence}")
            return

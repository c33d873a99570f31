"""What ``resolve`` asks of the outside, answered by the upstreams, the store, and the release's own kubeadm."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bundler.errors import FormatError, OperatorError
from bundler.lockfile import LockedRuntime
from bundler.sources.download import Download, Wanted
from bundler.sources.registry import ResolvedImage
from bundler.sources.upstreams import Upstreams
from installer.bundle.digest import Digest
from installer.bundle.platform import Platform, platform_of_machine
from installer.bundle.reference import Reference

_KUBEADM_TIMEOUT_SECONDS = 60
_CLEAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class ConnectedLookup:
    """Implements ``resolve.Lookup``; may be asked from several threads. ``make_runtime`` makes the runtimes that are
    not downloaded (kinds ``file`` and ``host``). Without ``fetch_kubeadm``, only a kubeadm in the store is asked."""

    def __init__(
        self,
        upstreams: Upstreams,
        make_runtime: Callable[[str, Platform], LockedRuntime],
        *,
        fetch_kubeadm: bool = True,
    ) -> None:
        self._upstreams = upstreams
        self._make_runtime = make_runtime
        self._fetch_kubeadm = fetch_kubeadm

    def file_size_bytes(self, url: str) -> int:
        """The size of the file with this canonical URL."""
        return self._upstreams.size_bytes(url)

    def image(self, reference: Reference, platforms: tuple[Platform, ...]) -> ResolvedImage:
        """What ``reference`` is now, for exactly these platforms."""
        return self._upstreams.resolve(reference, platforms)

    def kubeadm_images(
        self, url: str, digest: Digest, size_bytes: int, version: str, platform: Platform
    ) -> tuple[Reference, ...] | None:
        """What this kubeadm lists for ``version``; ``None`` where this machine cannot execute it.

        It is fetched and verified first, and runs in an empty environment: with an explicit version it asks nobody.
        """
        machine = os.uname()
        if machine.sysname != "Linux" or platform_of_machine(machine.machine) != platform:
            return None
        store = self._upstreams.store
        if not self._fetch_kubeadm and not store.has(digest, size_bytes):
            return None
        wanted = Wanted(digest, size_bytes, f"kubeadm {version} {platform}")
        Download(self._upstreams.http, store).run(wanted, self._upstreams.file_openings(url))
        # A hardened machine mounts /tmp without exec: the store's own place is the second try.
        for parent in (None, store.root):
            with tempfile.TemporaryDirectory(prefix="kubeadm-", dir=parent) as folder:
                program = Path(folder) / "kubeadm"
                with store.open(digest) as blob, program.open("xb") as copy:
                    shutil.copyfileobj(blob, copy)
                program.chmod(0o700)
                try:
                    done = _run([str(program), "config", "images", "list", "--kubernetes-version", f"v{version}"])
                except OSError:
                    continue
            return _listed(done, f"kubeadm {version} {platform}")
        return None

    def runtime(self, kind: str, platform: Platform) -> LockedRuntime:
        """The runtime of kind ``file`` or ``host`` for ``platform``."""
        return self._make_runtime(kind, platform)


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    folder = str(Path(argv[0]).parent)
    return subprocess.run(
        argv,
        cwd=folder,
        env={"PATH": _CLEAN_PATH, "HOME": folder, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_KUBEADM_TIMEOUT_SECONDS,
        check=False,
    )


def _listed(done: subprocess.CompletedProcess[str], what: str) -> tuple[Reference, ...] | None:
    """The references on stdout, one a line. A program that a signal ended (another CPU's code) could not be run."""
    if done.returncode < 0:
        return None
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    try:
        if done.returncode == 0 and lines:
            return tuple(Reference.parse(line) for line in lines)
    except FormatError:
        pass
    raise OperatorError(
        "kubeadm does not list its images",
        where=f"{what}, kubeadm config images list",
        wanted="exit code 0 and one reference a line",
        got="\n".join([f"exit code {done.returncode}", *(done.stdout + done.stderr).splitlines()[-5:]]),
    )

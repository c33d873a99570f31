"""What ``resolve`` asks of the outside, answered by the upstreams, the store, and the release's own programs.

kubeadm and helm are fetched and verified like every other file and run in an empty environment, in a folder of their
own: they find no cluster, no configuration and no credentials of whoever builds.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.addon_choice import ChosenAddon
from bundler.catalog_types import ReleaseFile
from bundler.charts import MOST_CHART_BYTES, MOST_RENDERED_BYTES, ChartRelease, demand_chart, pack_objects
from bundler.errors import FormatError, InputError, IntegrityError, OperatorError
from bundler.lockfile import LockedRuntime
from bundler.room import write_error
from bundler.sources.download import Download, Wanted
from bundler.sources.registry import ResolvedImage
from bundler.sources.upstreams import Upstreams
from bundler.store_use import PROGRAM_PREFIX
from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.platform import Platform, platform_of_machine
from installer.bundle.reference import Reference

_TIMEOUT_SECONDS = 120
_OTHER_CPU = (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGSYS)
"""How a program made for another CPU or kernel ends."""
_CLEAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class ConnectedLookup:
    """Implements ``resolve.Lookup``; may be asked from several threads. ``make_runtime`` makes the runtimes that are
    not downloaded (kinds ``file`` and ``host``). Without ``fetch_programs``, only a kubeadm or helm that is in the
    store already is asked."""

    def __init__(
        self,
        upstreams: Upstreams,
        make_runtime: Callable[[str, Platform], LockedRuntime],
        *,
        fetch_programs: bool = True,
    ) -> None:
        self._upstreams = upstreams
        self._make_runtime = make_runtime
        self._fetch_programs = fetch_programs

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

        With an explicit version it asks nobody.
        """
        what = f"kubeadm {version} {platform}"
        if not self._have_program(url, digest, size_bytes, platform, what):
            return None

        def ask(folder: Path) -> _Ended | None:
            self._copy(digest, folder / "kubeadm")
            (folder / "kubeadm").chmod(0o700)
            return _run(["./kubeadm", "config", "images", "list", "--kubernetes-version", f"v{version}"], folder, what)

        ended = self._in_a_folder(ask)
        return None if ended is None else _listed(ended, what)

    def chart(self, chosen: ChosenAddon) -> Descriptor:
        """The packed chart of the add-on, kept in the store.

        One that is made of objects is made here, one with a checksum is fetched when the store lacks it, and one
        without is fetched anew and locked as it is now.
        """
        store, version, what = self._upstreams.store, chosen.version, f"chart {chosen}"
        if chosen.addon.objects is not None:
            data = pack_objects(chosen.chart_name, version.version, chosen.addon.objects.text)
            return Descriptor(store.add_bytes(data), len(data), mediatypes.HELM_CHART)
        url, digest = version.source.origin, version.digest
        place = url
        if digest is None:
            data, place = self._upstreams.small_file(url, MOST_CHART_BYTES, what)
            digest = Digest.of(data)
        else:
            size_bytes = store.size_bytes(digest) or self._upstreams.size_bytes(url)
            if size_bytes > MOST_CHART_BYTES:
                raise IntegrityError(
                    "the chart is too large",
                    where=url,
                    wanted=f"at most {MOST_CHART_BYTES} bytes",
                    got=f"{size_bytes} bytes",
                    next_step="check what the chart's URL in the catalogue serves, and the mirror (--mirror)",
                )
            self._fetch(url, digest, size_bytes, what)
            data = store.read_bytes(digest, MOST_CHART_BYTES)
        demand_chart(data, chosen.chart_name, version.version, where=f"{what}, {place}")
        store.add_bytes(data)
        return Descriptor(digest, len(data), mediatypes.HELM_CHART)

    def rendered(self, helm: ReleaseFile, size_bytes: int, chart: Descriptor, release: ChartRelease) -> str | None:
        """What ``helm template`` says of the chart; ``None`` where this machine cannot execute that helm.

        Helm's own tests are left out: an install does not run them.
        """
        what = f"helm {helm.version} {helm.platform}"
        if not self._have_program(helm.url, helm.digest, size_bytes, helm.platform, what):
            return None
        argv = ["./helm", "template", release.name, "chart.tgz", "--namespace", release.namespace]
        argv += ["--values", "values.json", "--kube-version", f"v{release.kubernetes}"]
        argv += ["--include-crds", "--skip-tests"]

        def ask(folder: Path) -> _Ended | None:
            self._copy(chart.digest, folder / "chart.tgz")
            (folder / "values.json").write_text(json.dumps(release.values), encoding="utf-8")
            self._unpack(helm, folder / "helm")
            return _run(argv, folder, what)

        ended = self._in_a_folder(ask)
        return None if ended is None else _rendered(ended, f"chart {release.name}, {what}, helm template")

    def runtime(self, kind: str, platform: Platform) -> LockedRuntime:
        """The runtime of kind ``file`` or ``host`` for ``platform``."""
        return self._make_runtime(kind, platform)

    def _have_program(self, url: str, digest: Digest, size_bytes: int, platform: Platform, what: str) -> bool:
        """Whether this machine may be able to run the program, which is then in the store."""
        machine = os.uname()
        if machine.sysname != "Linux" or platform_of_machine(machine.machine) != platform:
            return False
        if not self._fetch_programs and not self._upstreams.store.has(digest, size_bytes):
            return False
        self._fetch(url, digest, size_bytes, what)
        return True

    def _fetch(self, url: str, digest: Digest, size_bytes: int, what: str) -> None:
        download = Download(self._upstreams.http, self._upstreams.store)
        download.run(Wanted(digest, size_bytes, what), self._upstreams.file_openings(url))

    def _copy(self, digest: Digest, target: Path) -> None:
        with self._upstreams.store.open(digest) as blob, target.open("xb") as copy:
            shutil.copyfileobj(blob, copy)

    def _unpack(self, helm: ReleaseFile, target: Path) -> None:
        """Puts the program out of helm's archive at ``target``."""
        archive = target.with_name("helm.tar.gz")
        self._copy(helm.digest, archive)
        member = next((name for name, path in helm.placement.members.items() if path.endswith("/helm")), "helm")
        try:
            with tarfile.open(archive, "r:gz") as tar, target.open("xb") as copy:
                shutil.copyfileobj(tar.extractfile(member), copy)  # type: ignore[arg-type]
        except (tarfile.TarError, KeyError, EOFError, AttributeError) as error:
            raise IntegrityError(
                "the archive does not hold helm", where=helm.url, wanted=f"the member {member}", got=str(error)[:200]
            ) from None
        archive.unlink()
        target.chmod(0o700)

    def _in_a_folder(self, ask: Callable[[Path], _Ended | None]) -> _Ended | None:
        """What ``ask`` gives in a new folder; ``None`` when its program can be run in none.

        A hardened machine mounts /tmp without exec, and a small one is soon full: the store's own place is the second
        try.
        """
        store = self._upstreams.store.root
        with contextlib.suppress(OSError):
            if (ended := _in_a_folder(None, ask)) is not None:
                return ended
        try:
            return _in_a_folder(store, ask)
        except OSError as error:
            next_step = "make room in TMPDIR, or in the store; or name another store with --store DIR"
            message = "there is no room to run a program of the release"
            raise write_error(message, error, store, needed_bytes=None, next_step=next_step) from None


def _in_a_folder(parent: Path | None, ask: Callable[[Path], _Ended | None]) -> _Ended | None:
    """What ``ask`` gives in a new folder of ``parent``, by itself ``TMPDIR``."""
    with tempfile.TemporaryDirectory(prefix=PROGRAM_PREFIX, dir=parent) as folder:
        return ask(Path(folder))


@dataclass(frozen=True)
class _Ended:
    """A program that ran to its end."""

    code: int
    output: str
    errors: str

    def told(self) -> str:
        """How it ended, for a message: the exit code and its last lines."""
        return "\n".join([f"exit code {self.code}", *(self.output + self.errors).splitlines()[-5:]])


def _run(argv: Sequence[str], folder: Path, what: str) -> _Ended | None:
    """Runs ``argv`` in ``folder`` with nothing of this process's environment; ``None`` when it cannot be executed.

    One that writes without end meets a limit on its files, one that does not end is killed.
    """
    output, errors = folder / ".output", folder / ".errors"
    environment = {"PATH": _CLEAN_PATH, "HOME": str(folder), "LC_ALL": "C"}
    with output.open("xb") as to_output, errors.open("xb") as to_errors:
        try:
            process = subprocess.Popen(
                argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=to_output, stderr=to_errors
            )
        except OSError:
            return None
        with process, contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (MOST_RENDERED_BYTES, MOST_RENDERED_BYTES))
            try:
                process.wait(_TIMEOUT_SECONDS)
            except BaseException as error:
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise _too_slow(argv, what) from None
                raise
    if -process.returncode in _OTHER_CPU:
        return None
    if output.stat().st_size >= MOST_RENDERED_BYTES:
        raise InputError(
            "a program says too much",
            where=f"{what}, {' '.join(argv)}",
            wanted=f"less than {MOST_RENDERED_BYTES} bytes",
            got="more than that",
        )
    read = (path.read_bytes().decode("utf-8", "replace") for path in (output, errors))
    return _Ended(process.returncode, *read)


def _too_slow(argv: Sequence[str], what: str) -> OperatorError:
    return OperatorError(
        "a program does not end",
        where=f"{what}, {' '.join(argv)}",
        wanted=f"an answer in {_TIMEOUT_SECONDS} seconds",
        got="none",
        next_step="run the same command again when this machine is less busy",
    )


def _listed(ended: _Ended, what: str) -> tuple[Reference, ...]:
    """The references on stdout, one a line."""
    lines = [line.strip() for line in ended.output.splitlines() if line.strip()]
    try:
        if ended.code == 0 and lines:
            return tuple(Reference.parse(line) for line in lines)
    except FormatError:
        pass
    raise OperatorError(
        "kubeadm does not list its images",
        where=f"{what}, kubeadm config images list",
        wanted="exit code 0 and one reference a line",
        got=ended.told(),
    )


def _rendered(ended: _Ended, where: str) -> str:
    if ended.code == 0:
        return ended.output
    raise InputError(
        "the chart does not render",
        where=where,
        wanted="exit code 0",
        got=ended.told(),
        next_step="check the add-on's values in the catalogue, and that the chart supports this Kubernetes version",
    )

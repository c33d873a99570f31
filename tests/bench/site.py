"""A builder's desk for one set: its store, its output, and the builds that several rows ask about."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.competitors import Competitor, Wanted
from tests.bench.content import RELEASE_BYTES, SIZES
from tests.bench.running import Run, run_measured
from tests.bench.upstream import Upstream
from tests.lab.errors import LabError
from tests.lab.progress import say

BUNDLE = Path(sys.executable).with_name("bundle")


@dataclass
class Site:
    """Builds of one set below ``folder``; a row is the median of ``runs``. ``colds`` are all cold builds so far."""

    upstream: Upstream
    folder: Path
    runs: int
    colds: list[Run] = field(default_factory=list)

    @property
    def size(self) -> str:
        """The set's size in GiB."""
        return self.upstream.size

    @property
    def store(self) -> Path:
        """The builder's store."""
        return self.folder / "store"

    @property
    def out(self) -> Path:
        """The builder's output folder."""
        return self.folder / "dist"

    @property
    def dense(self) -> Path:
        """The output folder of builds with dense layers."""
        return self.folder / "dense"

    def build(self, request: list[str], out: Path, *, counted: bool = False) -> Run:
        """``bundle build`` with the store and the output as they are."""
        argv = [str(BUNDLE), "build", *self.upstream.sources(counted=counted), *request]
        return run_measured([*argv, "--store", str(self.store), "--out", str(out)])

    def cold_build(self) -> Run:
        """``bundle build`` with nothing there."""
        self.clear()
        self.colds.append(self.build(self.upstream.request(), self.out))
        return self.colds[-1]

    def clear(self) -> None:
        """Takes store and output away."""
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.rmtree(self.out, ignore_errors=True)

    def media(self) -> Path:
        """The folder of the media set of the set as it is, built when it is not there."""
        made = [path for path in self.out.glob("k8s-*") if path.is_dir()]
        if not made:
            say("build", f"{self.size} GiB, for the rows that want a finished one")
            self.cold_build()
            made = [path for path in self.out.glob("k8s-*") if path.is_dir()]
        return made[0]

    def dense_build(self) -> Run:
        """The same images with dense layers from a full store; the builder demands a runtime it can look into."""
        shutil.rmtree(self.dense, ignore_errors=True)
        return self.build([*self.upstream.request(), "--layers", "dense", "--runtime", "host"], self.dense)

    def tarball(self) -> Path:
        """The media set's tarball."""
        (tarball,) = self.media().glob("*.tar.zst")
        return tarball

    def lock(self) -> Path:
        """The lock of the set as it is, kept beside the output and made with a store of its own."""
        kept = self.folder / "lock.json"
        if not kept.exists():
            argv = [str(BUNDLE), "lock", *self.upstream.request(), *self.upstream.sources()]
            with TemporaryDirectory(dir=self.folder) as store:
                run_measured([*argv, "--store", store, "--out", str(kept)])
        return kept

    def stored(self) -> dict[Path, int]:
        """Every file of the store and its size in bytes."""
        return {path: path.stat().st_size for path in self.store.rglob("*") if path.is_file()}

    def copy_with(self, tool: Competitor) -> Run:
        """The other tool's whole job with nothing there; what it made is taken away again."""
        wanted = Wanted.of_lock(self.lock(), self.upstream)
        folder = self.folder / "theirs"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "job.sh").write_text(tool.script(wanted), encoding="utf-8")
        run = run_measured(["sh", "job.sh"], cwd=folder)
        made_bytes = (folder / "bundle.tar.zst").stat().st_size
        if made_bytes < (wanted_bytes := SIZES[self.size] * RELEASE_BYTES):
            raise LabError(f"{tool.name} copied only a part", wanted=f"{wanted_bytes} bytes", got=f"{made_bytes}")
        shutil.rmtree(folder)
        return run

"""Rows of the isolated side: images into a real containerd, the disk it takes, and what an import takes beyond that."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest import mock

from installer.bundle.platform import Platform
from installer.bundle.reader import Bundle, open_media_set
from installer.render import containerd as render
from installer.steps.images import ImportImages
from installer.steps.imagestore import ImageStore
from tests.bench.rows import Goal, Row, shown, unmeasured
from tests.bench.running import Peak
from tests.bench.site import BUNDLE, Site
from tests.integration.containerd_lab import ContainerdLab, LabNode, carry_out, is_root
from tests.lab.commands import run
from tests.lab.debian import unpacked
from tests.lab.errors import LabError
from tests.lab.progress import say

ROLE = "cp"
PLATFORM = Platform("linux/amd64")
IMPORT = {"registry": Goal(1.05), "dense": Goal(1.1)}
EXTRA = Goal(0.1)
DENSE_SIZE = Goal(0.75)
DENSE_DISK = Goal(1.0)
_SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class Import:
    """One import: its time, the disk containerd has at the end, and the most that all of the node's folders had."""

    seconds: float
    kept_bytes: int
    most_bytes: int = 0


def importing(site: Site) -> Iterator[Row]:
    """Imports of the images that a control plane needs, from each kind of bundle there is."""
    if not is_root():
        yield unmeasured(f"import, {site.size} GiB", "containerd needs root", goal=IMPORT["registry"])
        return
    plain = site.folder / "plain.tar"
    _write_plain(site.media(), plain)
    kept = yield from _kind(site, "registry", site.media(), plain)
    if "--layers" not in run([str(BUNDLE), "build", "--help"]):
        why = "bundle build has no --layers yet"
        yield unmeasured(f"import, dense layers, {site.size} GiB", why, goal=IMPORT["dense"])
        yield unmeasured(f"tarball, dense, {site.size} GiB", why, goal=DENSE_SIZE, unit="bytes")
        yield unmeasured("containerd disk, dense to registry", why, goal=DENSE_DISK, unit="bytes")
    else:
        yield from _dense(site, plain, kept)
    plain.unlink()


def _dense(site: Site, plain: Path, kept_of_registry: int) -> Iterator[Row]:
    built = site.dense_build()
    (media,) = (path for path in site.dense.glob("k8s-*") if path.is_dir())
    took = f"built in {shown(built.seconds, 's')} from a full store, peak {shown(built.peak_bytes, 'bytes')}"
    kept = yield from _kind(site, "dense", media, plain)
    tarball_bytes, other_bytes = (next(path.glob("*.tar.zst")).stat().st_size for path in (media, site.media()))
    versus = ("theirs: our own bundle with the registry's layers",)
    yield Row(
        f"tarball, dense, {site.size} GiB", "bytes", tarball_bytes, other_bytes, DENSE_SIZE, notes=(*versus, took)
    )
    name = "containerd disk, dense to registry"
    yield Row(name, "bytes", kept, kept_of_registry, DENSE_DISK, notes=versus)


def _kind(site: Site, kind: str, media: Path, plain: Path) -> Generator[Row, None, int]:
    """The rows of one kind of layers; its worth is containerd's disk afterwards, in bytes."""
    what = f"import, {kind} layers, {site.size} GiB"
    mine, others = [], []
    with remnants() as left:
        for number in range(1, site.runs + 1):
            others.append(in_containerd(left, lambda _lab, node: _stock(node, plain)))
            mine.append(in_containerd(left, lambda lab, node: _ours(lab, node, media)))
            say("run", f"{what}, {number} of {site.runs}: {mine[-1].seconds:.2f} s, theirs {others[-1].seconds:.2f} s")
        watched = in_containerd(left, lambda lab, node: _ours(lab, node, media), watched=True)
    notes = ("against ctr images import of a plain tar in page cache, same containerd",)
    runs = {"ours": [round(item.seconds, 3) for item in mine], "theirs": [round(item.seconds, 3) for item in others]}
    yield Row(what, "s", median(runs["ours"]), median(runs["theirs"]), IMPORT[kind], notes=notes, runs=runs)
    extra_bytes = max(0, watched.most_bytes - watched.kept_bytes)
    notes = (
        "ours: the most on the node's disk beyond containerd's at the end; theirs: the role's blobs in a registry",
    )
    yield Row(
        f"extra disk, {kind}, {site.size} GiB", "bytes", extra_bytes, _needed_bytes(site.media()), EXTRA, notes=notes
    )
    yield Row(f"containerd disk, {kind}, {site.size} GiB", "bytes", mine[-1].kept_bytes, others[-1].kept_bytes)
    return mine[-1].kept_bytes


def imported(lab: ContainerdLab, node: LabNode, bundle: Bundle) -> None:
    """The install's own step: look, import, pin, look again."""
    images = bundle.index.images_for(ROLE)
    version = run([str(lab.programs / "containerd"), "--version"]).split()[2].removeprefix("v").partition("~")[0]
    carry_out(node, ImportImages(bundle, images, PLATFORM, ImageStore(lab.socket, version)))


def _ours(lab: ContainerdLab, node: LabNode, media: Path) -> None:
    with open_media_set(media) as bundle:
        imported(lab, node, bundle)


def _stock(node: LabNode, plain: Path) -> None:
    subprocess.run([*node.lab.ctr, "images", "import", str(plain)], check=True, capture_output=True)


def _write_plain(media: Path, path: Path) -> None:
    with open_media_set(media) as bundle, path.open("wb") as stream:
        for data in bundle.oci_tar(bundle.index.images_for(ROLE), (PLATFORM,)):
            stream.write(data)


def _needed_bytes(media: Path) -> int:
    with open_media_set(media) as bundle:
        platform, sizes = (PLATFORM,), bundle.index.descriptors()
        needed = {digest for image in bundle.index.images_for(ROLE) for digest in image.blobs(platform)}
        return sum(sizes[digest].size_bytes for digest in needed)


@contextmanager
def remnants() -> Iterator[Path]:
    """A folder for all containerds of a row, gone at its end.

    Removing what one of them unpacked slows the next one down: for half a minute ext4 gives no inode away again that
    was just freed, and looks at each of them for every file it makes.
    """
    with tempfile.TemporaryDirectory(prefix="ctd-") as folder:  # a socket's path has room for about 100 characters
        yield Path(folder)


def in_containerd(left: Path, act: Callable[[ContainerdLab, LabNode], None], *, watched: bool = False) -> Import:
    """Runs ``act`` beside a containerd that has nothing yet, and leaves it in ``left``."""
    with _containerd(left) as (lab, node):
        spool = tempfile.mkdtemp(prefix="spool-", dir=left)
        os.sync()
        root, folders = lab.folder / "root", (lab.folder, Path(spool)) if watched else ()

        def in_use() -> int:
            return sum(map(disk_bytes, folders))

        with mock.patch.object(tempfile, "tempdir", spool), Peak(in_use, _SAMPLE_SECONDS) as disk:
            began = time.monotonic()
            act(lab, node)
            seconds = time.monotonic() - began
        return Import(seconds, disk_bytes(root), disk.peak_bytes)


@contextmanager
def _containerd(left: Path) -> Iterator[tuple[ContainerdLab, LabNode]]:
    programs = unpacked(["containerd"]) / "usr" / "bin"
    version = run([str(programs / "containerd"), "--version"]).split()[2].removeprefix("v").partition("~")[0]
    lab = ContainerdLab(Path(tempfile.mkdtemp(dir=left)), programs)
    node = LabNode(lab)
    node.write_file(render.CONFIG_PATH, render.config(version, lab.settings(None)).encode())
    try:
        if not lab.restart().ok:
            raise LabError("containerd does not start", where=str(programs), got=lab.log[-1000:])
        yield lab, node
    finally:
        lab.stop()


def disk_bytes(folder: Path) -> int:
    """What the files below ``folder`` take on the disk, each once; what vanishes meanwhile does not count."""
    seen: set[int] = set()
    total_bytes = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                state = os.lstat(f"{place}/{name}")
                total_bytes += 0 if state.st_ino in seen else state.st_blocks * 512
                seen.add(state.st_ino)
    return total_bytes

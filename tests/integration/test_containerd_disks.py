"""containerd's disk gets full, or the medium is taken out, while images are imported: real parts, nothing half-applied.

Each figure here stands in docs/reliability.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from installer.bundle.imagesizes import kept_bytes, stored_sizes
from installer.bundle.reader import Bundle, open_media_set
from installer.errors import MediumError, StepError
from installer.node import CommandResult, DiskSpace
from installer.render import containerd as render
from installer.room import disk_space
from installer.steps.images import ImportImages
from installer.steps.imagestore import ImageStore
from tests.fakes.images import AMD64, small_parts
from tests.integration.containerd_generations import NEWER, OLDEST, Generation
from tests.integration.containerd_lab import ContainerdLab, LabNode, carry_out
from tests.integration.media import assembled
from tests.integration.mounting import LoopDisk, loop_disk, slow_writes

LARGE_BYTES = 4_000_000
PARTS = 4
"""How many amounts of room are tried, from next to none to nearly enough."""
DISK_KIB = 64 * 1024
SLACK_BYTES = 1_500_000
"""What containerd's own database and the blocks of small files may take besides."""
SLOW_BYTES_PER_SECOND = 1_000_000
_BLOCK_BYTES = 4096


class HereNode(LabNode):
    """Its programs name paths of this machine."""

    def disk_space(self, path: str) -> DiskSpace:
        return disk_space(Path(path))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembled(small_parts(large_bytes=LARGE_BYTES), tmp_path_factory.mktemp("media"))


@pytest.fixture
def disk(lab: ContainerdLab) -> Iterator[LoopDisk]:
    """A small disk for all that containerd keeps."""
    with loop_disk(lab.folder / "root", DISK_KIB) as disk:
        yield disk


@pytest.fixture
def node(lab: ContainerdLab, containerd: Generation, disk: LoopDisk) -> Iterator[HereNode]:
    """containerd with all it keeps on that disk."""
    node = HereNode(lab)
    node.write_file(render.CONFIG_PATH, render.config(containerd.version, lab.settings(None)).encode())
    assert lab.restart().ok, lab.log
    yield node
    lab.stop()


def step(lab: ContainerdLab, containerd: Generation, bundle: Bundle) -> ImportImages:
    store = ImageStore(lab.socket, containerd.version, root=str(lab.folder / "root"))
    return ImportImages(bundle, bundle.index.images_for("cp"), AMD64, store)


@contextmanager
def ballast(folder: Path, left_bytes: int) -> Iterator[None]:
    """Meanwhile no more than ``left_bytes`` are free in ``folder``."""
    path, found = folder / "ballast", os.statvfs(folder)
    size_bytes = found.f_bavail * found.f_frsize - left_bytes
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size_bytes // _BLOCK_BYTES * _BLOCK_BYTES)
    try:
        yield
    finally:
        path.unlink()


def emptied(node: HereNode, store: ImageStore) -> None:
    """Removes every image, and what only they need."""
    for name in store.demand(node):
        node.run([*store._ctr, "images", "rm", "--sync", name], timeout_seconds=60)


def left_over(root: Path) -> list[str]:
    """What an import began to fetch into the store and has not ended."""
    return [path.name for path in (root / "io.containerd.content.v1.content" / "ingest").iterdir()]


@pytest.mark.parametrize("containerd", (OLDEST, NEWER[-1]), indirect=True)
def test_a_disk_that_gets_full_during_the_import_is_named_and_the_next_run_ends(
    lab: ContainerdLab, node: HereNode, containerd: Generation, media: Path
) -> None:
    root = lab.folder / "root"
    with open_media_set(media) as bundle:
        images = step(lab, containerd, bundle)
        need_bytes = kept_bytes(bundle.index, images.images, AMD64)
        fresh_bytes = disk_space(root).free_bytes
        carry_out(node, images)
        used_bytes = fresh_bytes - disk_space(root).free_bytes
        assert need_bytes * 0.9 < used_bytes < need_bytes + SLACK_BYTES, "what is asked for is what it takes"
        for part in range(PARTS):
            emptied(node, images.store)
            with ballast(root, need_bytes * (2 * part + 1) // (2 * PARTS)):
                with pytest.raises(StepError) as caught:
                    carry_out(node, images)
                said = "\n".join(caught.value.lines())
                assert re.search(rf"^  wanted  room for [0-9.]+ MB on {root}$", said, re.MULTILINE), said
                assert re.search(rf"^  got     [0-9.]+ MB free on {root}$", said, re.MULTILINE), said
                assert "o space left on device" in said
                assert f"next    make room on {root}, and run the same command again" in said
            assert carry_out(node, images)[0].outcome == "changed"
            assert left_over(root) == []
            assert fresh_bytes - disk_space(root).free_bytes < used_bytes + SLACK_BYTES, "no room is lost"


def test_a_slow_disk_only_takes_longer(
    lab: ContainerdLab, node: HereNode, containerd: Generation, disk: LoopDisk, media: Path
) -> None:
    with open_media_set(media) as bundle, slow_writes(disk.device, SLOW_BYTES_PER_SECOND):
        images = step(lab, containerd, bundle)
        (result,) = carry_out(node, images)
        come_bytes = sum(sum(stored_sizes(bundle.index, image, AMD64).values()) for image in images.images)
    assert result.outcome == "changed"
    assert result.seconds > come_bytes / SLOW_BYTES_PER_SECOND, "slow it was"


class PullingNode(HereNode):
    """Somebody takes the medium out once so many bytes of a program's input were read."""

    def pull(self, disk: LoopDisk, after_bytes: int) -> None:
        """Says which and when."""
        self.pulled = (disk, after_bytes)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> CommandResult:
        chunks = None if stdin is None else self._pulling(stdin)
        return super().run(argv, stdin=chunks, timeout_seconds=timeout_seconds, secrets=secrets)

    def _pulling(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        disk, after_bytes = self.pulled
        for chunk in chunks:
            after_bytes -= len(chunk)
            if after_bytes < 0:
                disk.pull_out()
                after_bytes = 10**12
            yield chunk


def test_a_medium_that_is_taken_out_during_the_import_is_named_and_the_next_run_ends(
    lab: ContainerdLab, containerd: Generation, media: Path, tmp_path: Path
) -> None:
    node = PullingNode(lab)
    node.write_file(render.CONFIG_PATH, render.config(containerd.version, lab.settings(None)).encode())
    assert lab.restart().ok, lab.log
    for number, after_bytes in enumerate((0, 500_000, 2_500_000)):
        with (
            loop_disk(tmp_path / f"medium-{number}", 16 * 1024, media) as medium,
            open_media_set(medium.folder) as there,
        ):
            node.pull(medium, after_bytes)
            with pytest.raises(MediumError) as caught:
                carry_out(node, step(lab, containerd, there))
        assert str(caught.value.where).startswith(str(medium.folder)), caught.value.lines()
        assert caught.value.got == "Input/output error"
        assert "plug it in again and run the same command again" in str(caught.value.next_step)
        stored = ImageStore(lab.socket).demand(node)
        assert all(found.whole for found in stored.values()), "no image is half there"
    with open_media_set(media) as bundle:
        node.pull(medium, 10**12)
        assert carry_out(node, step(lab, containerd, bundle))[0].outcome == "changed"
    assert left_over(lab.folder / "root") == []

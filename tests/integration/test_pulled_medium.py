"""The medium is taken out while it is read: a real file system on a loop device whose file is cut short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from installer.bundle.reader import open_media_set
from installer.bundle.verify import verify
from installer.errors import IntegrityError, MediumError, OperatorError
from installer.localnode import LocalNode
from installer.medium import open_bundle
from installer.steps.files import PlaceFile
from installer.trust import Trust
from tests.fakes.images import AMD64, small_parts
from tests.fakes.node import FakeNode
from tests.integration.media import assembled
from tests.integration.mounting import LoopDisk, loop_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a medium")
LARGE_BYTES = 1_000_000


@pytest.fixture(scope="module", params=["registry", "dense"])
def media(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembled(small_parts(large_bytes=LARGE_BYTES), tmp_path_factory.mktemp("media"), request.param)


def demand_named(error: OperatorError, medium: LoopDisk) -> None:
    assert isinstance(error, MediumError), error.lines()
    assert error.message == "the medium cannot be read"
    assert str(error.where).startswith(str(medium.folder))
    assert error.got == "Input/output error"
    assert "if it was taken out, plug it in again and run the same command again" in str(error.next_step)


def test_taken_out_before_it_is_opened_it_is_named(media: Path, tmp_path: Path) -> None:
    with loop_disk(tmp_path / "medium", 16 * 1024, media) as medium:
        medium.pull_out()
        with pytest.raises(MediumError) as caught, open_bundle(medium.folder, FakeNode(), Trust((), "nobody")):
            pass
        demand_named(caught.value, medium)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_taken_out_while_it_is_proven_it_is_named_and_does_not_pass_for_damaged(
    media: Path, tmp_path: Path, share: float
) -> None:
    with loop_disk(tmp_path / "medium", 16 * 1024, media) as medium, open_media_set(medium.folder) as bundle:
        left_bytes = bundle.size_bytes * share

        def progress(read_bytes: int) -> None:
            nonlocal left_bytes
            left_bytes -= read_bytes
            if left_bytes < 0:
                medium.pull_out()
                left_bytes = 10**12

        with pytest.raises(IntegrityError) as caught:
            verify(bundle, jobs=1, progress=progress)
        demand_named(caught.value, medium)


def test_taken_out_while_files_are_placed_nothing_is_half_there(media: Path, tmp_path: Path) -> None:
    node = LocalNode(tmp_path / "node")
    with loop_disk(tmp_path / "medium", 16 * 1024, media) as medium, open_media_set(medium.folder) as bundle:
        steps = [PlaceFile(bundle, item) for item in bundle.index.files_for("cp", AMD64)]
        medium.pull_out()
        for step in steps:
            with pytest.raises(OperatorError) as caught:
                step.apply(node)
            demand_named(caught.value, medium)
    assert [path for path in (tmp_path / "node").rglob("*") if path.is_file()] == []


def test_what_is_no_failure_of_the_medium_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="the bundle cannot be opened"):
        open_media_set(tmp_path / "not-there.tar.zst")

"""A containerd of the generation a test asks for, stopped when the test ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.render import containerd as render
from tests.integration.containerd_generations import OLDEST, Generation, generation
from tests.integration.containerd_lab import ContainerdLab, LabNode
from tests.integration.mounting import Mounts, mounts_below


@pytest.fixture
def containerd(request: pytest.FixtureRequest) -> Generation:
    """The generation of the test's parameter, else the oldest."""
    return generation(getattr(request, "param", OLDEST))


@pytest.fixture
def lab(containerd: Generation) -> Iterator[ContainerdLab]:
    """Folders for a daemon of that generation; the test starts it."""
    # A socket's path has room for about a hundred characters, which a test's own folder can exceed.
    with tempfile.TemporaryDirectory(prefix="ctd-") as folder:
        lab = ContainerdLab(Path(folder), containerd.programs)
        try:
            yield lab
        finally:
            lab.stop()


@pytest.fixture
def node(lab: ContainerdLab, containerd: Generation) -> LabNode:
    """The machine it runs on, with our configuration that names no sandbox image yet."""
    node = LabNode(lab)
    node.write_file(render.CONFIG_PATH, render.config(containerd.version, lab.settings(None)).encode())
    assert lab.restart().ok, lab.log
    return node


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    """Mounts small file systems below the test's folder."""
    with mounts_below(tmp_path) as mount:
        yield mount

"""What the tests of the command share: the desk, and a medium made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.debian import debian
from tests.fakes.desk import Desk, desk_with
from tests.fakes.media import media_set


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_set(tmp_path_factory.mktemp("medium") / "k8s")


@pytest.fixture
def desk(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return desk_with(debian(), media, tmp_path, monkeypatch, capsys)

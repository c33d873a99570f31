"""The fuzz targets in a bounded run: what the corpus holds has its answer, and a few seconds of each find nothing new.

``make fuzz`` runs them for longer.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, answer

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 2
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_has_its_answers(name: str) -> None:
    found = sorted((CORPUS / name).iterdir())
    assert found, "a target needs something to begin with"
    for path in found:
        answer(TARGETS[name], path.read_bytes())


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python")
@pytest.mark.parametrize("name", TARGETS)
def test_a_few_seconds_find_nothing(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", name, str(SECONDS), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(tmp_path.glob("finding-*"))

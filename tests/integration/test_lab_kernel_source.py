"""The lab changes only the kernel source that its patches were written for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import umlkernel
from tests.lab.errors import LabError

BEFORE = "one\ntwo\nthree\n"
PATCH = """Why it is changed.

diff --git a/numbers.c b/numbers.c
--- a/numbers.c
+++ b/numbers.c
@@ -1,3 +1,3 @@
 one
-two
+2
 three
"""


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A source inside somebody's repository, as a cache folder may be, and a patch for it."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    patches = tmp_path / "patches"
    source = tmp_path / "cache" / "source"
    patches.mkdir()
    source.mkdir(parents=True)
    (patches / "0001-numbers.patch").write_text(PATCH)
    (source / "numbers.c").write_text(BEFORE)
    monkeypatch.setattr(umlkernel, "OURS", patches)
    return source


def test_a_patch_is_applied_also_inside_a_repository(tree: Path) -> None:
    umlkernel._changed(tree)
    assert (tree / "numbers.c").read_text() == "one\n2\nthree\n"


@pytest.mark.parametrize("found", ["one\n2\nthree\n", "one\ntwo\nfour\n"], ids=["changed already", "another"])
def test_another_source_is_refused_and_left_as_it_was(tree: Path, found: str) -> None:
    (tree / "numbers.c").write_text(found)
    with pytest.raises(LabError) as caught:
        umlkernel._changed(tree)
    assert "numbers.c" in (caught.value.got or "")
    assert (tree / "numbers.c").read_text() == found


def test_every_patch_says_why_and_under_which_licence() -> None:
    patches = sorted(umlkernel.OURS.glob("*.patch"))
    assert patches
    for patch in patches:
        before = patch.read_text(encoding="utf-8").partition("diff --git")[0]
        assert "GPL-2.0" in before, patch.name

"""What a build leaves has the modes that it says, whatever the umask of whoever builds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.small_release import NAME, SmallRelease, small_release

UMASKS = (0o000, 0o022, 0o077, 0o777)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallRelease]:
    with small_release(tmp_path_factory.mktemp("small")) as made:
        yield made


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_a_build_s_store_media_set_and_lock(release: SmallRelease, tmp_path: Path, umask: int) -> None:
    argv = [str(Path(sys.executable).with_name("bundle")), *release.argv(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, umask=umask, timeout=300)
    assert done.returncode == 0, done.stderr
    folders = {path for path in (tmp_path / "store", tmp_path / "dist", *tmp_path.rglob("*")) if path.is_dir()}
    found = {path: path.stat().st_mode & 0o7777 for path in tmp_path.rglob("*")}
    assert {mode for path, mode in found.items() if path in folders} == {0o755}
    files = {str(path.relative_to(tmp_path)): mode for path, mode in found.items() if path not in folders}
    assert {mode for path, mode in files.items() if path.startswith("store/blobs/")} == {0o444}
    rest = {path: mode for path, mode in files.items() if not path.startswith("store/blobs/")}
    assert {path for path, mode in rest.items() if mode != 0o644} == {f"dist/{NAME}/install"}
    assert found[tmp_path / "dist" / NAME / "install"] == 0o755
    assert found[tmp_path / "dist" / f"{NAME}.lock.json"] == 0o644
    assert len(found) > 20

"""The project's own files: the wheel carries the catalogue, make explains itself, and texts name no machine of ours."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def test_make_alone_prints_help() -> None:
    result = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("demo", "test", "e2e"):
        assert re.search(rf"^{target} +\S", result.stdout, re.MULTILINE), result.stdout


def test_the_wheel_carries_the_catalogue(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "bundler/_data/manifests/kubernetes/v1.30.yaml" in names
    assert "bundler/_data/image-lists/kubernetes/v1.30.14.txt" in names
    assert {"bundler/_data/manifests/cni/flannel.yaml", "bundler/page.css"} <= names
    assert "bundler/_data/image-lists/cni/flannel-v0.28.9.txt" in names
    assert {"installer/launch/install.sh", "installer/launch/help.txt"} <= names
    assert not any(name.startswith("tests/") for name in names)


def test_an_installed_wheel_finds_its_catalogue(tmp_path: Path) -> None:
    """A second virtual environment without the checkout lists versions: nothing is looked up beside the sources."""
    wheels, target = tmp_path / "wheels", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    code = f"import sys; sys.path.insert(0, {str(target)!r}); import bundler.cli as c; print(c.__file__); c.main()"
    result = subprocess.run(
        [sys.executable, "-I", "-c", code, "catalog", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert str(target) in result.stdout.splitlines()[0]
    assert "1.30.14" in result.stdout
    assert "flannel" in result.stdout


def test_documents_are_there() -> None:
    for name in ("README.md", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"):
        assert (ROOT / name).stat().st_size > 300, name
    assert len(list((ROOT / "docs/adr").glob("0*.md"))) >= 5
    for name in ("docs/bundle-format.md", "docs/operate.md"):
        assert (ROOT / name).stat().st_size > 1000, name


def test_every_package_of_development_is_pinned_by_its_sums() -> None:
    """What `.ci/setup` installs is what pyproject.toml asks for, each at one version with its sums."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*asked["dependencies"], *asked["optional-dependencies"]["dev"]]
    blocks = re.split(r"\n(?=\S)", (ROOT / ".ci/requirements.txt").read_text().strip())
    pinned = {}
    for block in blocks:
        name, version = re.match(r"([a-z0-9-]+)==(\S+)", block).groups()  # type: ignore[union-attr]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), name
        pinned[name] = Version(version)
    for text in (Requirement(text) for text in named):
        assert pinned[canonicalize_name(text.name)] in text.specifier, f"{text}: run .ci/lock"

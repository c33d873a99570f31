"""A delta from the builder's command to the far side's, with a real launcher, and a real signature on an inventory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.lockfile import Lock
from installer import inventory
from installer.bundle.reader import open_media_set
from installer.localnode import LocalNode
from tests.fakes.deltas import contents
from tests.integration.small_release import NAME, SmallRelease, small_release

BUNDLE = str(Path(sys.executable).with_name("bundle"))
INSTALL = [sys.executable, "-m", "installer.cli"]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallRelease]:
    with small_release(tmp_path_factory.mktemp("release")) as made:
        yield made


@pytest.fixture(scope="module")
def old(release: SmallRelease, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media set without the image of etcd, and older."""
    folder = tmp_path_factory.mktemp("old")
    lock = Lock.from_bytes(release.lock.read_bytes(), where="lock")
    images = tuple(image for image in lock.images if "etcd" not in image.reference.name)
    kept = {item.blob for item in lock.files} | {blob for image in images for blob in image.blobs()}
    less = replace(
        lock,
        images=images,
        created_seconds=lock.created_seconds - 1000,
        blobs=tuple(blob for blob in lock.blobs if blob.digest in kept),
    )
    path = folder / "old.lock.json"
    path.write_bytes(less.to_bytes())
    assert release.builds.run(release.argv(folder, "--lock", str(path))).code == 0
    return folder / "dist" / NAME


def run(*argv: str, code: int = 0) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_build_makes_the_delta_too_and_the_far_side_makes_it_whole(
    release: SmallRelease, old: Path, tmp_path: Path
) -> None:
    said = run(BUNDLE, *release.argv(tmp_path, "--lock", str(release.lock), "--base", str(old)))
    new = tmp_path / "dist" / NAME
    with open_media_set(old) as bundle:
        delta = tmp_path / "dist" / f"{NAME}-from-{bundle.identity.hex[:12]}"
    assert "proven" in said
    assert str(delta) in said
    before = contents(delta)
    for jobs in ("1", "3"):
        run(BUNDLE, "delta", str(old), str(new), "--out", str(tmp_path / jobs), "--jobs", jobs)
        assert contents(tmp_path / jobs / delta.name) == before
    said = run(*INSTALL, "rebuild", "--media", str(delta), "--base", str(old), "--out", str(tmp_path / "out"))
    assert "byte for byte" in said
    assert contents(tmp_path / "out" / NAME) == contents(new)
    done = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=delta, check=False)
    assert done.returncode == 0
    told = run("tar", "--zstd", "-tf", str(next(delta.glob("*.delta.tar.zst"))))
    assert told.splitlines()[:2] == ["delta.json", "files/SHA256SUMS"]


def test_an_install_from_a_delta_is_refused_with_the_way_on(release: SmallRelease, old: Path, tmp_path: Path) -> None:
    run(BUNDLE, *release.argv(tmp_path, "--lock", str(release.lock), "--base", str(old)))
    (delta,) = (tmp_path / "dist").glob(f"{NAME}-from-*")
    said = run(*INSTALL, "plan", "--role", "cp", "--media", str(delta), code=2)
    assert "this is a delta" in said
    assert "rebuild --base" in said
    said = run(*INSTALL, "rebuild", "--media", str(delta), "--out", str(tmp_path / "out"), code=2)
    assert "this site has not what the delta is made against" in said


def test_a_base_that_cannot_be_read_is_refused_before_the_build(release: SmallRelease, tmp_path: Path) -> None:
    said = run(BUNDLE, *release.argv(tmp_path, "--lock", str(release.lock), "--base", str(tmp_path / "none")), code=2)
    assert "cannot be opened" in said
    assert not (tmp_path / "dist").exists()


def test_an_inventory_is_taken_signed_and_built_by(
    release: SmallRelease, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site.json"
    said = run(*INSTALL, "inventory", "--media", str(old), "--out", str(site))
    assert "1 media set," in said
    assert json.loads(site.read_bytes())["media"][0]["name"] == NAME
    key = tmp_path / "host_key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    monkeypatch.setattr(inventory, "HOST_KEY", str(key))
    monkeypatch.setattr(LocalNode, "effective_uid", lambda _self: 0)
    signed = inventory.signature(LocalNode(), site.read_bytes())
    assert signed is not None
    (tmp_path / "site.json.sig").write_text(signed)
    (tmp_path / "signers").write_text(f"cp-1 {key.with_suffix('.pub').read_text()}")
    verify = ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "signers"), "-I", "cp-1"]
    verify += ["-n", "airgap-bundle-inventory", "-s", str(tmp_path / "site.json.sig")]
    subprocess.run(verify, stdin=site.open("rb"), check=True)
    run(BUNDLE, *release.argv(tmp_path, "--lock", str(release.lock), "--base", str(site)))
    (delta,) = (tmp_path / "dist").glob(f"{NAME}-from-site-*")
    run(*INSTALL, "rebuild", "--media", str(delta), "--base", str(old), "--out", str(tmp_path / "out"))
    assert contents(tmp_path / "out" / NAME) == contents(tmp_path / "dist" / NAME)

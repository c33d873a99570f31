"""Real kubeadms, compiled from upstream's source, are given what this install writes for their release.

Only what is in the lab's cache is asked here; ``make contract`` compiles what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bundler.imagelist import parse_image_list
from installer.config import ClusterConfig
from installer.render import kubeadm as render
from tests.compiled import compiled
from tests.golden.test_rendered import FULL, REPEATED, SMALL, init_text, join_text
from tests.lab.builds import ROOT
from tests.lab.profiles.compiled import KUBEADM_BUILDS

CONFIGURATIONS = {"small": SMALL, "full": FULL, "repeated": REPEATED}


@pytest.fixture(params=KUBEADM_BUILDS)
def version(request: pytest.FixtureRequest) -> str:
    """The Kubernetes release that is asked."""
    return str(request.param)


@pytest.fixture
def program(version: str) -> Path:
    """Its kubeadm."""
    return compiled(KUBEADM_BUILDS[version]) / "kubeadm"


def ask(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in an empty environment that names no proxy and no cluster."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    words = [str(word) for word in argv]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env=environment)


def validate(program: Path, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """``kubeadm config validate`` of ``text``."""
    path = folder / "kubeadm.yaml"
    path.write_text(text, encoding="utf-8")
    return ask(program, "config", "validate", "--config", path)


@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_what_init_is_given_is_valid(version: str, program: Path, tmp_path: Path, config: ClusterConfig) -> None:
    done = validate(program, tmp_path, init_text(config, version))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


@pytest.mark.parametrize("role", ["cp", "worker"])
@pytest.mark.parametrize("config", [SMALL, FULL], ids=["small", "full"])
def test_what_join_is_given_is_valid(
    version: str, program: Path, tmp_path: Path, role: str, config: ClusterConfig
) -> None:
    done = validate(program, tmp_path, join_text(config, version, role))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


@pytest.mark.parametrize("field", ["criSocket", "podSubnet", "extraArgs", "cgroupDriver", "mode", "certSANs"])
def test_a_field_that_is_not_there_is_noticed(version: str, program: Path, tmp_path: Path, field: str) -> None:
    text = init_text(FULL, version)
    assert f"{field}:" in text
    done = validate(program, tmp_path, text.replace(f"{field}:", f"{field}s:"))
    assert done.returncode != 0, done.stdout


def test_the_other_interface_s_flags_are_refused(version: str, program: Path, tmp_path: Path) -> None:
    other = "1.31.0" if render.minor_of(version) < render.FIRST_MINOR_WITH_V1BETA4 else "1.30.0"
    text = init_text(FULL, other).replace(render.api_version(other), render.api_version(version))
    assert validate(program, tmp_path, text).returncode != 0


def test_it_lists_exactly_the_images_that_the_catalogue_has(version: str, program: Path) -> None:
    done = ask(program, "config", "images", "list", "--kubernetes-version", f"v{version}")
    listed = ROOT / "image-lists" / "kubernetes" / f"v{version}.txt"
    known = parse_image_list(listed.read_text(encoding="utf-8"), where=str(listed))
    assert sorted(done.stdout.split()) == sorted(str(reference) for reference in known), done.stderr


_PRIVATE = 'set -e; mkdir -p /etc/kubernetes; mount -t tmpfs none /etc/kubernetes; "$@" >&2; cat %s'


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: kubeadm writes in a mount namespace of its own")
def test_it_finds_our_patches_by_their_names(version: str, program: Path, tmp_path: Path) -> None:
    for path, text in render.patch_files(FULL.patches).items():
        (tmp_path / Path(path).name).write_text(text, encoding="utf-8")
    config = tmp_path / "config" / "kubeadm.yaml"
    config.parent.mkdir()
    config.write_text(init_text(FULL, version).replace(render.PATCHES_DIR, str(tmp_path)), encoding="utf-8")
    unshare = shutil.which("unshare")
    assert unshare is not None
    script = _PRIVATE % "/etc/kubernetes/manifests/etcd.yaml"
    phase = ("init", "phase", "etcd", "local", "--config", config)
    done = ask(unshare, "--mount", "sh", "-c", script, "sh", program, *phase)
    assert "example.org/rack: r7" in done.stdout, done.stderr

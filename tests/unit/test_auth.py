"""Docker's credential files: which entry is meant for which registry."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from bundler.errors import InputError
from bundler.sources.auth import Credentials, DockerConfig, RepositoryAuth
from bundler.sources.http import HttpClient, HttpSettings, TryFailed

ACCOUNT = base64.b64encode(b"me:pass:word").decode()
ME = Credentials("me", "pass:word")


def _config(folder: Path, document: object) -> DockerConfig:
    (folder / "config.json").write_text(json.dumps(document))
    return DockerConfig.load({"DOCKER_CONFIG": str(folder)})


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("quay.io", "quay.io"),
        ("https://quay.io", "quay.io"),
        ("https://quay.io/v2/", "quay.io"),
        ("cache.example:5000", "cache.example:5000"),
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("docker.io", "registry-1.docker.io"),
    ],
)
def test_an_entry_is_found_under_every_way_to_write_its_registry(tmp_path: Path, key: str, registry: str) -> None:
    assert _config(tmp_path, {"auths": {key: {"auth": ACCOUNT}}}).credentials(registry) == ME


@pytest.mark.parametrize("registry", ["io", "quay.io:5000", "evil-quay.io", "quay.io.evil.example"])
def test_credentials_are_for_exactly_one_host(tmp_path: Path, registry: str) -> None:
    assert _config(tmp_path, {"auths": {"quay.io": {"auth": ACCOUNT}}}).credentials(registry) is None


def test_user_and_password_may_stand_apart(tmp_path: Path) -> None:
    config = _config(tmp_path, {"auths": {"quay.io": {"username": "me", "password": "pass:word"}}})
    assert config.credentials("quay.io") == ME


def test_no_file_means_no_credentials(tmp_path: Path) -> None:
    assert DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)}).credentials("quay.io") is None


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("auths: {}")
    with pytest.raises(InputError, match="credential file"):
        DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    ("challenge", "what"),
    [
        ('Bearer realm="http://tokens.invalid/",service="quay.io"', "not HTTPS"),
        ('Bearer service="quay.io"', "no token server"),
        ('Bearer realm="file:///etc/passwd"', "no token server"),
        ('Digest realm="x"', "wants credentials"),
        ("", "wants credentials"),
    ],
)
def test_credentials_are_not_given_to_whatever_asks(tmp_path: Path, challenge: str, what: str) -> None:
    config = _config(tmp_path, {"auths": {"quay.io": {"auth": ACCOUNT}}})
    auth = RepositoryAuth(HttpClient(HttpSettings(attempts=1)), "https", "quay.io", "team/app", config)
    with pytest.raises(TryFailed, match=what):
        auth.renew(challenge, None)
    assert auth.header() is None


def test_a_password_is_not_shown() -> None:
    assert "pass:word" not in repr(ME)

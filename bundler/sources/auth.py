"""Credentials for registries: docker's credential files and helpers, basic auth, bearer tokens per repository.

oras-py asks the token server; everything around it is here, because a client of it keeps one token whatever the
scope: a :class:`RepositoryAuth` belongs to one repository of one registry and is never shared between hosts.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from oras.auth import get_auth_backend
from oras.auth.utils import get_basic_auth, parse_auth_header
from requests.auth import AuthBase

from bundler.errors import InputError
from bundler.sources.http import HttpClient, TryFailed, demand_status, shown
from installer.bundle.regularfile import read_regular

_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HELPER_TIMEOUT_SECONDS = 60
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_DOCKER_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_TOKEN_ANSWER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Credentials:
    """A user and a password, never shown."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class DockerConfig:
    """A docker ``config.json``: ``auths`` and ``helpers`` by registry host, and the helper for all other hosts."""

    path: Path
    auths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    default_helper: str | None = None

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> DockerConfig:
        """The user's file: in ``$DOCKER_CONFIG``, else in ``~/.docker``; an empty one when there is no file."""
        folder = environment.get("DOCKER_CONFIG")
        path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
        try:
            document = json.loads(read_regular(path))
            auths, helpers = document.get("auths") or {}, document.get("credHelpers") or {}
            return cls(
                path,
                {_host_of(key): dict(value) for key, value in auths.items()},
                {_host_of(key): str(value) for key, value in helpers.items()},
                document.get("credsStore"),
            )
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                "the docker credential file cannot be read",
                where=str(path),
                wanted="JSON with auths, credHelpers or credsStore",
                got=str(error)[:200],
                next_step="correct it, or name another folder in DOCKER_CONFIG",
            ) from None

    def credentials(self, registry: str) -> Credentials | None:
        """What is known for the registry host, in the file or by its credential helper."""
        host = _host_of(registry)
        helper = self.helpers.get(host)
        entry = self.auths.get(host)
        if helper is None and entry is not None and entry.get("identitytoken"):
            raise InputError(
                "an identity token cannot be used",
                where=f"{self.path}, {host}",
                wanted="a user name and a password or access token",
                got="identitytoken",
                next_step=f"log in with an access token:  docker login {host}",
            )
        if helper is None and entry:
            if entry.get("auth"):
                return self._decoded(host, str(entry["auth"]))
            if entry.get("username"):
                return Credentials(str(entry["username"]), str(entry.get("password", "")))
        helper = helper or self.default_helper
        return self._ask(helper, _DOCKER_HUB_KEY if host == _DOCKER_HUB_HOSTS[0] else registry) if helper else None

    def _decoded(self, host: str, text: str) -> Credentials:
        try:
            user, colon, password = base64.b64decode(text).decode().rstrip("\0").partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise InputError(
                "docker credentials cannot be read",
                where=f"{self.path}, auths, {host}",
                wanted="user:password in base64",
                next_step=f"log in again:  docker login {host}",
            )
        return Credentials(user, password)

    def _ask(self, helper: str, server: str) -> Credentials | None:
        """What the credential helper knows of ``server``; a helper that fails or knows nothing gives ``None``."""
        if not _HELPER_NAME.fullmatch(helper):
            raise InputError("not a credential helper's name", where=str(self.path), got=helper)
        try:
            answer = subprocess.run(
                [f"docker-credential-{helper}", "get"],
                input=server.encode(),
                capture_output=True,
                check=True,
                timeout=_HELPER_TIMEOUT_SECONDS,
            ).stdout
            document = json.loads(answer)
            return Credentials(str(document["Username"]), str(document["Secret"]))
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
            return None


class FixedHeader(AuthBase):
    """Sends exactly this ``Authorization`` header, or none: also keeps a ``.netrc`` out of registry requests."""

    def __init__(self, authorization: str | None) -> None:
        self._authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request with the header; a redirect to another host drops it again."""
        if self._authorization is not None:
            request.headers["Authorization"] = self._authorization
        return request


class RepositoryAuth:
    """The ``Authorization`` header for one repository; threads share it, so that one renewal serves all."""

    def __init__(self, http: HttpClient, scheme: str, registry: str, repository: str, config: DockerConfig) -> None:
        self._http = http
        self._scheme = scheme
        self._registry = registry
        self._repository = repository
        self._config = config
        self._lock = threading.Lock()
        self._header: str | None = None

    def header(self) -> str | None:
        """The header to send now; ``None`` until the registry asked for one."""
        return self._header

    def renew(self, challenge: str, tried: str | None) -> str:
        """A new header after a 401 with ``challenge`` that answered ``tried``; else :class:`TryFailed`."""
        with self._lock:
            if self._header is None or self._header == tried:
                self._header = self._answer(challenge)
            return self._header

    def _answer(self, challenge: str) -> str:
        known = self._config.credentials(self._registry)
        if re.search(r"\bbearer\s", challenge, re.IGNORECASE):
            return f"Bearer {self._token(challenge, known)}"
        if re.search(r"\bbasic\b", challenge, re.IGNORECASE) and known:
            return f"Basic {get_basic_auth(known.user, known.password)}"
        raise TryFailed(
            f"HTTP 401: {self._registry} wants credentials and {self._config.path} holds none for it", temporary=False
        )

    def _token(self, challenge: str, known: Credentials | None) -> str:
        parsed = parse_auth_header(challenge)
        parsed.scope = parsed.scope or f"repository:{self._repository}:pull"
        if not parsed.realm or not parsed.realm.startswith(("http://", "https://")):
            raise TryFailed("HTTP 401: the registry names no token server", temporary=False)
        if self._scheme == "https" and parsed.realm.startswith("http://"):
            raise TryFailed(f"the token server {shown(parsed.realm)} is not HTTPS", temporary=False)
        asking = get_auth_backend("token", session=_TokenSession(self._http))
        if known:
            asking.set_basic_auth(known.user, known.password)
        token = asking.request_token(parsed)
        if not token:
            raise TryFailed(f"the token server {shown(parsed.realm)} gave no token", temporary=False)
        return str(token)


@dataclass(frozen=True)
class _TokenAnswer:
    """What oras-py reads of a token server's answer."""

    status_code: int
    document: dict[str, Any]

    def json(self) -> dict[str, Any]:
        return self.document


class _TokenSession:
    """The session oras-py asks the token server through: our time-outs, retries and CA file, no ``.netrc``."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def get(self, url: str, headers: dict[str, str], params: dict[str, str], verify: bool) -> _TokenAnswer:  # noqa: ARG002
        """The answer to a token request; raises :class:`TryFailed` when there is no usable one."""
        query = requests.Request("GET", url, params=params).prepare().url or url
        return self._http.retry(lambda: self._ask(query, headers.get("Authorization")))

    def _ask(self, url: str, authorization: str | None) -> _TokenAnswer:
        response = self._http.request("GET", url, {"Accept": "application/json"}, FixedHeader(authorization))
        if response.status_code in (401, 403):
            response.close()
            given = "the credentials" if authorization else "a request without credentials"
            raise TryFailed(f"the token server {shown(url)} refused {given}", temporary=False)
        demand_status(response, 200)
        try:
            document = json.loads(self._http.small_body(response, _TOKEN_ANSWER_BYTES))
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise TryFailed(f"the token server {shown(url)} did not answer with JSON", temporary=False)
        return _TokenAnswer(response.status_code, document)


def _host_of(key: str) -> str:
    """The host a key of a docker config means: keys may be URLs, and Docker Hub has three names."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return _DOCKER_HUB_HOSTS[0] if host in _DOCKER_HUB_HOSTS else host

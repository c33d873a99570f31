"""Requests to one registry that may change it, through the HTTP client and credentials of all other sources."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from bundler.sources.auth import DockerConfig, FixedHeader, RepositoryAuth
from bundler.sources.http import HttpClient, TryFailed
from installer.bundle.distribution import MOST_MANIFEST_BYTES, Answer, NoAnswer
from installer.bundle.siteregistry import SiteRegistry


class RegistryExchange:
    """An :class:`~installer.bundle.distribution.Exchange`; threads share it. Redirects are not followed."""

    def __init__(self, http: HttpClient, site: SiteRegistry, config: DockerConfig) -> None:
        self.base = site.base
        self._http = http
        self._site = site
        self._config = config
        self._auths: dict[str, RepositoryAuth] = {}
        self._lock = threading.Lock()

    def wait(self, seconds: float) -> None:
        """Waits before another try, unless the work is called off meanwhile."""
        self._http.wait(seconds)

    def ask(self, repository: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request with the repository's credentials, which are renewed once when the registry refuses them."""
        try:
            if urlsplit(url).netloc != self._site.host:
                return self._read(self._http.ask(method, url, headers, FixedHeader(None), body), method)
            auth = self._auth(repository)
            tried = auth.header()
            response = self._http.ask(method, url, headers, FixedHeader(tried), body)
            if response.status_code == 401:
                response.close()
                header = auth.renew(response.headers.get("WWW-Authenticate", ""), tried)
                response = self._http.ask(method, url, headers, FixedHeader(header), body)
            return self._read(response, method)
        except TryFailed as failure:
            raise NoAnswer(failure.reason, temporary=failure.temporary) from None

    def _read(self, response: requests.Response, method: str) -> Answer:
        headers = {key.lower(): value for key, value in response.headers.items()}
        if method == "HEAD":
            response.close()
            return Answer(response.status_code, headers)
        return Answer(response.status_code, headers, self._http.small_body(response, MOST_MANIFEST_BYTES))

    def _auth(self, repository: str) -> RepositoryAuth:
        with self._lock:
            if repository not in self._auths:
                site = self._site
                self._auths[repository] = RepositoryAuth(self._http, site.scheme, site.host, repository, self._config)
            return self._auths[repository]

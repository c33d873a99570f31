"""The door to a registry of the site: HTTP(S) by the standard library, for ``images push`` alone.

No other module of the node side speaks HTTP. Credentials come from a file that only its owner can read, and go to the
registry and to the token server that it names; no proxy and no ``.netrc`` is asked.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from installer.bundle.distribution import MOST_MANIFEST_BYTES, Answer, NoAnswer
from installer.bundle.siteregistry import SiteRegistry, is_loopback
from installer.errors import InputError, RegistryError

_TIMEOUT_SECONDS = 120.0
_MOST_CREDENTIALS_BYTES = 64 * 1024
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*"([^"]*)"')
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Credentials:
    """A user and a password, never shown."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The header's value for them."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def read_credentials(path: Path) -> Credentials:
    """The one line ``user:password`` in a file that nobody but its owner may read; :class:`InputError` if not."""
    wanted = "a file of mode 0600 with one line, user:password"
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode) or state.st_mode & _OTHERS:
            raise InputError(
                "the credentials can be read by others"
                if stat.S_ISREG(state.st_mode)
                else "the credentials are no file",
                where=f"--credentials {path}",
                wanted=wanted,
                got=f"mode {stat.S_IMODE(state.st_mode):04o}",
                next_step=f"chmod 600 {path}",
            )
        with path.open("rb") as stream:
            data = stream.read(_MOST_CREDENTIALS_BYTES)
    except OSError as error:
        raise InputError(
            "the credentials cannot be read", where=f"--credentials {path}", wanted=wanted, got=error.strerror
        ) from None
    user, colon, password = data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r").partition(":")
    if not user or not colon or not password or "\n" in password:
        got = f"{len(data)} bytes of another form"
        raise InputError("the credentials cannot be used", where=f"--credentials {path}", wanted=wanted, got=got)
    return Credentials(user, password)


class RegistryDoor:
    """Requests to one registry; a connection to each host is kept. Closes as a context."""

    def __init__(self, site: SiteRegistry, credentials: Credentials | None = None, ca_file: Path | None = None) -> None:
        self.base = site.base
        self._credentials = credentials
        self._context = _context(ca_file)
        self._authorizations: dict[str, str] = {}
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def __enter__(self) -> RegistryDoor:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()

    def wait(self, seconds: float) -> None:
        """Waits before another try."""
        time.sleep(seconds)

    def ask(self, repository: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request, made once more with what the registry asks for when it refuses it as it is."""
        if not url.startswith(f"{self.base}/"):
            # What is asked elsewhere gets no credentials; only uploads are sent elsewhere by some registries.
            return self._once(method, url, headers, body, None)
        answer = self._once(method, url, headers, body, self._authorizations.get(repository))
        if answer.status != 401:
            return answer
        self._authorizations[repository] = self._authorization(answer.headers.get("www-authenticate", ""), repository)
        return self._once(method, url, headers, body, self._authorizations[repository])

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, authorization: str | None
    ) -> Answer:
        parts = urlsplit(url)
        sent = {"User-Agent": "airgap-bundle", "Accept-Encoding": "identity", **headers}
        if authorization is not None:
            sent["Authorization"] = authorization
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection = None
        try:
            connection = self._connection(f"{parts.scheme}://{parts.netloc}")
            connection.request(method, target, body=body, headers=sent)
            response = connection.getresponse()
            data = response.read(MOST_MANIFEST_BYTES + 1)
        except ssl.SSLCertVerificationError as error:
            self._hang_up(connection)
            raise NoAnswer(f"the certificate cannot be verified: {error.verify_message}", temporary=False) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._hang_up(connection)
            raise NoAnswer(str(error) or type(error).__name__, temporary=_is_temporary(error)) from None
        if len(data) > MOST_MANIFEST_BYTES:
            connection.close()
            raise NoAnswer(f"an answer larger than {MOST_MANIFEST_BYTES} bytes", temporary=False)
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, data)

    def _hang_up(self, connection: http.client.HTTPConnection | None) -> None:
        if connection is not None:
            connection.close()

    def _connection(self, base: str) -> http.client.HTTPConnection:
        if base not in self._connections:
            scheme, _, host = base.partition("://")
            self._connections[base] = (
                http.client.HTTPSConnection(host, timeout=_TIMEOUT_SECONDS, context=self._context)
                if scheme == "https"
                else http.client.HTTPConnection(host, timeout=_TIMEOUT_SECONDS)
            )
        return self._connections[base]

    def _authorization(self, challenge: str, repository: str) -> str:
        """What the registry's ``challenge`` asks for: the credentials themselves, or a token for them."""
        kind = challenge.partition(" ")[0].lower()
        if kind == "bearer":
            return self._token(dict(_PARAMETER.findall(challenge)), repository)
        if kind == "basic" and self._credentials:
            return self._credentials.basic
        raise RegistryError(
            "the registry wants credentials",
            where=f"{self.base}/v2/{repository}",
            wanted="--credentials FILE, one line user:password of one who may pull and push there",
            got="none",
            next_step="write that file with mode 0600, then run the same command with --credentials FILE",
        )

    def _token(self, asked: Mapping[str, str], repository: str) -> str:
        realm = asked.get("realm", "")
        scope = asked.get("scope") or f"repository:{repository}:pull,push"
        plain_allowed = self.base.startswith("http://") or is_loopback(urlsplit(realm).netloc)
        if not realm.startswith("https://") and not (realm.startswith("http://") and plain_allowed):
            raise NoAnswer(
                f"the registry names no token server that can be asked safely ({realm[:100]!r})", temporary=False
            )
        query = urlencode({"service": asked.get("service", ""), "scope": scope})
        url = f"{realm}{'&' if '?' in realm else '?'}{query}"
        basic = self._credentials.basic if self._credentials else None
        answer = self._once("GET", url, {"Accept": "application/json"}, None, basic)
        try:
            document = json.loads(answer.body)
            token = document.get("token") or document.get("access_token")
        except (ValueError, RecursionError, AttributeError):
            token = None
        if answer.status != 200 or not isinstance(token, str) or not token.isprintable():
            raise RegistryError(
                "the token server gives no token",
                where=realm,
                wanted=f"a token for {scope}",
                got=f"HTTP {answer.status} " + ("for these credentials" if basic else "without credentials"),
                next_step="check the user's rights and the file of --credentials",
            )
        return f"Bearer {token}"


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            "the CA file cannot be read",
            where=f"--ca-file {ca_file}",
            wanted="a file with CA certificates in PEM form",
            got=error.strerror or str(error),
        ) from None


def _is_temporary(error: Exception) -> bool:
    """A name that does not exist and a server that speaks another protocol stay so; all else may pass."""
    return not isinstance(
        error, (ssl.SSLError, ValueError, http.client.InvalidURL)
    ) and "Name or service not known" not in str(error)

"""Requests over HTTP(S): proxies from the environment, time-outs, what to try again and when to stop.

One try either gives a response or raises :class:`TryFailed`, which says whether the same try may work later;
:meth:`HttpClient.retry` waits and tries again. Nothing here trusts a body: callers verify what they read.
"""

from __future__ import annotations

import contextlib
import email.utils
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import IncompleteRead
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import ReadTimeoutError

from bundler.errors import InputError, OperatorError, SourceError

T = TypeVar("T")
_Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]
CHUNK_BYTES = 256 * 1024
SLOWEST_BYTES_PER_SECOND = 512
"""A body that arrives slower than this over a whole read time-out has stalled, even if bytes still trickle."""
_TEMPORARY = frozenset({408, 421, 425, 429, 500, 502, 503, 504})
_CONNECTION = re.compile(r"^.*HTTPS?Connection(Pool)?\([^)]*\)[^:]*: ")
"""How urllib3 begins its messages: the connection they are about, which the error names anyway."""
_HTML = ("text/html", "application/xhtml+xml")
_MOST_REDIRECTS = 10
_DRAINED_BYTES = 16 * 1024
"""A redirect's own body is read up to here, which keeps the connection; a larger one is not worth it."""
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class HttpSettings:
    """How patient to be. ``attempts`` counts tries in a row without progress, per source."""

    ca_file: Path | None = None
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0
    attempts: int = 5
    backoff_seconds: float = 1.0
    longest_wait_seconds: float = 120.0


class TryFailed(Exception):  # noqa: N818 - the outcome of one try, never an operator's error by itself
    """One try at one source failed. ``temporary``: the same try may work later, at best in ``wait_seconds``."""

    def __init__(self, reason: str, *, temporary: bool, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.temporary = temporary
        self.wait_seconds = wait_seconds


class Cancelled(Exception):  # noqa: N818 - not an error: somebody else's failure or Ctrl-C ends this work
    """The work was called off; what was written so far can be resumed."""


@dataclass(frozen=True)
class SourceFailure:
    """Why one source (``name`` as shown to the operator) did not deliver, and what helps if that is known."""

    name: str
    reason: str
    temporary: bool
    next_step: str | None = None


class HttpClient:
    """Makes requests; safe to share between threads (each has its own connections)."""

    def __init__(self, settings: HttpSettings, cancel: threading.Event | None = None) -> None:
        if settings.ca_file is not None and not settings.ca_file.is_file():
            raise InputError(
                "the CA file cannot be read",
                where=str(settings.ca_file),
                wanted="a file with CA certificates in PEM form",
                got="no such file",
                next_step="check --ca-file",
            )
        self.settings = settings
        self.cancel = cancel or threading.Event()
        self._local = threading.local()

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, auth: AuthBase | None = None
    ) -> requests.Response:
        """One request and its redirects, the body not read yet. Raises :class:`TryFailed` when there is no answer.

        What ``auth`` sends, and a user and password in ``url``, go to that host only.
        """
        user, password = get_auth_from_url(url)
        given: _Auth | None = auth or (HTTPBasicAuth(user, password) if user else None)
        for _ in range(_MOST_REDIRECTS + 1):
            response = self.ask(method, url, headers or {}, given)
            target = self._redirected_to(response, url)
            if target is None:
                return response
            if self._session().should_strip_auth(url, target):  # type: ignore[no-untyped-call]
                given = given and _no_credentials
            url = target
        raise TryFailed(f"redirected more than {_MOST_REDIRECTS} times, at last to {shown(url)}", temporary=False)

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], auth: _Auth | None, data: bytes | None = None
    ) -> requests.Response:
        """The answer to one request, whatever it is; a redirect is not followed. Raises :class:`TryFailed` for none."""
        self.check_cancelled()
        settings = self.settings
        try:
            # identity: a body that a server would compress on the way is not the file that has the digest.
            return self._session().request(
                method,
                url,
                headers={"Accept-Encoding": "identity", "User-Agent": "airgap-bundle", **headers},
                data=data,
                stream=True,
                timeout=(settings.connect_timeout_seconds, settings.read_timeout_seconds),
                verify=str(settings.ca_file) if settings.ca_file else True,
                auth=auth,
            )
        except (requests.RequestException, TransportError, OSError) as error:
            raise _no_answer(error) from None

    def _redirected_to(self, response: requests.Response, url: str) -> str | None:
        """Where the answer at ``url`` sends us; ``None`` for one that is no redirect."""
        try:
            location = self._session().get_redirect_target(response)
            if location is None:
                return None
            target = urljoin(url, location)
            scheme, _ = urlsplit(target).scheme, urlsplit(target).port
        except ValueError:
            response.close()
            raise TryFailed("redirected to what is no address", temporary=False) from None
        self._drain(response)
        if scheme not in ("http", "https"):
            raise TryFailed(f"redirected to what is not HTTP ({shown(target)})", temporary=False)
        if url.startswith("https:") and scheme == "http":
            raise TryFailed(f"redirected from HTTPS to plain HTTP ({shown(target)})", temporary=False)
        return target

    def _drain(self, response: requests.Response) -> None:
        """Ends with a redirect's own body: a small one is read, so that the connection can be used again."""
        announced = content_length(response)
        if announced is not None and announced <= _DRAINED_BYTES:
            with contextlib.suppress(TryFailed):
                self.small_body(response, _DRAINED_BYTES)
        response.close()

    def body(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it is on the wire, in pieces; raises :class:`TryFailed` on a break or a stall."""
        window_seconds = self.settings.read_timeout_seconds
        window_start, window_bytes = time.monotonic(), 0
        try:
            while True:
                self.check_cancelled()
                data = response.raw.read1(CHUNK_BYTES, decode_content=False)
                if not data:
                    return
                yield data
                window_bytes += len(data)
                elapsed_seconds = time.monotonic() - window_start
                if elapsed_seconds > window_seconds:
                    if window_bytes < SLOWEST_BYTES_PER_SECOND * elapsed_seconds:
                        raise TryFailed(f"stalled: {window_bytes} bytes in {elapsed_seconds:.0f} s", temporary=True)
                    window_start, window_bytes = time.monotonic(), 0
        except ReadTimeoutError:
            raise TryFailed(f"stalled: nothing arrived for {window_seconds:g} s", temporary=True) from None
        except (TransportError, OSError) as error:
            cut = any(isinstance(cause, IncompleteRead) for cause in (error, *error.args))
            reason = "truncated: the body ended early" if cut else f"the connection broke: {_reason(error)}"
            raise TryFailed(reason, temporary=True) from None
        finally:
            response.close()

    def small_body(self, response: requests.Response, most_bytes: int) -> bytes:
        """The whole body of a small answer; too much of it, or less than announced, is a :class:`TryFailed`."""
        data = bytearray()
        for piece in self.body(response):
            data += piece
            if len(data) > most_bytes:
                raise TryFailed(f"the answer is larger than {most_bytes} bytes", temporary=False)
        announced = content_length(response)
        if announced is not None and announced != len(data):
            raise TryFailed(f"truncated: {len(data)} of {announced} bytes", temporary=True)
        return bytes(data)

    def retry(self, action: Callable[[], T]) -> T:
        """``action``, tried again after a growing wait while it fails temporarily."""
        for attempt in range(1, self.settings.attempts):
            try:
                return action()
            except TryFailed as failure:
                if not failure.temporary:
                    raise
                self.back_off(attempt, failure)
        return action()

    def back_off(self, attempt: int, failure: TryFailed) -> None:
        """Waits after the ``attempt``-th failure in a row: what the source asked for, else longer each time."""
        longest_seconds = self.settings.longest_wait_seconds
        if failure.wait_seconds is not None and failure.wait_seconds > longest_seconds:
            raise failure
        # Jitter keeps many builders that failed together from coming back together.
        growing_seconds = self.settings.backoff_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        self.wait(min(longest_seconds, max(growing_seconds, failure.wait_seconds or 0.0)))

    def wait(self, seconds: float) -> None:
        """Waits, unless the work is called off meanwhile (:class:`Cancelled`)."""
        self.cancel.wait(seconds)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raises :class:`Cancelled` when the work was called off."""
        if self.cancel.is_set():
            raise Cancelled

    def size_bytes(self, urls: Sequence[str]) -> int:
        """The size of a file: from HEAD, else from a one-byte range, else by reading it. URLs are tried in order."""
        failures: list[SourceFailure] = []
        for url in urls:
            try:
                return self.retry(lambda url=url: self._size_bytes(url))  # type: ignore[misc]
            except TryFailed as failure:
                failures.append(SourceFailure(shown(url), failure.reason, failure.temporary))
        raise exhausted("the size of a file is not known", failures, wanted="an answer with its size")

    def _size_bytes(self, url: str) -> int:
        response = self.request("HEAD", url)
        response.close()
        if response.status_code == 200 and not is_page(response):
            announced = content_length(response)
            if announced is not None:
                return announced
        if response.status_code == 404:
            demand_status(response, 200)
        response = self.request("GET", url, {"Range": "bytes=0-0"})
        demand_status(response, 200, 206)
        demand_no_page(response)
        if response.status_code == 206:
            response.close()
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if _NUMBER.fullmatch(total):
                return int(total)
            raise TryFailed("a part of the file without its whole size", temporary=False)
        announced = content_length(response)
        if announced is not None:
            response.close()
            return announced
        return sum(len(piece) for piece in self.body(response))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _Session()
            self._local.session = session
        return session


class _Session(requests.Session):
    """Leaves redirects to :meth:`HttpClient.request`: requests would read the body of each, unpacked, whatever size."""

    def resolve_redirects(self, *_args: Any, **_kwargs: Any) -> Iterator[requests.Response]:
        """None."""
        return iter(())


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The request as it is; without this, requests would look for a password in the user's ``.netrc``."""
    return request


def demand_status(response: requests.Response, *allowed: int) -> None:
    """Raises :class:`TryFailed` unless the status is one of ``allowed``; honours ``Retry-After``."""
    status = response.status_code
    if status in allowed:
        return
    response.close()
    wait_seconds = retry_after_seconds(response.headers.get("Retry-After"), time.time())
    reason = f"HTTP {status} {response.reason or ''}".rstrip()
    if wait_seconds is not None:
        reason += f", asks to wait {wait_seconds:.0f} s"
    raise TryFailed(reason, temporary=status in _TEMPORARY, wait_seconds=wait_seconds)


def demand_no_page(response: requests.Response) -> None:
    """Raises :class:`TryFailed` for a web page: no release file and no blob is one, a proxy's error page is."""
    if is_page(response):
        response.close()
        raise TryFailed("a web page (text/html) instead of the file", temporary=False)


def is_page(response: requests.Response) -> bool:
    """Whether the answer says it is a web page."""
    return response.headers.get("Content-Type", "").lower().startswith(_HTML)


def content_length(response: requests.Response) -> int | None:
    """The announced size of the body, if it is announced and not compressed on the way."""
    text = response.headers.get("Content-Length", "")
    coded = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(text) if _NUMBER.fullmatch(text) and not coded else None


def retry_after_seconds(header: str | None, now_seconds: float) -> float | None:
    """What ``Retry-After`` asks for (seconds or a date), ``None`` when it is absent or makes no sense."""
    if header is None:
        return None
    if _NUMBER.fullmatch(header.strip()):
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now_seconds)
    except (ValueError, OverflowError):
        return None


def shown(url: str) -> str:
    """``url`` fit for a message: without user, password and query (which may hold a signature)."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def exhausted(message: str, failures: Sequence[SourceFailure], *, wanted: str) -> OperatorError:
    """The error when every source failed to give what was ``wanted``, naming each and why."""
    temporary = any(failure.temporary for failure in failures)
    known = next((failure.next_step for failure in failures if failure.next_step), None)
    if any("certificate" in failure.reason for failure in failures):
        next_step = "give the site's certificate authority with --ca-file FILE"
    elif temporary:
        next_step = "run the same command again: what arrived is kept and resumed"
    elif known:
        next_step = known
    else:
        next_step = "check the version and the mirror (--mirror), then run the same command again"
    return SourceError(
        message,
        temporary=temporary,
        where="\n".join(failure.name for failure in failures),
        wanted=wanted,
        got=reasons(failures),
        next_step=next_step,
    )


def reasons(failures: Sequence[SourceFailure]) -> str:
    """Why each source failed, one a line, with its host where there are several."""
    if len(failures) == 1:
        return failures[0].reason
    return "\n".join(f"{urlsplit(failure.name).netloc}: {failure.reason}" for failure in failures)


def _no_answer(error: Exception) -> TryFailed:
    if isinstance(error, requests.exceptions.SSLError):
        return TryFailed(f"the certificate cannot be verified: {_reason(error)}", temporary=False)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return TryFailed("no connection in time", temporary=True)
    if isinstance(error, requests.exceptions.Timeout):
        return TryFailed("no answer in time", temporary=True)
    if isinstance(error, requests.exceptions.ProxyError):
        return TryFailed(f"the proxy does not answer: {_reason(error)}", temporary=True)
    permanent = not isinstance(error, (requests.ConnectionError, TransportError)) and isinstance(
        error, requests.RequestException
    )
    return TryFailed(_reason(error), temporary=not permanent)


def _reason(error: BaseException) -> str:
    """The innermost cause in one line: what the operating system or the TLS library said."""
    seen = error
    while True:
        inner = getattr(seen, "reason", None) or next((arg for arg in seen.args if isinstance(arg, Exception)), None)
        if not isinstance(inner, BaseException):
            break
        seen = inner
    text = _CONNECTION.sub("", str(seen)) or type(seen).__name__
    return " ".join(text.split())[:200]

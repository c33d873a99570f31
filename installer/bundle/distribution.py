"""One repository of a registry, over the OCI distribution API: what is there, and putting blobs and manifests into it.

Both sides push; how a request travels (:class:`Exchange`) is theirs, and no socket is opened here. A blob is asked for
before it is sent. It goes in pieces; after a break the registry is asked how much it has, and where it does not know,
the blob begins anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from installer.bundle.digest import Digest
from installer.bundle.errors import IntegrityError, OperatorError, RegistryError
from installer.bundle.mediatypes import ACCEPT, OCTET_STREAM
from installer.bundle.ordered import cut

MOST_MANIFEST_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 16 * 1024 * 1024
"""Sent by one request. Proxies before a registry often refuse more than 100 MB at once."""
ATTEMPTS = 5
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_MANIFESTS = f"{ACCEPT}, application/json;q=0.5"


@dataclass(frozen=True)
class Answer:
    """A status, headers (names in lower case) and the small body of an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the registry has done it."""
        return self.status in (200, 201, 202, 204)

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may work later."""
        return self.status in _TEMPORARY

    @property
    def codes(self) -> tuple[str, ...]:
        """The registry's own words for what is wrong, such as ``MANIFEST_BLOB_UNKNOWN``."""
        return tuple(code for code, _ in self._errors())

    @property
    def told(self) -> str:
        """The status and what the registry says about it, in one line."""
        said = "; ".join(f"{code} {message}".strip() for code, message in self._errors())
        return f"HTTP {self.status}" + (f", {said}"[:300] if said else "")

    def _errors(self) -> list[tuple[str, str]]:
        try:
            found = json.loads(self.body)["errors"]
            return [(str(item.get("code", "")), str(item.get("message", ""))) for item in found]
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return []


class NoAnswer(Exception):  # noqa: N818 - the outcome of one try, never an operator's error by itself
    """A request had no answer. ``temporary``: the same one may have one later."""

    def __init__(self, reason: str, *, temporary: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.temporary = temporary


class Exchange(Protocol):
    """Carries requests to one registry, with its credentials; ``base`` is ``https://host:port``."""

    @property
    def base(self) -> str:
        """Where the registry is, without a path."""

    def ask(self, repository: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request about a repository and its answer; :class:`NoAnswer` where there is none."""

    def wait(self, seconds: float) -> None:
        """Waits before another try."""


class Repository:
    """The repository ``name`` behind ``exchange``."""

    def __init__(self, exchange: Exchange, name: str) -> None:
        self._exchange = exchange
        self.name = name
        self.base = f"{exchange.base}/v2/{name}"

    @property
    def where(self) -> str:
        """The repository for messages."""
        return f"{self._exchange.base.partition('://')[2]}/{self.name}"

    def has_blob(self, digest: Digest, size_bytes: int) -> bool:
        """Whether the registry has the blob here; one of another size counts as missing."""
        answer = self._ask("HEAD", f"{self.base}/blobs/{digest}")
        if answer.status == 404:
            return False
        if answer.status in (302, 303, 307, 308):
            return True  # kept in an object store: a registry sends there for what it has
        self.demand(answer, f"{self.where}, blob {digest}")
        length = answer.headers.get("content-length", "")
        return not length.isdigit() or int(length) == size_bytes

    def manifest(self, name: str, accept: str = _MANIFESTS) -> tuple[bytes, str] | None:
        """The bytes and media type of the manifest called ``name`` (a tag or a digest), ``None`` where there is none.

        :class:`IntegrityError` for other bytes than the digest asked for, or than the registry says itself.
        """
        answer = self._ask("GET", f"{self.base}/manifests/{name}", {"Accept": accept})
        if answer.status == 404:
            return None
        self.demand(answer, f"{self.where}, {name}")
        wanted = name if name.startswith("sha256:") else answer.headers.get("docker-content-digest")
        self._demand_digest(Digest.of(answer.body), wanted, name)
        return answer.body, answer.headers.get("content-type", "").partition(";")[0].strip()

    def put_manifest(self, name: str, data: bytes, media_type: str) -> Answer:
        """Gives the registry a manifest under a tag or its digest: the answer, accepted or not."""
        answer = self._ask("PUT", f"{self.base}/manifests/{name}", {"Content-Type": media_type}, data)
        if answer.ok:
            self._demand_digest(Digest.of(data), answer.headers.get("docker-content-digest"), name)
        return answer

    def demand_manifest(self, name: str, data: bytes, media_type: str) -> Answer:
        """The same, and :class:`RegistryError` unless it was accepted."""
        answer = self.put_manifest(name, data, media_type)
        self.demand(answer, f"{self.where}, {name}")
        return answer

    def get(self, path: str, accept: str) -> Answer:
        """The answer to a GET below the repository, whatever it is."""
        return self._ask("GET", f"{self.base}/{path}", {"Accept": accept})

    def push_blob(
        self,
        digest: Digest,
        size_bytes: int,
        content: Callable[[], Iterable[bytes]],
        advance: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        """Sends a blob that is not there yet; ``content`` gives its bytes from the beginning, as often as needed.

        ``advance`` gets the bytes as they are sent (a negative number when some are given up).
        """
        for attempt in range(1, ATTEMPTS + 1):
            upload = _Upload(self, digest, advance)
            try:
                upload.run(content(), size_bytes)
                return
            except _Broken as failure:
                advance(-upload.sent_bytes)
                if not failure.temporary or attempt == ATTEMPTS:
                    raise failure.error from None
                self._exchange.wait(2.0 ** (attempt - 1))
            # The answer to the last request may be all that was lost.
            if self.has_blob(digest, size_bytes):
                advance(size_bytes)
                return

    def demand(self, answer: Answer, where: str) -> None:
        """Raises :class:`RegistryError` unless the answer is a success."""
        if not answer.ok:
            raise refusal(answer, where)

    def once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request, not tried again."""
        return self._exchange.ask(self.name, method, url, headers, body)

    def no_answer(self, failure: NoAnswer) -> RegistryError:
        """The error for a registry that does not answer."""
        known = "certificate" in failure.reason
        return RegistryError(
            "the registry does not answer",
            where=self.where,
            wanted=f"the distribution API at {self._exchange.base}/v2/",
            got=failure.reason,
            next_step="give the site's certificate authority with --ca-file FILE"
            if known
            else "check the address (--plain-http for one without TLS), then run the same command again",
        )

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """A request that may be made twice, tried again while that can help."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self.once(method, url, headers or {}, body)
                if not answer.is_temporary or attempt == ATTEMPTS:
                    return answer
            except NoAnswer as failure:
                if not failure.temporary or attempt == ATTEMPTS:
                    raise self.no_answer(failure) from None
            self._exchange.wait(2.0 ** (attempt - 1))
        raise AssertionError

    def _demand_digest(self, got: Digest, wanted: str | None, name: str) -> None:
        if wanted is not None and wanted.startswith("sha256:") and wanted != got:
            raise IntegrityError(
                "the registry has another manifest than it says",
                where=f"{self.where}, {name}",
                wanted=wanted,
                got=got,
                next_step="run the same command again; if that stays, look for a proxy that changes what passes it",
            )


class _Broken(Exception):  # noqa: N818 - ends one try of an upload
    def __init__(self, error: OperatorError, *, temporary: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.temporary = temporary


class _Upload:
    """One try to send a blob: begun, its pieces in order, and the end, where the registry compares the digest."""

    def __init__(self, repository: Repository, digest: Digest, advance: Callable[[int], None]) -> None:
        self._repository = repository
        self._digest = digest
        self._advance = advance
        self._where = f"{repository.where}, blob {digest}"
        self.sent_bytes = 0

    def run(self, content: Iterable[bytes], size_bytes: int) -> None:
        """Sends all of it. A blob of one piece needs two requests only."""
        begun = self._ask("POST", f"{self._repository.base}/blobs/uploads/", {"Content-Length": "0"}, b"")
        location = self._location(begun, f"{self._repository.base}/blobs/uploads/")
        pieces: Iterator[bytes] = cut(content, PIECE_BYTES)
        last = b""
        if size_bytes <= PIECE_BYTES:
            last = b"".join(pieces)
        else:
            for piece in pieces:
                location = self._piece(location, piece)
                self._count(len(piece))
        separator = "&" if "?" in location else "?"
        url = f"{location}{separator}digest={self._digest}"
        self._ask("PUT", url, {"Content-Type": OCTET_STREAM, "Content-Length": str(len(last))}, last)
        self._count(len(last))

    def _count(self, size_bytes: int) -> None:
        self.sent_bytes += size_bytes
        self._advance(size_bytes)

    def _piece(self, location: str, piece: bytes) -> str:
        """Sends a piece, after a break what is missing of it; where to go on."""
        start_bytes, end_bytes = self.sent_bytes, self.sent_bytes + len(piece)
        for attempt in range(1, ATTEMPTS + 1):
            rest = piece[start_bytes - self.sent_bytes :]
            headers = {"Content-Type": OCTET_STREAM, "Content-Range": f"{start_bytes}-{end_bytes - 1}"}
            try:
                return self._location(self._ask("PATCH", location, headers, rest), location)
            except _Broken as failure:
                if not failure.temporary or attempt == ATTEMPTS:
                    raise
                there = self._status(location)
                if there is None or not self.sent_bytes <= there[1] <= end_bytes:
                    raise
                location, start_bytes = there
                if start_bytes == end_bytes:
                    return location
        raise AssertionError

    def _status(self, location: str) -> tuple[str, int] | None:
        """Where an upload goes on and how much of it is there; ``None`` where the registry has given it up."""
        try:
            answer = self._ask("GET", location, {}, None)
        except _Broken:
            return None
        match = _RANGE.fullmatch(answer.headers.get("range", ""))
        if match is None:
            return None
        there_bytes = int(match[1]) + 1
        return self._location(answer, location), 0 if there_bytes == 1 else there_bytes

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        try:
            answer = self._repository.once(method, url, headers, body)
        except NoAnswer as failure:
            raise _Broken(self._repository.no_answer(failure), temporary=failure.temporary) from None
        if answer.ok:
            return answer
        if "DIGEST_INVALID" in answer.codes:
            error: OperatorError = IntegrityError(
                "the registry received other bytes than were sent",
                where=self._where,
                wanted=self._digest,
                got=answer.told,
                next_step="run the same command again; if that stays, look for a proxy that changes what passes it",
            )
            raise _Broken(error, temporary=True)
        # 404 and 416: the registry has lost the upload, which begins anew then.
        again = answer.is_temporary or (method in ("PATCH", "PUT") and answer.status in (404, 416))
        raise _Broken(refusal(answer, self._where), temporary=again)

    def _location(self, answer: Answer, asked: str) -> str:
        """Where the registry wants the next request. Behind a server that ends TLS it may think that it has none: on
        its own host our scheme stays, and elsewhere nothing goes from HTTPS to plain HTTP.
        """
        told, here = answer.headers.get("location", ""), urlsplit(asked)
        try:
            there = urlsplit(urljoin(asked, told))
        except ValueError:
            there = urlsplit("")
        if told and there.netloc == here.netloc:
            return there._replace(scheme=here.scheme).geturl()
        if not told or not there.netloc or there.scheme not in ("https", here.scheme):
            error = RegistryError(
                "the registry does not say where the upload goes on",
                where=self._where,
                wanted="an address of the same kind",
                got=told[:200] or "none",
                next_step="tell the registry its own address (Distribution: http.host; Harbor: external_url)",
            )
            raise _Broken(error, temporary=False)
        return there.geturl()


def refusal(answer: Answer, where: str) -> RegistryError:
    """The error for an answer that is a refusal, with what can be done about it."""
    if answer.status in (401, 403):
        message = "the registry refuses these credentials" if answer.status == 403 else "the registry wants credentials"
        wanted = "a user who may pull and push there"
        next_step = "log in as one who may (docker login, or --credentials on a node), then run the same command again"
    elif answer.status == 404:
        message, wanted = "the registry has no such place", "a registry's repository"
        next_step = "check the address; Harbor wants the project, the first part of the path, to be made beforehand"
    elif answer.status == 413:
        message, wanted = "a server before the registry refuses so much at once", "requests of 16 MiB accepted"
        next_step = "raise the limit there (nginx: client_max_body_size)"
    elif answer.is_temporary:
        message, wanted = "the registry fails", "a registry that works, with room on its disk"
        next_step = "look into the registry's log, then run the same command again: what arrived is not sent again"
    else:
        message, wanted = "the registry refuses what it is asked", "success"
        next_step = "look into the registry's log; its own words are above"
    return RegistryError(message, where=where, wanted=wanted, got=answer.told, next_step=next_step)

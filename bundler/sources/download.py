"""One blob into the store, from the first source that delivers it, resumed where an earlier try stopped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial as bind

import requests

from bundler.errors import IntegrityError
from bundler.sources.http import (
    HttpClient,
    SourceFailure,
    TryFailed,
    content_length,
    demand_no_page,
    demand_status,
    exhausted,
    reasons,
    shown,
)
from bundler.store import Partial, Store
from installer.bundle.digest import Digest

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)")
_PROGRESS_BYTES = 1024 * 1024
"""A try that brought this much more than any before it counts as progress: the attempts start anew."""
_WRONG_BYTES_TRIES = 2


@dataclass(frozen=True)
class Opening:
    """One place a blob can come from: its ``name`` in messages, and a request for it with extra headers."""

    name: str
    open: Callable[[Mapping[str, str]], requests.Response]


@dataclass(frozen=True)
class Wanted:
    """The blob to fetch and what it is called in messages; ``first_seen`` says that no checksum of it is published."""

    digest: Digest
    size_bytes: int
    what: str
    first_seen: bool = False


def file_openings(http: HttpClient, urls: Sequence[str]) -> list[Opening]:
    """The openings for a file at ``urls``, in that order."""
    return [Opening(shown(url), bind(_get, http, url)) for url in urls]


def _get(http: HttpClient, url: str, headers: Mapping[str, str]) -> requests.Response:
    return http.request("GET", url, headers)


class Download:
    """Fetches one blob. ``advance`` gets the bytes as they arrive (a negative number when some are given up)."""

    def __init__(
        self,
        http: HttpClient,
        store: Store,
        advance: Callable[[int], None] = lambda _bytes: None,
        note: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._http = http
        self._store = store
        self._advance = advance
        self._note = note

    def run(self, wanted: Wanted, openings: Sequence[Opening]) -> None:
        """Brings the blob into the store from the first opening that delivers it.

        Raises :class:`SourceError` naming every source and why it failed, or :class:`IntegrityError` when every
        source delivered other bytes than the digest says.
        """
        with self._store.receive(wanted.digest, wanted.size_bytes, self._http.wait) as partial:
            if partial is None:
                self._advance(wanted.size_bytes)
                return
            self._advance(partial.size_bytes)
            failures: list[SourceFailure] = []
            foreign: list[IntegrityError] = []
            for opening in openings:
                try:
                    self._from(opening, wanted, partial)
                except TryFailed as failure:
                    failures.append(SourceFailure(opening.name, failure.reason, failure.temporary))
                except IntegrityError as error:
                    foreign.append(error)
                    failures.append(SourceFailure(opening.name, _told(error), temporary=False))
                else:
                    for failed in failures:
                        self._note(f"{wanted.what}: {failed.name} did not deliver ({failed.reason})")
                    return
        raise _every_source_failed(wanted, failures, foreign)

    def _from(self, opening: Opening, wanted: Wanted, partial: Partial) -> None:
        """The blob from one source, tried again while that can help."""
        attempt = wrong = 0
        most_bytes = partial.size_bytes
        while True:
            started_bytes = partial.size_bytes
            try:
                if partial.size_bytes < wanted.size_bytes or not wanted.size_bytes:
                    self._one_try(opening, wanted, partial)
                self._finish(partial)
                return
            except IntegrityError:
                # What an earlier run left may be to blame (a crash, another source): the whole file settles it.
                wrong += not started_bytes
                if wrong == _WRONG_BYTES_TRIES:
                    raise
            except TryFailed as failure:
                if partial.size_bytes >= most_bytes + _PROGRESS_BYTES:
                    most_bytes = partial.size_bytes
                    attempt = 0
                attempt += 1
                if not failure.temporary or attempt >= self._http.settings.attempts:
                    raise
                self._http.back_off(attempt, failure)

    def _one_try(self, opening: Opening, wanted: Wanted, partial: Partial) -> None:
        response = self._open(opening, partial)
        started_bytes = partial.size_bytes
        announced = content_length(response)
        if announced is not None and partial.size_bytes + announced > wanted.size_bytes:
            response.close()
            got = f"{partial.size_bytes + announced} bytes announced"
            self._restart(partial)
            raise IntegrityError("wrong size", wanted=f"{wanted.size_bytes} bytes", got=got)
        for piece in self._http.body(response):
            had_bytes = partial.size_bytes
            try:
                partial.append(piece)
            finally:
                self._advance(partial.size_bytes - had_bytes)
        if partial.size_bytes < wanted.size_bytes:
            if started_bytes == 0 and announced == partial.size_bytes:
                self._restart(partial)
                raise IntegrityError("wrong size", wanted=f"{wanted.size_bytes} bytes", got=f"{announced} bytes")
            # Cut short by a break, or by a source that serves only so much of a range at once: go on from here.
            raise TryFailed(f"truncated: {partial.size_bytes} of {wanted.size_bytes} bytes", temporary=True)

    def _open(self, opening: Opening, partial: Partial) -> requests.Response:
        """A response whose body goes on exactly where ``partial`` ends (which may be its very start)."""
        offset = partial.size_bytes
        if offset:
            response = opening.open({"Range": f"bytes={offset}-"})
            if response.status_code == 206 and _goes_on_at(response, offset):
                return response
            if response.status_code not in (200, 206, 416):
                demand_status(response, 206)
            # The source does not serve this range: whatever it sent is not glued to what we have.
            self._restart(partial)
            if response.status_code == 200:
                demand_no_page(response)
                return response
            response.close()
        response = opening.open({})
        demand_status(response, 200)
        demand_no_page(response)
        return response

    def _restart(self, partial: Partial) -> None:
        self._advance(-partial.size_bytes)
        partial.restart()

    def _finish(self, partial: Partial) -> None:
        had_bytes = partial.size_bytes
        try:
            partial.finish()
        except IntegrityError:
            self._advance(-had_bytes)
            raise


def _goes_on_at(response: requests.Response, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == offset


def _told(error: IntegrityError) -> str:
    return f"{error.message}: wanted {error.wanted}, got {error.got}"


def _every_source_failed(
    wanted: Wanted, failures: Sequence[SourceFailure], foreign: Sequence[IntegrityError]
) -> Exception:
    bytes_wanted = f"{wanted.digest}, {wanted.size_bytes} bytes"
    if foreign and len(foreign) == len(failures):
        if wanted.first_seen:
            return IntegrityError(
                f"{wanted.what}: upstream serves another one now than was locked",
                where="\n".join(failure.name for failure in failures),
                wanted=bytes_wanted,
                got=reasons(failures),
                next_step="name a store that has it (--store DIR); or make a new lock, after looking at what changed",
            )
        return IntegrityError(
            f"{wanted.what}: the source serves other bytes than its checksum says",
            where="\n".join(failure.name for failure in failures),
            wanted=bytes_wanted,
            got=reasons(failures),
            next_step="try another mirror (--mirror); tell the catalogue's maintainer if upstream itself serves them",
        )
    return exhausted(f"cannot fetch {wanted.what}", failures, wanted=bytes_wanted)

"""What goes wrong between a build and its upstreams, drawn from a seed: the same seed always means the same faults.

A fault is planned for certain requests (the first GET of a path, the next two, or all of them), never for a moment, so
that it meets the same request whatever the threads of a build do. What a kind does to an answer is in :data:`KINDS`.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from installer.bundle.digest import Digest
from installer.bundle.mediatypes import OCI_INDEX
from tests.fakes import faults
from tests.fakes.upstream import Fault, Handler, Reply, Upstream

ALWAYS = 10_000
STALL_SECONDS = 5.0
BOMB = gzip.compress(bytes(256 * 1024 * 1024), 9, mtime=0)
"""A quarter of a megabyte that unpacks to 256 MiB."""


class Place(Protocol):
    """Where a fault happens: the proxy it is planned at, and the other host that redirects lead to."""

    elsewhere: Upstream
    unproven: str

    def instead(self, body: bytes) -> None:
        """Notes bytes that were served in place of upstream's and that nothing can tell from a newer release."""

    def expire(self, handler: Handler) -> None:
        """Ends the token of this request, and answers as a registry does then."""


Make = Callable[[float, Place], Fault]
"""A fault from where in the body it happens (0 to 1) and its place."""


@dataclass(frozen=True)
class Kind:
    """One way to misbehave; ``targets`` are the kinds of requests that it can meet (see :func:`target_of`)."""

    make: Make
    targets: tuple[str, ...]


def _part(fault: Callable[[int], Fault]) -> Make:
    """A fault that happens so far into the part of the body that was asked for."""

    def make(fraction: float, _place: Place) -> Fault:
        return lambda handler, reply: fault(int(fraction * len(handler.wanted(reply))))(handler, reply)

    return make


def _plain(fault: Fault) -> Make:
    return lambda _fraction, _place: fault


def _flip(fraction: float, place: Place) -> Fault:
    def fault(handler: Handler, reply: Reply) -> None:
        offset = int(fraction * len(reply.body))
        if handler.path == place.unproven:
            place.instead(reply.body[:offset] + bytes([reply.body[offset] ^ 1]) + reply.body[offset + 1 :])
        faults.flip(offset)(handler, reply)

    return fault


def _other_bytes(handler: Handler, reply: Reply) -> None:
    handler.serve(replace(reply, body=reply.body[::-1]))


def _expired(_fraction: float, place: Place) -> Fault:
    return lambda handler, _reply: place.expire(handler)


def _elsewhere(_fraction: float, place: Place, **headers: str) -> Fault:
    def fault(handler: Handler, reply: Reply) -> None:
        path = f"/moved{handler.path.partition('?')[0]}"
        place.elsewhere.replies[path] = reply
        body = BOMB if headers else b""
        faults.status(307, body=body, Location=place.elsewhere.url + path, **headers)(handler, reply)

    return fault


def _loop(handler: Handler, reply: Reply) -> None:
    faults.redirect(handler.path)(handler, reply)


def _instead(change: Callable[[bytes], bytes], content_type: str | None = None, *, is_told: bool = False) -> Make:
    """Another manifest, with the digest that it has; one that ``is_told`` cannot be taken for an image."""

    def make(_fraction: float, place: Place) -> Fault:
        def fault(handler: Handler, reply: Reply) -> None:
            body = change(reply.body)
            if not is_told:
                place.instead(body)
            headers = {"Docker-Content-Digest": str(Digest.of(body))}
            handler.serve(Reply(body, content_type or reply.content_type, headers))

        return fault

    return make


def _annotated(body: bytes) -> bytes:
    return json.dumps(json.loads(body) | {"annotations": {"moved": "yes"}}).encode()


def _many_entries(body: bytes) -> bytes:
    entries = json.loads(body)["manifests"]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries * (10_000 // len(entries))}
    ).encode()


def _padded(size_bytes: int) -> Callable[[bytes], bytes]:
    return lambda body: body + b" " * (size_bytes - len(body))


_HEAD = ("head",)
_TAGS = ("tag",)
_BODIES = ("tag", "manifest", "blob", "file", "chart")
_REGISTRY = ("tag", "manifest", "blob")
_PAGE = b"<html>The service is not available</html>"
KINDS: Mapping[str, Kind] = {
    "429": Kind(_plain(faults.status(429)), _HEAD + _BODIES),
    "429 with Retry-After": Kind(_plain(faults.status(429, Retry_After="7")), _HEAD + _BODIES),
    "429 with a Retry-After beyond patience": Kind(_plain(faults.status(429, Retry_After="3600")), _HEAD + _BODIES),
    "500": Kind(_plain(faults.status(500)), _HEAD + _BODIES),
    "502 with a page": Kind(_plain(faults.status(502, body=_PAGE, content_type="text/html")), _HEAD + _BODIES),
    "503": Kind(_plain(faults.status(503)), _HEAD + _BODIES),
    "reset": Kind(_part(faults.reset_after), _BODIES),
    "stall": Kind(_part(lambda size_bytes: faults.stall_after(size_bytes, STALL_SECONDS)), _BODIES),
    "truncated": Kind(_part(faults.truncate_after), _BODIES),
    "Content-Length too large": Kind(_plain(faults.announce(+10)), _HEAD + _BODIES),
    "Content-Length too small": Kind(_plain(faults.announce(-10)), _HEAD + _BODIES),
    "range ignored": Kind(_plain(faults.ignore_range), ("blob", "file")),
    "page with 200": Kind(_plain(faults.page), _HEAD + _BODIES),
    "page with 200 as octets": Kind(
        _plain(faults.status(200, body=_PAGE, content_type="application/octet-stream")), _BODIES
    ),
    "byte changed": Kind(_flip, _BODIES),
    "other bytes than the digest": Kind(_plain(_other_bytes), _BODIES),
    "manifest changed": Kind(_instead(_annotated), _TAGS),
    "token expired": Kind(_expired, _REGISTRY),
    "redirect to another host": Kind(_elsewhere, _HEAD + _BODIES),
    "redirect loop": Kind(_plain(_loop), _HEAD + _BODIES),
    "redirect with a gzip bomb": Kind(
        lambda fraction, place: _elsewhere(fraction, place, Content_Encoding="gzip"), _BODIES
    ),
    "index of 10,000 entries": Kind(_instead(_many_entries, OCI_INDEX, is_told=True), _TAGS),
    "manifest of 5 MiB": Kind(_instead(_padded(5 * 1024 * 1024)), _TAGS),
    "manifest of 9 MiB": Kind(_instead(_padded(9 * 1024 * 1024), is_told=True), _TAGS),
    "gzip bomb on the way": Kind(
        _plain(faults.status(200, body=BOMB, content_type="application/json", Content_Encoding="gzip")), _BODIES
    ),
    "gzip bomb as the file": Kind(
        _plain(faults.status(200, body=BOMB, content_type="application/gzip")), ("chart", "blob")
    ),
}


def target_of(method: str, path: str, chart_path: str) -> str:
    """What kind of request this is: ``head``, ``chart``, ``file``, ``blob``, ``manifest`` or (by tag) ``tag``."""
    if method == "HEAD":
        return "head"
    if not path.startswith("/v2/"):
        return "chart" if path == chart_path else "file"
    if "/blobs/" in path:
        return "blob"
    return "manifest" if "/manifests/sha256:" in path else "tag"


@dataclass(frozen=True)
class Planned:
    """One fault: it meets ``times`` requests of this method for this path, from number ``first`` (counted from 0)."""

    kind: str
    method: str
    path: str
    first: int
    times: int
    fraction: float

    def meets(self, method: str, path: str, number: int) -> bool:
        """Whether this is such a request."""
        return (method, path) == (self.method, self.path) and self.first <= number < self.first + self.times


def schedule(seed: int, requests: Sequence[tuple[str, str]], chart_path: str) -> tuple[Planned, ...]:
    """The faults of ``seed`` for a build that makes these ``requests`` (method and path); at most one for each.

    The first is of the kind whose turn it is, so that so many seeds in a row have all kinds alike.
    """
    chance = random.Random(seed)  # noqa: S311 - the same every time is the point
    names = list(KINDS)
    planned: dict[tuple[str, str], Planned] = {}
    for number in range(chance.randint(1, 4)):
        kind = names[seed % len(names)] if number == 0 else chance.choice(names)
        fitting = sorted(item for item in set(requests) if target_of(*item, chart_path) in KINDS[kind].targets)
        method, path = chance.choice(fitting)
        first, times = chance.choice((0, 0, 0, 1)), chance.choice((1, 1, 1, 2, 3, ALWAYS))
        if first and target_of(method, path, chart_path) == "chart":
            first = 0
        if kind == "token expired" and times != ALWAYS:
            times = 1
        planned[method, path] = Planned(kind, method, path, first, times, chance.random())
    return tuple(planned.values())

"""The pure parts of fetching: what Retry-After means, what is shown of an address, how failures are told."""

from __future__ import annotations

import threading

import pytest

from bundler.sources.http import (
    Cancelled,
    HttpClient,
    HttpSettings,
    SourceFailure,
    TryFailed,
    exhausted,
    retry_after_seconds,
    shown,
)

NOW = 1_792_000_000.0  # 2026-10-14 17:46:40 UTC


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("Wed, 14 Oct 2026 17:47:40 GMT", 60.0),
        ("Wed, 14 Oct 2020 17:47:40 GMT", 0.0),
        ("-5", None),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_an_address_is_shown_without_secrets() -> None:
    assert shown("https://me:pw@host:8443/a/b?sig=1#x") == "https://host:8443/a/b"


class _Clockless(HttpClient):
    """Records its waits instead of waiting."""

    def __init__(self, settings: HttpSettings) -> None:
        super().__init__(settings)
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


def _failing(*failures: TryFailed) -> tuple[list[TryFailed], _Clockless]:
    return list(failures), _Clockless(HttpSettings(attempts=5, backoff_seconds=1, longest_wait_seconds=3))


def _run(left: list[TryFailed], http: HttpClient) -> str:
    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return http.retry(action)


def test_waits_longer_each_time_with_jitter_and_a_limit() -> None:
    left, http = _failing(*[TryFailed("busy", temporary=True)] * 4)
    assert _run(left, http) == "done"
    bounds = [(0.5, 1), (1, 2), (2, 3), (3, 3)]
    assert all(low <= wait <= high for wait, (low, high) in zip(http.waits, bounds, strict=True))


def test_gives_up_after_the_last_attempt() -> None:
    left, http = _failing(*[TryFailed("busy", temporary=True)] * 5)
    with pytest.raises(TryFailed, match="busy"):
        _run(left, http)
    assert len(http.waits) == 4


def test_does_not_try_again_what_cannot_change() -> None:
    left, http = _failing(TryFailed("HTTP 404", temporary=False))
    with pytest.raises(TryFailed, match="404"):
        _run(left, http)
    assert http.waits == []


def test_waits_as_long_as_it_is_asked_to_within_reason() -> None:
    left, http = _failing(TryFailed("busy", temporary=True, wait_seconds=2.5))
    assert _run(left, http) == "done"
    assert http.waits == [2.5]
    left, http = _failing(TryFailed("busy", temporary=True, wait_seconds=60))
    with pytest.raises(TryFailed):
        _run(left, http)
    assert http.waits == []


def test_a_cancelled_client_neither_waits_nor_asks() -> None:
    cancel = threading.Event()
    cancel.set()
    http = HttpClient(HttpSettings(), cancel)
    with pytest.raises(Cancelled):
        http.wait(60)
    with pytest.raises(Cancelled):
        http.request("GET", "http://host.invalid/")


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (SourceFailure("a", "the certificate cannot be verified: x", False), "--ca-file"),
        (SourceFailure("a", "HTTP 503", True), "run the same command again"),
        (SourceFailure("a", "HTTP 404", False), "--mirror"),
    ],
)
def test_the_error_says_what_to_do(failure: SourceFailure, advice: str) -> None:
    error = exhausted("cannot fetch a file", [failure], wanted="4 bytes")
    assert error.where == "a"
    assert (error.wanted, error.got) == ("4 bytes", failure.reason)
    assert advice in str(error.next_step)

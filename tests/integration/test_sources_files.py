"""Files over HTTP from a server that misbehaves: exact bytes, or a clear error; and the next run finishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.errors import InputError, IntegrityError, OperatorError, SourceError
from bundler.sources.download import Download, Wanted, file_openings
from bundler.sources.http import Cancelled, HttpClient, HttpSettings
from bundler.store import Store
from installer.bundle.digest import Digest
from tests.fakes.faults import (
    announce,
    flip,
    ignore_range,
    other_range,
    page,
    redirect,
    reset_after,
    stall_after,
    status,
    stop_after,
    trickle,
    truncate_after,
)
from tests.fakes.upstream import Fault, Upstream, make_certificate

pytestmark = pytest.mark.network

DATA = bytes(range(256)) * 12000
DIGEST = Digest.of(DATA)
WANTED = Wanted(DIGEST, len(DATA), "a file")
PATH = "/release/file"
IMPATIENT = HttpSettings(
    connect_timeout_seconds=2, read_timeout_seconds=0.8, attempts=3, backoff_seconds=0.01, longest_wait_seconds=1.5
)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.add(PATH, DATA)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def http() -> HttpClient:
    return HttpClient(IMPATIENT)


def _fetch(http: HttpClient, store: Store, *urls: str) -> int:
    """Downloads; gives the bytes that progress counted."""
    counted: list[int] = []
    Download(http, store, counted.append).run(WANTED, file_openings(http, urls))
    return sum(counted)


def _error(http: HttpClient, store: Store, *urls: str) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        _fetch(http, store, *urls)
    return caught.value


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((), id="no fault"),
        pytest.param((status(429, Retry_After="1"),), id="429 with Retry-After"),
        pytest.param((status(500), status(503)), id="500 and 503"),
        pytest.param((reset_after(0),), id="reset at once"),
        pytest.param((reset_after(2_000_000), reset_after(100_000)), id="resets"),
        pytest.param((truncate_after(1_500_000),), id="truncated"),
        pytest.param((stall_after(1_000_000, 5),), id="stall"),
        pytest.param((trickle(5),), id="trickle"),
        pytest.param((announce(+10),), id="Content-Length too large"),
        pytest.param((announce(-10),), id="Content-Length too small"),
        pytest.param((flip(1_000_000),), id="changed byte"),
        pytest.param((truncate_after(1_000_000), ignore_range), id="range ignored"),
        pytest.param((truncate_after(1_000_000), other_range), id="another range"),
        pytest.param((truncate_after(1_000_000), status(416)), id="range refused"),
        pytest.param((truncate_after(1_000_000), status(503), reset_after(50_000)), id="several"),
    ],
)
def test_a_passing_fault_ends_in_the_exact_bytes(
    upstream: Upstream, http: HttpClient, store: Store, faults: tuple[Fault, ...]
) -> None:
    upstream.plan(PATH, *faults)
    counted = _fetch(http, store, upstream.url + PATH)
    assert store.read_bytes(DIGEST, len(DATA)) == DATA
    assert counted == len(DATA)
    assert not upstream.faults[PATH]
    assert not list((store.root / "partial").iterdir())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(status(503), ("network", "HTTP 503"), id="503"),
        pytest.param(status(404), ("network", "HTTP 404"), id="404"),
        pytest.param(page, ("network", "web page"), id="page with 200"),
        pytest.param(reset_after(1000), ("network", "connection broke"), id="reset"),
        pytest.param(stall_after(1000, 5), ("network", "stalled: nothing arrived for 0.8 s"), id="stall"),
        pytest.param(truncate_after(1000), ("network", "truncated"), id="truncated"),
        pytest.param(flip(7), ("integrity", "wrong bytes"), id="changed byte"),
        pytest.param(announce(-10), ("integrity", "wrong size"), id="shorter file"),
    ],
)
def test_a_lasting_fault_is_named_with_its_source_and_the_next_run_finishes(
    upstream: Upstream, http: HttpClient, store: Store, fault: Fault, expected: tuple[str, str]
) -> None:
    family, told = expected
    upstream.plan(PATH, *[fault] * IMPATIENT.attempts)
    error = _error(http, store, upstream.url + PATH)
    assert error.family == family
    assert upstream.url + PATH in str(error.where)
    assert told in str(error.got)
    assert error.next_step
    assert not store.has(DIGEST)
    upstream.faults[PATH].clear()
    assert _fetch(http, store, upstream.url + PATH) == len(DATA)
    assert store.has(DIGEST, len(DATA))


def test_a_later_run_asks_only_for_what_is_missing(upstream: Upstream, http: HttpClient, store: Store) -> None:
    upstream.plan(PATH, truncate_after(2_000_000), *[status(503)] * 2)
    _error(http, store, upstream.url + PATH)
    kept_bytes = store.partial_path(DIGEST).stat().st_size
    assert kept_bytes == 2_000_000
    _fetch(http, store, upstream.url + PATH)
    assert upstream.seen[-1].headers["Range"] == f"bytes={kept_bytes}-"


def test_a_page_after_a_break_is_never_glued_to_the_file(upstream: Upstream, http: HttpClient, store: Store) -> None:
    upstream.plan(PATH, truncate_after(2_000_000), page)
    assert "web page" in str(_error(http, store, upstream.url + PATH).got)
    _fetch(http, store, upstream.url + PATH)
    assert store.read_bytes(DIGEST, len(DATA)) == DATA


def test_a_damaged_leftover_costs_one_more_download_and_no_trust(
    upstream: Upstream, http: HttpClient, store: Store
) -> None:
    store.partial_path(DIGEST).write_bytes(b"\0" * 1_000_000)
    upstream.plan(PATH, lambda handler, reply: handler.serve(reply), flip(5))
    assert _fetch(http, store, upstream.url + PATH) == len(DATA)
    assert store.read_bytes(DIGEST, len(DATA)) == DATA


def test_a_trickle_is_a_stall(upstream: Upstream, http: HttpClient, store: Store) -> None:
    upstream.plan(PATH, trickle(30))
    started_seconds = time.monotonic()
    _fetch(http, store, upstream.url + PATH)
    assert time.monotonic() - started_seconds < 10


def test_a_file_said_to_be_compressed_on_the_way_is_taken_as_it_is(
    upstream: Upstream, http: HttpClient, store: Store
) -> None:
    upstream.add(PATH, DATA, Content_Encoding="gzip")
    assert _fetch(http, store, upstream.url + PATH) == len(DATA)
    assert upstream.seen[0].headers["Accept-Encoding"] == "identity"


def test_progress_resets_the_attempts(upstream: Upstream, store: Store) -> None:
    wanted = Wanted(Digest.of(DATA * 4), len(DATA) * 4, "a larger file")
    upstream.add(PATH, DATA * 4)
    upstream.plan(PATH, *[truncate_after(1_500_000)] * 7)
    http = HttpClient(HttpSettings(attempts=2, backoff_seconds=0.01))
    Download(http, store).run(wanted, file_openings(http, [upstream.url + PATH]))
    assert store.has(wanted.digest)


def test_mirrors_are_tried_in_order_and_the_fallback_is_told(
    upstream: Upstream, http: HttpClient, store: Store
) -> None:
    bad = upstream.add("/mirror/file", DATA[:-1] + b"!")
    gone = f"{upstream.url}/gone/file"
    notes: list[str] = []
    openings = file_openings(http, [gone, bad, upstream.url + PATH])
    Download(http, store, note=notes.append).run(WANTED, openings)
    assert store.read_bytes(DIGEST, len(DATA)) == DATA
    assert [gone in notes[0], "HTTP 404" in notes[0], bad in notes[1], "wrong bytes" in notes[1]] == [True] * 4


def test_the_error_names_every_source_and_why(upstream: Upstream, http: HttpClient, store: Store) -> None:
    bad = upstream.add("/mirror/file", DATA[:-1] + b"!")
    gone = f"{upstream.url}/gone/file"
    closed = "http://127.0.0.1:9/file"
    error = _error(http, store, gone, bad, closed)
    assert isinstance(error, SourceError)
    assert str(error.where).splitlines() == [gone, bad, closed]
    places = (upstream.host, upstream.host, "127.0.0.1:9")
    parts = ("404", "wrong bytes", "refused")
    for place, part, line in zip(places, parts, str(error.got).splitlines(), strict=True):
        assert line.startswith(f"{place}: ")
        assert part in line


def test_only_foreign_bytes_everywhere_are_an_integrity_error(
    upstream: Upstream, http: HttpClient, store: Store
) -> None:
    bad = upstream.add("/mirror/file", DATA[:-1] + b"!")
    error = _error(http, store, bad)
    assert isinstance(error, IntegrityError)
    assert DIGEST in str(error.wanted)
    assert len(upstream.requests("/mirror/file")) == 2


def test_retry_after_is_honoured(upstream: Upstream, http: HttpClient, store: Store) -> None:
    upstream.plan(PATH, status(429, Retry_After="1"))
    started = time.monotonic()
    _fetch(http, store, upstream.url + PATH)
    assert time.monotonic() - started >= 1


def test_a_retry_after_beyond_patience_ends_the_try_and_says_so(
    upstream: Upstream, http: HttpClient, store: Store
) -> None:
    upstream.plan(PATH, status(429, Retry_After="3600"))
    assert "asks to wait 3600 s" in str(_error(http, store, upstream.url + PATH).got)
    assert len(upstream.seen) == 1


def test_credentials_do_not_follow_a_redirect_to_another_host(http: HttpClient, store: Store) -> None:
    with Upstream() as first, Upstream() as other:
        elsewhere = other.add(PATH, DATA).replace("127.0.0.1", "localhost")
        first.plan(PATH, redirect(elsewhere))
        _fetch(http, store, f"{first.url}{PATH}".replace("http://", "http://user:secret@"))
        assert "Authorization" in first.seen[0].headers
        assert "Authorization" not in other.seen[0].headers
        assert store.has(DIGEST)
        first.violations.clear()


def test_a_password_in_an_address_is_never_shown(upstream: Upstream, http: HttpClient, store: Store) -> None:
    url = f"{upstream.url}/gone?signature=secret".replace("http://", "http://user:secret@")
    assert "secret" not in "\n".join(_error(http, store, url).lines())
    upstream.violations.clear()


def test_a_cancelled_download_stops_and_can_be_resumed(upstream: Upstream, store: Store) -> None:
    cancel = threading.Event()
    http = HttpClient(HttpSettings(read_timeout_seconds=5), cancel)
    upstream.plan(PATH, stop_after(1_000_000, store.partial_path(DIGEST), cancel.set))
    with pytest.raises(Cancelled):
        _fetch(http, store, upstream.url + PATH)
    assert 800_000 <= store.partial_path(DIGEST).stat().st_size <= 1_000_000
    assert len(upstream.seen) == 1
    assert _fetch(HttpClient(IMPATIENT), store, upstream.url + PATH) == len(DATA)


def test_two_builds_at_once_fetch_a_file_once(upstream: Upstream, tmp_path: Path) -> None:
    upstream.plan(PATH, truncate_after(1_000_000))
    errors: list[BaseException] = []

    def build() -> None:
        try:
            _fetch(HttpClient(HttpSettings(backoff_seconds=0.01)), Store(tmp_path / "shared"), upstream.url + PATH)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(upstream.seen) == 2, "the broken try and the one that went on from it"
    assert Store(tmp_path / "shared").read_bytes(DIGEST, len(DATA)) == DATA


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((), id="HEAD"),
        pytest.param((status(405),), id="HEAD refused"),
        pytest.param((status(403), ignore_range), id="HEAD and range refused"),
        pytest.param((status(503), status(429)), id="busy"),
    ],
)
def test_asks_for_a_size_without_the_file(upstream: Upstream, http: HttpClient, faults: tuple[Fault, ...]) -> None:
    upstream.plan(PATH, *faults)
    assert http.size_bytes([f"{upstream.url}/gone", upstream.url + PATH]) == len(DATA)


def test_a_page_has_no_size(upstream: Upstream, http: HttpClient) -> None:
    upstream.plan(PATH, page, page)
    with pytest.raises(SourceError) as caught:
        http.size_bytes([upstream.url + PATH])
    assert "web page" in str(caught.value.got)


def test_a_proxy_from_the_environment_is_used(
    upstream: Upstream, http: HttpClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    error = _error(http, store, "http://upstream.invalid/file")
    assert "proxy" in str(error.got)


def test_a_ca_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="CA file"):
        HttpClient(HttpSettings(ca_file=tmp_path / "ca.pem"))


def test_a_sites_own_certificate_authority_is_trusted_only_when_given(
    http: HttpClient, store: Store, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    with Upstream(certificate) as secure, Upstream() as plain:
        url = secure.add(PATH, DATA)
        error = _error(http, store, url)
        assert "certificate" in str(error.got)
        assert "--ca-file" in str(error.next_step)
        trusting = HttpClient(HttpSettings(ca_file=certificate, attempts=2, backoff_seconds=0.01))
        secure.plan(PATH, redirect(plain.add(PATH, DATA)))
        assert "HTTPS to plain HTTP" in str(_error(trusting, store, url).got)
        assert _fetch(trusting, store, url) == len(DATA)

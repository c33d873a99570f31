"""Answers that are meant to hurt: bombs, loops, numbers without end, redirects to where nobody should be sent."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bundler.errors import OperatorError, SourceError
from bundler.mirrors import ImageLocation, MirrorProfile
from bundler.sources.auth import DockerConfig
from bundler.sources.download import Download, Wanted, file_openings
from bundler.sources.http import HttpClient, HttpSettings
from bundler.sources.registry import RegistryClient
from bundler.sources.upstreams import Upstreams
from bundler.store import Store
from installer.bundle.digest import Digest
from installer.bundle.mediatypes import OCI_INDEX
from installer.bundle.platform import Platform
from installer.bundle.reference import Reference
from tests.fakes.disturbance import BOMB
from tests.fakes.faults import redirect, status
from tests.fakes.registry_images import image, index, on
from tests.fakes.upstream import Fault, Upstream, make_certificate

pytestmark = pytest.mark.network

DATA = bytes(range(256)) * 400
WANTED = Wanted(Digest.of(DATA), len(DATA), "a file")
PATH = "/release/file"
REFERENCE = Reference("registry.k8s.io", "team/app", "v1")
MANIFEST = "/v2/team/app/manifests/v1"
IMPATIENT = HttpSettings(read_timeout_seconds=5, attempts=3, backoff_seconds=0.01, longest_wait_seconds=2)
MOST_BYTES = 24_000_000
"""More than any answer may take; a bomb that goes off takes 268 million."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.add(PATH, DATA)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _fetch(store: Store, *urls: str, settings: HttpSettings = IMPATIENT) -> None:
    http = HttpClient(settings)
    Download(http, store).run(WANTED, file_openings(http, urls))


def _resolve(upstream: Upstream, store: Store, folder: Path | None = None) -> None:
    config = DockerConfig.load({"DOCKER_CONFIG": str(folder or store.root)})
    locations = [ImageLocation("http", upstream.host, "team/app")]
    RegistryClient(HttpClient(IMPATIENT), store, config).resolve(REFERENCE, (Platform("linux/amd64"),), locations)


def _error(act: Callable[[], object]) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        act()
    assert all((caught.value.where, caught.value.wanted, caught.value.got, caught.value.next_step))
    return caught.value


def _peak_bytes(act: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _bomb(code: int, content_type: str, **headers: str) -> Fault:
    return status(code, body=BOMB, content_type=content_type, Content_Encoding="gzip", **headers)


def test_the_body_of_a_redirect_is_not_unpacked(upstream: Upstream, store: Store) -> None:
    url = upstream.add("/from", b"")
    upstream.plan("/from", _bomb(307, "text/html", Location=PATH))
    assert _peak_bytes(lambda: _fetch(store, url)) < MOST_BYTES
    assert store.has(WANTED.digest)


@pytest.mark.parametrize("code", [200, 401, 404, 503])
def test_a_bomb_in_place_of_a_manifest_does_not_go_off(upstream: Upstream, store: Store, code: int) -> None:
    upstream.plan(MANIFEST, *[_bomb(code, OCI_INDEX)] * IMPATIENT.attempts)
    assert _peak_bytes(lambda: _error(lambda: _resolve(upstream, store))) < MOST_BYTES
    assert not list((store.root / "blobs" / "sha256").iterdir())


def test_a_bomb_in_place_of_a_token_or_a_file_does_not_go_off(upstream: Upstream, store: Store) -> None:
    upstream.add("/bomb", BOMB, "application/json", Content_Encoding="gzip")
    challenge = f'Bearer realm="{upstream.url}/bomb",service="x"'
    upstream.plan(MANIFEST, status(401, WWW_Authenticate=challenge))
    assert _peak_bytes(lambda: _error(lambda: _resolve(upstream, store))) < MOST_BYTES
    assert _peak_bytes(lambda: _error(lambda: _fetch(store, f"{upstream.url}/bomb"))) < MOST_BYTES
    upstreams = Upstreams(store, MirrorProfile("none"), IMPATIENT, {"DOCKER_CONFIG": str(store.root)})
    data, place = upstreams.small_file(f"{upstream.url}/bomb", 10_000_000, "a chart")
    assert (data, place) == (BOMB, f"{upstream.url}/bomb"), "as it is on the wire: whoever unpacks it has a limit"


def test_a_redirect_loop_is_named(upstream: Upstream, store: Store) -> None:
    url = upstream.add("/from", b"")
    upstream.plan("/from", *[redirect("/to")] * 20)
    upstream.plan("/to", *[redirect("/from")] * 20)
    error = _error(lambda: _fetch(store, url))
    assert error.where == url
    assert f"redirected more than 10 times, at last to {upstream.url}/to" in str(error.got)
    assert len(upstream.seen) == 11


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("file:///etc/passwd", "not HTTP (file:///etc/passwd)"),
        ("ftp://127.0.0.1/file", "not HTTP"),
        ("http://[::1", "no address"),
        ("http://127.0.0.1:port/", ""),
        ("http:///", ""),
        ("//..", ""),
        ("http://\x7f/", ""),
    ],
)
def test_a_redirect_that_leads_nowhere_is_told(upstream: Upstream, store: Store, location: str, told: str) -> None:
    url = upstream.add("/from", b"")
    upstream.plan("/from", *[redirect(location)] * IMPATIENT.attempts)
    error = _error(lambda: _fetch(store, url))
    assert isinstance(error, SourceError)
    assert told in str(error.got)


def test_https_is_not_left_on_the_way_either(store: Store, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with Upstream(certificate) as secure, Upstream() as plain:
        secure.add(PATH, DATA)
        url, between = secure.add("/from", b""), plain.add("/between", b"")
        secure.plan("/from", redirect(between))
        plain.plan("/between", redirect(secure.url + PATH))
        settings = HttpSettings(ca_file=certificate, attempts=2, backoff_seconds=0.01)
        error = _error(lambda: _fetch(store, url, settings=settings))
        assert f"HTTPS to plain HTTP ({between})" in str(error.got)
        assert not plain.seen


def test_a_password_in_an_address_stays_with_its_host(upstream: Upstream, store: Store) -> None:
    with Upstream(address="127.0.0.2") as other:
        other.add(PATH, DATA)
        upstream.plan("/from", redirect("/between"))
        upstream.plan("/between", redirect(other.url + PATH))
        _fetch(store, f"{upstream.url}/from".replace("http://", "http://user:secret@"))
        assert ["Authorization" in seen.headers for seen in upstream.seen] == [True, True]
        assert ["Authorization" in seen.headers for seen in other.seen] == [False]
    upstream.violations.clear()


def test_a_registry_s_redirect_does_not_ask_the_user_s_netrc(
    upstream: Upstream, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.2 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    document = index((image("amd64"), on("amd64")))
    upstream.add_image("team/app", "v1", document)
    with Upstream(address="127.0.0.2") as other:
        other.add("/elsewhere", document.body, document.media_type)
        upstream.plan(MANIFEST, redirect(f"{other.url}/elsewhere"))
        _resolve(upstream, store)
        assert "Authorization" not in other.seen[0].headers


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda handler, _reply: _said(handler, "9" * 5000), id="Content-Length"),
        pytest.param(status(206, Content_Range=f"bytes {'9' * 5000}-1/2"), id="Content-Range"),
        pytest.param(status(206, Content_Range=f"bytes 0-0/{'9' * 5000}"), id="a whole size"),
        pytest.param(status(429, Retry_After="9" * 5000), id="Retry-After"),
        pytest.param(status(503, Retry_After="Mon, 01 Jan 0001 00:00:00 -0000"), id="Retry-After in the year 1"),
    ],
)
def test_numbers_without_end_are_no_numbers(upstream: Upstream, store: Store, fault: Fault) -> None:
    store.partial_path(WANTED.digest).write_bytes(DATA[:100])
    upstream.plan(PATH, *[fault] * 2 * IMPATIENT.attempts)
    _error(lambda: _fetch(store, upstream.url + PATH))
    upstream.faults[PATH].clear()
    upstream.plan(PATH, *[fault] * 2 * IMPATIENT.attempts)
    with contextlib.suppress(SourceError):
        assert HttpClient(IMPATIENT).size_bytes([upstream.url + PATH]) <= len(DATA)


def _said(handler: object, length: str) -> None:
    handler.send_response(200)  # type: ignore[attr-defined]
    handler.send_header("Content-Length", length)  # type: ignore[attr-defined]
    handler.end_headers()  # type: ignore[attr-defined]
    handler.close_connection = True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"<html>", "application/octet-stream"), (b'{"schemaVersion": 1}', "application/json"), (b"[]", OCI_INDEX)],
)
def test_what_is_no_manifest_is_not_kept(upstream: Upstream, store: Store, body: bytes, content_type: str) -> None:
    upstream.add(MANIFEST, body, content_type)
    upstream.plan(MANIFEST, status(200, body=body, content_type=content_type))
    _error(lambda: _resolve(upstream, store))
    assert not list((store.root / "blobs" / "sha256").iterdir())

"""Media sets through a real docker-registry: push, pull, kills, bad answers, credentials, TLS, and other tools."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from bundler.artifact import CYCLONEDX, MEDIA_SET, SIGNATURE, fallback_tag
from bundler.assemble import MediaSet, assemble
from bundler.cli import main
from bundler.measure import UnpackedSizes
from installer.bundle import distribution
from installer.bundle.digest import Digest
from installer.bundle.mediatypes import OCI_INDEX, OCI_MANIFEST
from installer.bundle.sums import read_sums, sums_text
from tests.bench.competitors import CRANE, ORAS
from tests.compiled import compiled
from tests.fakes.authority import authority
from tests.fakes.docker_registry import HTPASSWD, docker_registry, push, token_server
from tests.fakes.images import AMD64, noise, small_parts
from tests.fakes.passing_proxy import PassingProxy, Reply, passing_proxy
from tests.fakes.registry_images import image

pytestmark = pytest.mark.network

LARGE_BYTES = 3_000_000


def make_set(folder: Path, seed: int = 1) -> MediaSet:
    """A media set with a large tarball, an SBOM that its sums list, and two signatures."""
    parts = small_parts(large_bytes=2000)
    parts.image("quay.io/site/large:1", {AMD64: [noise(LARGE_BYTES, seed)]})
    made = assemble(
        parts.lock(), parts.store, b"#!/bin/sh\nexit 0\n", folder, sizes=UnpackedSizes(folder / "s"), jobs=2
    )
    sbom = b'{"spdxVersion": "SPDX-2.3"}\n'
    (made.folder / "sbom.spdx.json").write_bytes(sbom)
    sums = {**read_sums(made.folder), "sbom.spdx.json": Digest.of(sbom)}
    (made.folder / "SHA256SUMS").write_text(sums_text(sums))
    for number, name in enumerate(("SHA256SUMS.sig", "SHA256SUMS.sig.2")):
        (made.folder / name).write_text(f"-----BEGIN SSH SIGNATURE-----\n{number}\n-----END SSH SIGNATURE-----\n")
    return made


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> MediaSet:
    return make_set(tmp_path_factory.mktemp("media"))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with docker_registry(tmp_path) as host:
        yield host


@pytest.fixture
def proxy(registry: str) -> Iterator[PassingProxy]:
    with passing_proxy(registry) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


def bundle(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: str | Path) -> dict[str, Any]:
    result = bundle(*words, "--json")
    assert result.exit_code == 0, result.output + result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refused(code: int, *words: str | Path) -> str:
    result = bundle(*words)
    assert result.exit_code == code, result.output
    return result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_set_comes_back_byte_for_byte_with_its_signatures(media: MediaSet, registry: str, tmp_path: Path) -> None:
    address = f"oci://{registry}/site/k8s:v1"
    pushed = done("push", address, media.folder)
    assert pushed["attached"] == ["sbom.cdx.json", "sbom.spdx.json", "SHA256SUMS.sig", "SHA256SUMS.sig.2"]
    pulled = done("pull", address, "--out", tmp_path / "out")
    folder = Path(pulled["folder"])
    assert contents(folder) == contents(media.folder)
    assert os.access(folder / "install", os.X_OK)
    assert not (folder / "bundle.json").stat().st_mode & 0o111
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing else is left"
    assert (pulled["identity"], pulled["digest"]) == (pushed["identity"], pushed["digest"])
    again = done("pull", f"{address}@{pushed['digest']}", "--out", tmp_path / "out")
    assert again["was_there"]


def test_the_same_set_is_the_same_artifact_and_is_not_sent_twice(
    media: MediaSet, registry: str, tmp_path: Path
) -> None:
    first = done("push", f"oci://{registry}/site/k8s:v1", media.folder)
    copy = tmp_path / "copy"
    shutil.copytree(media.folder, copy)
    (copy / "SHA256SUMS.sig.3").write_text("a third\n")
    second = done("push", f"oci://{registry}/site/k8s:v1", copy)
    assert (second["digest"], second["sent_bytes"]) == (first["digest"], len("a third\n"))
    elsewhere = done("push", f"oci://{registry}/other:v1", media.folder)
    assert elsewhere["digest"] == first["digest"]
    pulled = done("pull", f"oci://{registry}/site/k8s:v1", "--out", tmp_path / "out")
    assert pulled["signatures"] == ["SHA256SUMS.sig", "SHA256SUMS.sig.2", "SHA256SUMS.sig.3"]


def test_other_tools_read_the_artifact(media: MediaSet, registry: str) -> None:
    pushed = done("push", f"oci://{registry}/site/k8s:v1", media.folder)
    base = f"http://{registry}/v2/site/k8s/manifests"
    raw = requests.get(f"{base}/v1", headers={"Accept": OCI_MANIFEST}, timeout=10)
    assert str(Digest.of(raw.content)) == pushed["digest"]
    assert raw.json()["artifactType"] == MEDIA_SET
    titles = {layer["annotations"]["org.opencontainers.image.title"]: layer["digest"] for layer in raw.json()["layers"]}
    assert {name: titles[name] for name in read_sums(media.folder)} == read_sums(media.folder)
    fallback = requests.get(
        f"{base}/{fallback_tag(Digest(pushed['digest']))}", headers={"Accept": OCI_INDEX}, timeout=10
    )
    kinds = sorted(entry["artifactType"] for entry in fallback.json()["manifests"])
    assert kinds == ["application/spdx+json", SIGNATURE, SIGNATURE, CYCLONEDX]
    skopeo = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{registry}/site/k8s:v1"]
    assert subprocess.run(skopeo, capture_output=True, check=True, timeout=60).stdout == raw.content


def test_oras_discovers_and_pulls_it_and_crane_reads_it(media: MediaSet, registry: str, tmp_path: Path) -> None:
    oras, crane = compiled(ORAS) / "oras", compiled(CRANE) / "crane"
    pushed, name = done("push", f"oci://{registry}/site/k8s:v1", media.folder), f"{registry}/site/k8s:v1"

    def ran(*words: str | Path) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    found = json.loads(ran(oras, "discover", "--plain-http", "--format", "json", name))
    kinds = sorted(entry["artifactType"] for entry in found["manifests"])
    assert kinds == ["application/spdx+json", SIGNATURE, SIGNATURE, CYCLONEDX]
    ran(oras, "pull", "--plain-http", "--no-tty", "-o", tmp_path / "pulled", name)
    signatures = {path.name for path in media.folder.glob("SHA256SUMS.sig*")}
    wanted = {name: data for name, data in contents(media.folder).items() if name not in signatures}
    assert contents(tmp_path / "pulled") == wanted
    signature = next(entry for entry in found["manifests"] if entry["artifactType"] == SIGNATURE)
    ran(
        oras,
        "pull",
        "--plain-http",
        "--no-tty",
        "-o",
        tmp_path / "signed",
        f"{registry}/site/k8s@{signature['digest']}",
    )
    assert {path.name for path in (tmp_path / "signed").iterdir()} <= signatures
    assert Digest.of(ran(crane, "manifest", "--insecure", name).encode()) == pushed["digest"]
    assert ran(crane, "digest", "--insecure", name).strip() == pushed["digest"]


def test_what_oras_pushed_in_this_layout_is_pulled(media: MediaSet, registry: str, tmp_path: Path) -> None:
    oras, name = compiled(ORAS) / "oras", f"{registry}/site/theirs:v1"
    words = [
        "push",
        "--plain-http",
        "--no-tty",
        "--artifact-type",
        MEDIA_SET,
        name,
        *read_sums(media.folder),
        "SHA256SUMS",
    ]
    subprocess.run([oras, *words], check=True, capture_output=True, timeout=60, cwd=media.folder)
    pulled = done("pull", f"oci://{name}", "--out", tmp_path / "out")
    assert (pulled["signatures"], os.access(Path(pulled["folder"]) / "install", os.X_OK)) == ([], True)


def test_a_registry_with_lists_of_referrers_keeps_them_itself(
    media: MediaSet, proxy: PassingProxy, tmp_path: Path
) -> None:
    entries: list[dict[str, Any]] = []

    def keep(method: str, path: str, reply: Reply) -> None:
        if method == "GET" and "/referrers/" in path:
            reply.status, reply.body = 200, json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
            reply.headers["Content-Length"] = str(len(reply.body))
        if method == "PUT" and "/manifests/sha256:" in path and reply.status == 201:
            digest = path.rpartition("/")[2]
            document = requests.get(f"http://{proxy.target}{path}", headers={"Accept": OCI_MANIFEST}, timeout=10).json()
            if "subject" in document:
                reply.headers["OCI-Subject"] = document["subject"]["digest"]
                entries.append({"digest": digest, "artifactType": document["artifactType"]})

    proxy.after = keep
    done("push", f"oci://{proxy.host}/site/k8s:v1", media.folder)
    assert not any(request.method == "PUT" and "/manifests/sha256-" in request.path for request in proxy.passed)
    pulled = done("pull", f"oci://{proxy.host}/site/k8s:v1", "--out", tmp_path / "out")
    assert pulled["signatures"] == ["SHA256SUMS.sig", "SHA256SUMS.sig.2"]


def test_a_tag_that_leads_elsewhere_is_moved_by_force_only(media: MediaSet, registry: str, tmp_path: Path) -> None:
    other, address = make_set(tmp_path / "other", seed=2), f"oci://{registry}/site/k8s:v1"
    first = done("push", address, media.folder)
    said = refused(2, "push", address, other.folder)
    assert first["digest"] in said
    assert "--force" in said
    assert done("push", address, other.folder, "--force")["digest"] != first["digest"]
    assert done("pull", f"{address}@{first['digest']}", "--out", tmp_path / "a")["digest"] == first["digest"]
    assert "another media set is in the place" in refused(2, "pull", address, "--out", tmp_path / "a")


def started(*words: str | Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "bundler.cli", *map(str, words)]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_at(proxy: PassingProxy, meets: Callable[[str, str], bool], *words: str | Path) -> None:
    """Runs ``bundle`` and kills it where it waits for the answer to the request that ``meets`` names."""
    process: list[subprocess.Popen[bytes]] = []

    def before(method: str, path: str) -> bool:
        if meets(method, path):
            until = time.monotonic() + 10
            while not process and time.monotonic() < until:
                time.sleep(0.01)
            process[0].send_signal(signal.SIGKILL)
            process[0].wait()
            return False
        return True

    proxy.before = before
    process.append(started(*words))
    assert process[0].wait(120) == -signal.SIGKILL
    proxy.before = lambda _method, _path: True


def test_a_killed_push_sends_nothing_twice_that_arrived(media: MediaSet, proxy: PassingProxy, tmp_path: Path) -> None:
    address, tarball = f"oci://{proxy.host}/site/k8s:v1", Digest.of(media.tarball.read_bytes())
    # one file at a time, in the order of SHA256SUMS: killed at the manifest, when every blob has arrived
    words = ("push", address, media.folder, "--jobs", "1")
    killed_at(proxy, lambda method, path: method == "PUT" and "/manifests/" in path, *words)
    assert requests.get(f"http://{proxy.target}/v2/site/k8s/tags/list", timeout=10).status_code == 404
    assert proxy.sent_bytes("PUT", "PATCH") > LARGE_BYTES
    proxy.passed.clear()
    pushed = done(*words)
    assert pushed["sent_bytes"] == 0
    assert proxy.count("POST", "/uploads/") == 0
    assert proxy.count("HEAD", tarball) == 1
    puts = [request.path for request in proxy.passed if request.method == "PUT"]
    assert [path.endswith("/manifests/v1") for path in puts] == [False] * (len(puts) - 1) + [True], "the tag is last"
    assert done("pull", address, "--out", tmp_path / "out")["identity"] == pushed["identity"]


def test_a_break_between_pieces_goes_on_where_it_stopped(
    media: MediaSet, proxy: PassingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "PIECE_BYTES", 500_000)
    hung_up: list[str] = []

    def lose(method: str, path: str, reply: Reply) -> None:
        if method == "PATCH" and len(hung_up) < 2 and proxy.count("PATCH", "/uploads/") in (2, 4):
            hung_up.append(path)
            reply.status = None

    proxy.after = lose
    done("push", f"oci://{proxy.host}/site/k8s:v1", media.folder, "--jobs", "1")
    assert len(hung_up) == 2
    size_bytes = media.tarball.stat().st_size
    sent_bytes = proxy.sent_bytes("PATCH")
    assert size_bytes <= sent_bytes <= 2 * size_bytes


def test_a_killed_pull_goes_on_by_range(media: MediaSet, proxy: PassingProxy, tmp_path: Path) -> None:
    address, out = f"oci://{proxy.host}/site/k8s:v1", tmp_path / "out"
    digest = done("push", address, media.folder)["digest"]
    tarball = Digest.of(media.tarball.read_bytes())
    partial = out / f".pull-{digest.removeprefix('sha256:')[:16]}" / "partial" / tarball.hex

    def half(method: str, path: str, reply: Reply) -> None:
        if method == "GET" and path.endswith(tarball):
            reply.body = reply.body[: len(reply.body) // 2]  # announced whole, sent half, then the line is dead

    proxy.after = half
    process = started("pull", address, "--out", out)
    until = time.monotonic() + 60
    while time.monotonic() < until and not (partial.exists() and partial.stat().st_size > LARGE_BYTES // 3):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert [path.name for path in out.iterdir()] == [partial.parents[1].name], "nothing has the final name"
    arrived = partial.stat().st_size
    ranges: list[int] = []

    def note(method: str, path: str, reply: Reply) -> None:
        if method == "GET" and path.endswith(tarball):
            ranges.append(len(reply.body))

    proxy.after = note
    pulled = done("pull", address, "--out", out)
    assert ranges == [media.tarball.stat().st_size - arrived]
    assert contents(Path(pulled["folder"])) == contents(media.folder)


@pytest.mark.parametrize(("what", "told"), [("blob", "other bytes"), ("manifest", "another manifest")])
def test_a_registry_that_lies_is_found_out(
    what: str, told: str, media: MediaSet, proxy: PassingProxy, tmp_path: Path
) -> None:
    address = f"oci://{proxy.host}/site/k8s:v1"
    pushed = done("push", address, media.folder)

    def lie(method: str, path: str, reply: Reply) -> None:
        if method == "GET" and (f"/{what}s/" in path) and reply.status == 200:
            reply.body = reply.body.replace(b"a", b"b")
            reply.headers["Content-Length"] = str(len(reply.body))

    proxy.after = lie
    said = refused(4, "pull", f"{address}@{pushed['digest']}", "--out", tmp_path / "out")
    assert told in said
    assert not (tmp_path / "out" / media.folder.name).exists()


def test_a_manifest_that_is_kept_as_another_one_is_an_error(media: MediaSet, proxy: PassingProxy) -> None:
    def lie(method: str, path: str, reply: Reply) -> None:
        if method == "PUT" and "/manifests/" in path:
            reply.headers["Docker-Content-Digest"] = str(Digest.of(b"another"))

    proxy.after = lie
    assert "another manifest" in refused(4, "push", f"oci://{proxy.host}/site/k8s:v1", media.folder)


def test_damage_is_found_before_anything_is_sent(media: MediaSet, proxy: PassingProxy, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(media.folder, copy)
    with (copy / media.tarball.name).open("r+b") as stream:
        stream.seek(LARGE_BYTES // 2)
        stream.write(b"damage")
    assert "error:" in refused(4, "push", f"oci://{proxy.host}/site/k8s:v1", copy)
    assert proxy.passed == []


def test_what_is_no_media_set_is_said(registry: str, tmp_path: Path) -> None:
    push(registry, "team/app", "v1", image("amd64"))
    for name, code, told in (
        (f"oci://{registry}/team/app:v1", 4, "not an artifact of named files"),
        (f"oci://{registry}/team/app:v2", 5, "there is no such artifact"),
        (f"oci://{registry}/team/app", 2, "no tag"),
        (f"{registry}/team/app:v1", 2, "not the address of an artifact"),
        (f"oci://{registry}/Team/app:v1", 2, "not the address of an artifact"),
        ("oci://127.0.0.1:1/team/app:v1", 5, "the registry does not answer"),
    ):
        distribution_attempts, distribution.ATTEMPTS = distribution.ATTEMPTS, 1
        try:
            said = refused(code, "pull", name, "--out", tmp_path / "out")
        finally:
            distribution.ATTEMPTS = distribution_attempts
        assert told in said, name
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_too_small_or_gets_full_is_named(media: MediaSet, proxy: PassingProxy, tmp_path: Path) -> None:
    address = f"oci://{proxy.host}/site/k8s:v1"
    done("push", address, media.folder)
    disk = _folder(tmp_path / "disk")
    mounted = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (disk / "filler").write_bytes(bytes(6_000_000))
        said = refused(2, "pull", address, "--out", disk / "out")
        assert "not enough room" in said
        assert "--out DIR" in said
        (disk / "filler").unlink()

        def fill(method: str, path: str, reply: Reply) -> None:
            if method == "GET" and "/blobs/" in path and len(reply.body) > LARGE_BYTES // 2:
                (disk / "filler").write_bytes(bytes(6_000_000))

        proxy.after = fill
        said = refused(1, "pull", address, "--out", disk / "out")
        assert "cannot be written" in said
        assert "--out DIR" in said
        proxy.after = lambda _method, _path, _reply: None
        (disk / "filler").unlink()
        pulled = done("pull", address, "--out", disk / "out")
        assert contents(Path(pulled["folder"])) == contents(media.folder)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def login(folder: Path, host: str, account: str) -> None:
    (folder / "docker").mkdir(exist_ok=True)
    auths = {"auths": {host: {"auth": b64encode(account.encode()).decode()}}}
    (folder / "docker" / "config.json").write_text(json.dumps(auths))


def test_basic_auth_from_docker_s_file(media: MediaSet, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "site", "path": str(tmp_path / "htpasswd")}}
    with docker_registry(tmp_path, auth) as host:
        address = f"oci://{host}/site/k8s:v1"
        assert "wants credentials" in refused(5, "push", address, media.folder)
        login(tmp_path, host, "reader:wrong")
        assert "wants credentials" in refused(5, "push", address, media.folder)
        login(tmp_path, host, "reader:correct horse")
        pushed = done("push", address, media.folder)
        assert done("pull", address, "--out", tmp_path / "out")["digest"] == pushed["digest"]


def test_tokens_for_pulling_and_pushing(media: MediaSet, tmp_path: Path) -> None:
    with (
        token_server(tmp_path, "reader", "correct horse", 300) as (tokens, realm),
        docker_registry(tmp_path, tokens.auth(realm)) as host,
    ):
        login(tmp_path, host, "reader:correct horse")
        done("push", f"oci://{host}/site/k8s:v1", media.folder)
        done("pull", f"oci://{host}/site/k8s:v1", "--out", tmp_path / "out")
    assert any("push" in scope for scope in tokens.asked)


def test_tls_of_a_private_authority(media: MediaSet, tmp_path: Path) -> None:
    ca, certificate, key = authority(tmp_path)
    with docker_registry(tmp_path, tls={"certificate": str(certificate), "key": str(key)}) as host:
        address = f"oci://{host}/site/k8s:v1"
        pushed = done("push", address, media.folder, "--ca-file", ca)
        pulled = done("pull", address, "--out", tmp_path / "out", "--ca-file", ca)
        assert pulled["digest"] == pushed["digest"]
        other = authority(_folder(tmp_path / "other"))[0]
        said = refused(5, "pull", address, "--out", tmp_path / "out2", "--ca-file", other)
        assert "certificate" in said
        assert "--ca-file" in said


def _folder(path: Path) -> Path:
    path.mkdir()
    return path

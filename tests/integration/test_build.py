"""Whole builds against the mini upstream, by the command an operator types."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.upstream import Served, serving

NAME = "k8s-v1.30.14-linux-amd64"
BUNDLE = str(Path(sys.executable).with_name("bundle"))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving("mini", tmp_path_factory.mktemp("mini")) as served:
        yield served


def argv(upstream: Served, folder: Path, *more: str) -> list[str]:
    return [BUNDLE, "build", "--mirror", str(upstream.mirror), "--catalog", str(upstream.catalog), "--runtime", "host",
            "--store", str(folder / "store"), "--out", str(folder / "dist"), *more]  # fmt: skip


def build(upstream: Served, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(upstream, folder, *more), capture_output=True, text=True, check=False)


def digests(folder: Path) -> dict[str, str]:
    """Every file of the media set, and the lock, by its SHA-256."""
    files = [*(folder / "dist" / NAME).iterdir(), folder / "dist" / f"{NAME}.lock.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_build_without_a_pod_network_carries_no_helm(upstream: Served, tmp_path: Path) -> None:
    done = build(upstream, tmp_path, "--k8s", "1.30", "--plan", "--cni", "none")
    assert done.returncode == 0, done.stderr
    assert "cilium" not in done.stdout
    assert "helm" not in done.stdout


@pytest.fixture(scope="module")
def first(upstream: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build, one job at a time."""
    folder = tmp_path_factory.mktemp("first")
    done = build(upstream, folder, "--k8s", "1.30", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "sudo ./install --role cp" in done.stdout
    return folder


def test_a_plan_fetches_nothing(upstream: Served, tmp_path: Path) -> None:
    done = build(upstream, tmp_path, "--k8s", "v1.30", "--plan")
    assert done.returncode == 0, done.stderr
    assert "pause 3.9" in done.stdout
    assert "catalogue lab-mini" in done.stdout
    fetched = [path for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file()]
    sizes = sorted(path.stat().st_size for path in fetched)
    assert "cilium" in done.stdout
    assert "images from the catalogue; helm" in done.stdout
    assert sum(sizes[:-1]) < 200_000, "image documents, a chart, and the packed interpreter, but no file and no layer"
    assert not (tmp_path / "dist").exists()
    assert re.search(r"to pack   10\d\.\d MB, about \d s", done.stdout)
    assert max(map(len, done.stdout.splitlines()[-4:-2])) <= 80
    assert re.search(r"\n  room      [0-9.]+ MB at most, [0-9.]+ [MG]B free  \(--store, --out\)\n$", done.stdout)
    told = build(upstream, tmp_path, "--k8s", "v1.30", "--plan", "--json")
    fetching, packing = json.loads(told.stdout)["forecast"]
    assert (fetching["name"], fetching["seconds"]) == ("fetch", None)
    assert packing["size_bytes"] > fetching["size_bytes"] > 0 < packing["seconds"]
    (room,) = json.loads(told.stdout)["room"]
    assert room["for"] == {"--store": str(tmp_path / "store"), "--out": str(tmp_path / "dist")}
    assert room["free_bytes"] > room["needed_bytes"] > fetching["size_bytes"] + packing["size_bytes"]


def test_the_lock_rebuilds_the_same_bytes_with_an_empty_store_and_eight_jobs(
    upstream: Served, first: Path, tmp_path: Path
) -> None:
    lock = first / "dist" / f"{NAME}.lock.json"
    done = build(upstream, tmp_path, "--lock", str(lock), "--jobs", "8")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path) == digests(first)


def test_building_again_proves_and_keeps_what_is_there(upstream: Served, first: Path) -> None:
    tarball = first / "dist" / NAME / f"{NAME}.tar.zst"
    before = tarball.stat()
    done = build(upstream, first, "--k8s", "1.30.14")
    assert done.returncode == 0, done.stderr
    assert "was there already" in done.stdout
    assert "proof     untouched since its bytes were proven" in done.stdout
    assert (tarball.stat().st_ino, tarball.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_building_a_lock_again_asks_nobody(
    upstream: Served, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    lock = str(first / "dist" / f"{NAME}.lock.json")
    done = build(upstream, first, "--lock", lock, "--mirror", "upstream")
    assert done.returncode == 0, done.stderr
    assert "was there already" in done.stdout
    elsewhere = build(upstream, tmp_path, "--lock", lock, "--mirror", "upstream")
    assert elsewhere.returncode == 5, "with an empty store it would have asked"


def test_the_overlay_is_named_in_the_lock_and_by_inspect(first: Path) -> None:
    lock = json.loads((first / "dist" / f"{NAME}.lock.json").read_text())
    assert {item["source"]["trust"] for item in lock["files"]} == {"user"}
    assert {item["source"]["catalogue"] for item in lock["files"]} == {"lab-mini"}
    (network,) = lock["addons"]
    assert (lock["cni"], network["name"], network["images_told_by"]) == ("cilium", "cilium", "helm")
    assert network["source"]["catalogue"] == "lab-mini"
    images = [item for item in lock["images"] if item["purpose"] == "cilium"]
    assert len(images) == 3
    assert all(item["reference"].endswith(f"@{item['blob']}") for item in images)
    shown = subprocess.run([BUNDLE, "inspect", str(first / "dist" / NAME)], capture_output=True, text=True, check=True)
    assert "user (catalogue lab-mini)" in shown.stdout
    as_json = subprocess.run(
        [BUNDLE, "inspect", "--json", str(first / "dist" / NAME)], capture_output=True, text=True, check=True
    )
    assert json.loads(as_json.stdout)["index"]["pause"] == {
        "reference": "registry.k8s.io/pause:3.9",
        "told_by": "kubeadm",
    }


def test_a_media_set_explains_itself_and_is_what_its_lock_says(first: Path, tmp_path: Path) -> None:
    folder, lock = first / "dist" / NAME, first / "dist" / f"{NAME}.lock.json"

    def told(*arguments: str) -> str:
        return subprocess.run([BUNDLE, *arguments], capture_output=True, text=True, check=True).stdout

    for form, name in (("spdx", "sbom.spdx.json"), ("cyclonedx", "sbom.cdx.json")):
        assert told("sbom", str(folder), "--format", form) == (folder / name).read_text(encoding="ascii")
    bill = json.loads((folder / "sbom.cdx.json").read_text(encoding="ascii"))
    known = {part["name"]: part.get("licenses") for part in bill["components"]}
    assert known["kubelet"] == known["cilium"] == [{"expression": "Apache-2.0"}]
    (installer,) = (part for part in bill["components"] if part["bom-ref"] == "installer")
    assert [part["name"] for part in installer["components"]] == ["cpython"], "with --runtime host it is one archive"
    changes = json.loads(told("diff", str(lock), str(folder), "--json"))["changes"]
    assert changes["same"] is True
    report = json.loads(told("report", str(folder), "--json"))
    assert report["bundle"]["identity"] == json.loads(told("inspect", str(folder), "--json"))["identity"]
    assert {origin["catalogue"] for origin in report["origins"]} == {"built-in", "lab-mini", "none"}
    told("report", str(folder), "--html", str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").stat().st_size > 20_000


def test_dense_layers_are_smaller_and_rebuilt_by_their_lock(upstream: Served, first: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    done = build(upstream, one, "--k8s", "1.30", "--layers", "dense")
    assert done.returncode == 0, done.stderr
    assert "layers " in done.stderr
    sizes = [(folder / "dist" / NAME / f"{NAME}.tar.zst").stat().st_size for folder in (first, one)]
    assert sizes[1] < sizes[0]
    lock = one / "dist" / f"{NAME}.lock.json"
    again = build(upstream, other, "--lock", str(lock), "--jobs", "1")
    assert again.returncode == 0, again.stderr
    assert digests(other) == digests(one)
    for verb in ("verify", "inspect"):
        said = subprocess.run([BUNDLE, verb, str(one / "dist" / NAME)], capture_output=True, text=True, check=True)
    assert "a node packs them with zstd " in said.stdout
    tar = ["tar", "--zstd", "-tf", str(one / "dist" / NAME / f"{NAME}.tar.zst")]
    listed = subprocess.run(tar, capture_output=True, text=True, check=True).stdout.split()
    assert {"bundle.json", "oci-layout", "index.json"} < set(listed)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"zstd": "1.4.0"}, "zstd 1.4.0 in the lock"),
        ({"kind": "file"}, "an archive that is not looked into"),
        ({"wheel": "0.23.0"}, "zstandard 0.23.0"),
    ],
    ids=str,
)
def test_a_dense_bundle_is_for_a_node_that_packs_as_this_builder_does(
    upstream: Served, first: Path, tmp_path: Path, change: dict[str, str], wanted: str
) -> None:
    lock = json.loads((first / "dist" / f"{NAME}.lock.json").read_text(encoding="utf-8")) | {"layers": "dense"}
    runtime = lock["runtimes"][0]
    lock["zstd"] = change.get("zstd", lock["zstd"])
    runtime["kind"] = change.get("kind", runtime["kind"])
    if "wheel" in change:
        digest = "sha256:" + "0" * 64
        runtime["wheels"] = [{"name": "zstandard", "version": change["wheel"], "filename": "z.whl", "digest": digest}]
    path = tmp_path / "dense.lock.json"
    path.write_text(json.dumps(lock), encoding="utf-8")
    done = build(upstream, tmp_path, "--lock", str(path))
    assert (done.returncode, wanted in done.stderr) == (2, True), done.stderr
    assert "--layers registry" in done.stderr
    assert not (tmp_path / "dist" / NAME).exists()


def test_two_builds_at_once_do_not_hurt_each_other(upstream: Served, first: Path, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(argv(upstream, tmp_path, "--k8s", "1.30"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    told = [process.communicate()[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(told)
    assert digests(tmp_path) == digests(first)


@pytest.mark.parametrize("after_seconds", [0.8, 1.6, 2.4])
def test_a_killed_build_leaves_nothing_finished_and_the_next_one_ends_the_same(
    upstream: Served, first: Path, tmp_path: Path, after_seconds: float
) -> None:
    process = subprocess.Popen(argv(upstream, tmp_path, "--k8s", "1.30"), stdout=subprocess.DEVNULL)
    time.sleep(after_seconds)
    process.send_signal(signal.SIGKILL)
    if process.wait() == 0:
        pytest.skip("it was done before the kill")
    for path in (tmp_path / "store" / "blobs" / "sha256").glob("*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert not (tmp_path / "dist" / NAME).exists() or digests(tmp_path) == digests(first)
    done = build(upstream, tmp_path, "--k8s", "1.30")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path) == digests(first)
    beside = {f"{NAME}.lock.json", f"{NAME}.allowed_signers"}
    assert {path.name for path in (tmp_path / "dist").iterdir()} == {NAME, *beside}


def test_a_flipped_bit_in_the_store_is_found_and_the_blob_fetched_again(upstream: Served, tmp_path: Path) -> None:
    assert build(upstream, tmp_path, "--k8s", "1.30").returncode == 0
    wanted = digests(tmp_path)
    lock = json.loads((tmp_path / "dist" / f"{NAME}.lock.json").read_text())
    kubelet = next(item["blob"] for item in lock["files"] if item["component"] == "kubelet").removeprefix("sha256:")
    path = tmp_path / "store" / "blobs" / "sha256" / kubelet
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    for built in (tmp_path / "dist").glob("*/*.tar.zst"):
        built.unlink()
    done = build(upstream, tmp_path, "--k8s", "1.30")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path) == wanted

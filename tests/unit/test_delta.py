"""Deltas: what they carry, that the whole comes out of them byte for byte, and every way in which they are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner

from bundler import delta as making
from bundler.delta import OldBase, make_delta
from bundler.deltaverbs import opened
from bundler.installlook import demand_rebuilds
from bundler.launcher import install_bytes
from bundler.patching import patch_bytes
from bundler.progress import Progress
from bundler.runtime import PYTHON, Entry, Payload, archive_bytes
from installer.bundle import patch, rebuild
from installer.bundle.basis import CONTENT_STORE, open_bases
from installer.bundle.delta import Delta
from installer.bundle.deltaset import open_delta
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError, InputError, IntegrityError, OperatorError
from installer.bundle.inventory import Inventory, judge, sized
from installer.bundle.reader import open_media_set
from installer.bundle.sums import sums_text
from installer.deltaverbs import rebuild as rebuild_verb
from installer.medium import judge_medium
from installer.trust import Demand
from tests.fakes.deltas import Pair, built, contents, delta_of, pair
from tests.fakes.images import AMD64, noise
from tests.fakes.node import FakeNode

MIXED = pytest.mark.parametrize("layers", ["registry", "dense"])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def made(two: Pair, tmp_path_factory: pytest.TempPathFactory) -> making.Made:
    return delta_of(two, tmp_path_factory.mktemp("delta"))


def whole(folder: Path, *bases: Path, out: Path, jobs: int = 2) -> rebuild.Rebuilt:
    with open_delta(folder) as source, open_bases(bases) as opened_bases:
        return rebuild.rebuild(source, opened_bases, out, jobs=jobs)


def test_a_delta_carries_what_changed_and_programs_as_patches(two: Pair, made: making.Made) -> None:
    delta = made.delta
    assert made.folder.name == "k8s-v1.30.14-linux-amd64-from-k8s-v1.30.13-linux-amd64"
    assert [item.name for item in delta.bases] == ["k8s-v1.30.13-linux-amd64"]
    assert delta.bundle.identity == two.new.identity
    assert len(delta.patches) == 1
    assert delta.patches[0].content.size_bytes < 5_000
    assert not delta.sections
    assert made.size_bytes < 0.6 * made.whole_bytes
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "SHA256SUMS", "bundle.json", "delta.json", "install", f"{made.folder.name}.delta.tar.zst"]  # fmt: skip


@MIXED
@pytest.mark.parametrize("jobs", [1, 5])
def test_the_whole_comes_out_byte_for_byte(layers: str, jobs: int, tmp_path: Path) -> None:
    found = pair(tmp_path, layers=layers)
    (found.new.folder / "SHA256SUMS.sig").write_text("a signature\n")
    (found.new.folder / "SHA256SUMS.sig.2").write_text("another\n")
    for name in ("SHA256SUMS.sig", "SHA256SUMS.sig.2"):
        (found.new.folder / name).chmod(0o644)
    folder = delta_of(found, tmp_path / "delta", jobs=jobs).folder
    rebuilt = whole(folder, found.old.folder, out=tmp_path / "out", jobs=jobs)
    assert contents(rebuilt.folder) == contents(found.new.folder)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [found.new.folder.name]
    assert whole(folder, found.old.folder, out=tmp_path / "out").was_there


def test_the_layers_of_a_dense_bundle_are_patches_too(tmp_path: Path) -> None:
    made = delta_of(pair(tmp_path, layers="dense"), tmp_path / "delta")
    assert len(made.delta.patches) == 2
    assert made.size_bytes < 0.1 * made.whole_bytes


def test_the_same_delta_at_any_number_of_jobs(two: Pair, tmp_path: Path) -> None:
    assert contents(delta_of(two, tmp_path / "1", jobs=1).folder) == contents(
        delta_of(two, tmp_path / "6", jobs=6).folder
    )


def test_a_tarball_alone_and_a_folder_of_blobs_are_bases(two: Pair, made: making.Made, tmp_path: Path) -> None:
    assert contents(whole(made.folder, two.old.tarball, out=tmp_path / "1").folder) == contents(two.new.folder)
    blobs = tmp_path / "containerd" / CONTENT_STORE / "blobs/sha256"
    blobs.mkdir(parents=True)
    with open_media_set(two.old.folder) as old:
        for blob in old.index.blobs:
            (blobs / blob.digest.hex).write_bytes(b"".join(old.chunks(blob.digest)))
    assert contents(whole(made.folder, tmp_path / "containerd", out=tmp_path / "2").folder) == contents(two.new.folder)
    (blobs / made.delta.needs[0].digest.hex).write_bytes(b"rotten")
    with pytest.raises(IntegrityError, match="a blob is damaged"):
        whole(made.folder, tmp_path / "containerd", out=tmp_path / "3")
    assert list((tmp_path / "3").iterdir()) == []


def test_what_this_builder_compresses_otherwise_is_carried_as_it_is(
    two: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("installer.bundle.pack.SHRINKING_LEVEL", 1)
    other = delta_of(two, tmp_path / "delta")
    assert other.delta.sections
    assert contents(whole(other.folder, two.old.folder, out=tmp_path / "out").folder) == contents(two.new.folder)


def test_another_base_is_refused_and_what_is_missing_is_named(made: making.Made, tmp_path: Path) -> None:
    other = built(tmp_path / "12", 12)
    with pytest.raises(InputError) as caught:
        whole(made.folder, other.folder, out=tmp_path / "out")
    text = "\n".join(caught.value.lines())
    assert f"wanted  k8s-v1.30.13-linux-amd64, identity {made.delta.bases[0].identity}" in text
    assert "k8s-v1.30.12-linux-amd64" in text
    assert "missing 1 of" in text
    assert "from which file kubelet 1.0.0 for linux/amd64 is made" in text
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="not what the delta is made against"):
        whole(made.folder, out=tmp_path / "out")
    with pytest.raises(InputError, match="no such base"):
        whole(made.folder, tmp_path / "nowhere", out=tmp_path / "out")


@pytest.mark.parametrize("which", ["base", "delta"])
def test_damage_leaves_nothing_behind(two: Pair, made: making.Made, tmp_path: Path, which: str) -> None:
    bases = {path.name: path.read_bytes() for path in two.old.folder.iterdir()}
    parts = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    for name, files in (("base", bases), ("delta", parts)):
        (tmp_path / name).mkdir()
        for file, data in files.items():
            is_hit = name == which and file.endswith(".tar.zst")
            hit = bytearray(data)
            hit[len(hit) // 2] ^= 4
            (tmp_path / name / file).write_bytes(bytes(hit) if is_hit else data)
    with pytest.raises(IntegrityError) as caught:
        whole(tmp_path / "delta", tmp_path / "base", out=tmp_path / "out")
    assert str(tmp_path / which) in (caught.value.where or "")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_other_content_under_the_name_is_left_alone(two: Pair, made: making.Made, tmp_path: Path) -> None:
    there = tmp_path / "out" / two.new.folder.name
    there.mkdir(parents=True)
    (there / "mine").write_text("mine")
    with pytest.raises(InputError, match="there already, with other content"):
        whole(made.folder, two.old.folder, out=tmp_path / "out")
    assert [path.name for path in there.iterdir()] == ["mine"]


def test_no_room_is_said_beforehand(
    two: Pair, made: making.Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result((*real[:4], 3, *real[5:])))
    with pytest.raises(InputError, match="not enough room"):
        whole(made.folder, two.old.folder, out=tmp_path / "out")


def test_another_library_is_refused(
    two: Pair, made: making.Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("installer.bundle.deltaset.ZSTD", "1.4.0")
    with pytest.raises(InputError, match="cannot be made whole by this program"):
        whole(made.folder, two.old.folder, out=tmp_path / "out")


def test_other_bytes_never_get_the_name(
    two: Pair, made: making.Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("installer.bundle.pack.SHRINKING_LEVEL", 1)
    with pytest.raises(IntegrityError, match="not the builder's"):
        whole(made.folder, two.old.folder, out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["install", "SHA256SUMS.sig"])
def test_a_file_that_is_not_the_new_one_s_is_found(made: making.Made, two: Pair, tmp_path: Path, name: str) -> None:
    for path in made.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(b"#!/bin/sh\nexit 1\n")
    if name == "install":
        with pytest.raises(IntegrityError, match="install is damaged"):
            whole(tmp_path, two.old.folder, out=tmp_path / "out")
    else:
        assert contents(whole(tmp_path, two.old.folder, out=tmp_path / "out").folder) == contents(two.new.folder)


def test_an_install_that_cannot_rebuild_is_not_sent(two: Pair, tmp_path: Path) -> None:
    for path in two.new.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "install").write_bytes(b"#!/bin/sh\npayloads='\n\n'\n")
    with open_media_set(tmp_path) as new, pytest.raises(InputError, match="built by an older builder"):
        make_delta(OldBase(None, site(two), "site"), new, tmp_path / "delta", jobs=1, progress=Progress())


def test_an_install_with_another_library_is_not_sent(tmp_path: Path) -> None:
    library = {"lib/zstandard/__init__.py": Entry(b'__version__ = "0.1.0"\n'), PYTHON: Entry(b"", executable=True)}
    install = tmp_path / "install"
    install.write_bytes(install_bytes([Payload(AMD64, archive_bytes(library), "2.17")]))
    with pytest.raises(InputError, match="compresses by another library"):
        demand_rebuilds(install, "new")
    library["lib/zstandard/__init__.py"] = Entry(f'__version__ = "{zstandard.__version__}"\n'.encode())
    install.write_bytes(install_bytes([Payload(AMD64, archive_bytes(library), "2.17")]))
    demand_rebuilds(install, "new")


def test_a_run_that_was_killed_is_begun_again(two: Pair, made: making.Made, tmp_path: Path) -> None:
    left = tmp_path / "out" / f".{two.new.folder.name}.partial-killed"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    whole(made.folder, two.old.folder, out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [two.new.folder.name]


def test_a_delta_is_no_media_set(two: Pair, made: making.Made) -> None:
    with pytest.raises(InputError, match="this is a delta"):
        open_media_set(made.folder)
    with pytest.raises(InputError) as caught:
        judge_medium(made.folder, FakeNode(), Demand())
    assert str(made.delta.bases[0].identity) in (caught.value.wanted or "")
    assert "rebuild --base" in (caught.value.next_step or "")


def test_the_new_one_must_be_whole(two: Pair, tmp_path: Path) -> None:
    with open_media_set(two.new.tarball) as new, pytest.raises(InputError, match="not a whole media set"):
        make_delta(OldBase(None, site(two), "site"), new, tmp_path / "delta", jobs=1, progress=Progress())


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    at: Any = document
    *before, last = path.split(".")
    for key in before:
        at = at[int(key)] if isinstance(at, list) else at[key]
    at[int(last) if isinstance(at, list) else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema", 2, "made by a newer builder"),
        ("schema", True, "no known schema"),
        ("more", 1, "unknown field"),
        ("name", "../../etc", "wanted letters"),
        ("bundle.name", "a/b", "wanted letters"),
        ("bundle.identity", "sha256:0", "not a SHA-256 digest"),
        ("tarball.size_bytes", -1, "wanted 0 to"),
        ("files.0.name", "../SHA256SUMS", "wanted letters"),
        ("files.0.name", "install", "install is not carried there"),
        ("files.0.size_bytes", 2**40, "wanted 0 to"),
        ("patches.0.base", f"sha256:{'0' * 64}", "is not among the needs"),
        ("needs.1", None, "wanted a mapping"),
        ("sections", [{"first": "x", "digest": f"sha256:{'0' * 64}", "frame_sizes": [0]}], "list of sizes"),
        ("created_seconds", 8**11, "wanted 0 to"),
    ],
)
def test_a_hostile_document_is_refused(made: making.Made, path: str, value: object, said: str) -> None:
    document = changed(json.loads(made.delta.to_bytes()), path, value)
    data = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
    with pytest.raises(FormatError) as caught:
        Delta.from_bytes(data, where="here")
    assert said in "\n".join(caught.value.lines())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("carried", [], "comes from no place"),
        ("needs.0.size_bytes", 7, "bytes in"),
        ("sections", [{"first": "x", "digest": f"sha256:{'0' * 64}", "frame_sizes": [1]}], "begins none"),
        ("carried.0.digest", f"sha256:{'0' * 64}", "is not wanted"),
        ("bundle.name", "other", "is named"),
        ("zstd", "", "must not be empty"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    made: making.Made, tmp_path: Path, path: str, value: object, said: str
) -> None:
    document = changed(json.loads(made.delta.to_bytes()), path, value)
    data = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
    files = {item.name: item.read_bytes() for item in made.folder.iterdir()} | {"delta.json": data}
    files["SHA256SUMS"] = sums_text(
        {name: Digest.of(content) for name, content in files.items() if name != "SHA256SUMS"}
    ).encode()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(OperatorError) as caught, open_delta(tmp_path):
        pass
    assert said in "\n".join(caught.value.lines())


def test_a_patch_gives_the_new_bytes_or_an_error() -> None:
    old = noise(500_000, 1)
    new = old[:200_000] + b"changed" + old[200_000:]
    data = patch_bytes(old, new)
    assert len(data) < 2_000
    assert patch.apply(old, data, len(new)) == new
    with pytest.raises(IntegrityError):
        patch.apply(old, data, len(new) + 1)
    with pytest.raises(IntegrityError):
        patch.apply(old[1:], data, len(new))
    with pytest.raises(IntegrityError):
        patch.apply(old, data[:-3], len(new))


def site(pair_: Pair, *, machine: str = "x86_64", free_bytes: int = 10**12) -> Inventory:
    with open_media_set(pair_.old.folder) as old:
        document = {
            "schema": 1, "kind": "airgap-bundle-inventory", "made_seconds": 1, "hostname": "cp-1", "system": "Debian",
            "kernel": "6.1.0-1", "machine": machine, "containerd": "",
            "disks": [{"mount": "/", "total_bytes": 10**12, "free_bytes": free_bytes}], "installed": [],
            "media": [{"name": old.index.name, "identity": str(old.identity)}],
            "blobs": [item.to_dict() for item in sized({blob.digest: blob.size_bytes for blob in old.index.blobs})],
        }  # fmt: skip
    return Inventory.from_bytes(json.dumps(document).encode(), where="site.json")


def test_a_delta_by_an_inventory_leaves_out_what_it_lists(two: Pair, tmp_path: Path) -> None:
    (tmp_path / "site.json").write_bytes(site(two).to_bytes())
    with opened(tmp_path / "site.json", two.new.folder) as base, open_media_set(two.new.folder) as new:
        assert base.bundle is None
        made = make_delta(base, new, tmp_path / "delta", jobs=2, progress=Progress())
    assert not made.delta.patches
    assert [item.name for item in made.delta.bases] == ["k8s-v1.30.13-linux-amd64"]
    assert contents(whole(made.folder, two.old.folder, out=tmp_path / "out").folder) == contents(two.new.folder)
    with opened(tmp_path / "site.json", two.old.folder) as base, open_media_set(two.new.folder) as new:
        assert base.bundle is not None, "the media set that the inventory lists stands beside"
        made = make_delta(base, new, tmp_path / "smaller", jobs=2, progress=Progress())
    assert made.delta.patches
    assert contents(whole(made.folder, two.old.folder, out=tmp_path / "2").folder) == contents(two.new.folder)


def test_what_speaks_against_a_site_is_said_beforehand(two: Pair, tmp_path: Path) -> None:
    with open_media_set(two.new.folder) as new:
        assert list(judge(site(two), new.index, 1000)) == []
        assert [item.is_certain for item in judge(site(two, free_bytes=10), new.index, 1000)] == [False]
        with pytest.raises(InputError, match="cannot install this bundle"):
            make_delta(OldBase(None, site(two, machine="aarch64"), "site"), new, tmp_path, jobs=1, progress=Progress())


def test_the_verb_says_what_it_made(two: Pair, made: making.Made, tmp_path: Path) -> None:
    argv = ["--media", str(made.folder), "--base", str(two.old.folder), "--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(rebuild_verb, argv)
    assert "not signed" in str(refused.exception), "a delta is judged as any media set is"
    argv += ["--allow-unsigned", "--json"]
    done = CliRunner().invoke(rebuild_verb, argv, catch_exceptions=False)
    first = json.loads(done.output.splitlines()[0])
    assert first["event"] == "rebuilt"
    assert first["identity"] == str(two.new.identity)
    again = CliRunner().invoke(rebuild_verb, argv[:-1], catch_exceptions=False)
    assert "was there already" in again.output

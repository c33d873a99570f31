"""The builder's key and what it signs: made once, kept private, and the same bytes for the same key and lock."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundler.assemble import MediaSet, assemble
from bundler.cli import main
from bundler.errors import InputError, IntegrityError
from bundler.kept import KeptRecords
from bundler.measure import UnpackedSizes
from bundler.signing import add_signature
from bundler.signkey import SigningKey, default_key_path, made_key, read_key
from installer.bundle.signer import read_signers
from tests.fakes.images import Parts, small_parts
from tests.fakes.media import lab_key, media_set, sign

FIRST, OTHER = lab_key(1), lab_key(2)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return small_parts()


def build(parts: Parts, root: Path, key: SigningKey | None) -> MediaSet:
    store = root / "store"
    return assemble(parts.lock(), parts.store, b"#!/bin/sh\n", root / "dist", sizes=UnpackedSizes(store / "sizes"),
                    records=KeptRecords(store / "kept"), key=key, jobs=2)  # fmt: skip


def contents(media: MediaSet) -> dict[str, tuple[bytes, int, int]]:
    """Every file: bytes, mode and time; and the folder's time."""
    found = {path.name: (path.read_bytes(), path.stat().st_mode, int(path.stat().st_mtime))
             for path in media.folder.iterdir()}  # fmt: skip
    return found | {".": (b"", media.folder.stat().st_mode, int(media.folder.stat().st_mtime))}


def signers(media: MediaSet) -> list[str]:
    return [item.signer.fingerprint for item in media.signed]


def test_a_media_set_is_signed_and_its_signer_named_beside_it(parts: Parts, tmp_path: Path) -> None:
    media = build(parts, tmp_path, FIRST)
    assert signers(media) == [FIRST.signer.fingerprint]
    beside = tmp_path / "dist" / f"{media.folder.name}.allowed_signers"
    assert read_signers(beside.read_text(), "x") == (FIRST.signer,)
    again = build(parts, tmp_path / "again", FIRST)
    assert contents(again) == contents(media), "the same key and lock, the same bytes"


def test_one_that_is_kept_gets_the_right_signature_without_being_packed_again(parts: Parts, tmp_path: Path) -> None:
    first = build(parts, tmp_path, FIRST)
    wanted, inode = contents(first), first.tarball.stat().st_ino
    assert (build(parts, tmp_path, FIRST).kept, contents(first)) == ("untouched", wanted)
    other = build(parts, tmp_path, OTHER)
    assert (other.kept, signers(other)) == ("untouched", [OTHER.signer.fingerprint])
    unsigned = build(parts, tmp_path, None)
    assert (unsigned.kept, unsigned.signed, list((tmp_path / "dist").glob("*.allowed_signers"))) == (
        "untouched",
        (),
        [],
    )
    signature = first.folder / "SHA256SUMS.sig"
    for damage in (b"", b"damaged", OTHER.signature_of(b"other sums")):
        signature.write_bytes(damage)
        assert build(parts, tmp_path, FIRST).kept == "untouched"
        assert contents(first) == wanted
    assert first.tarball.stat().st_ino == inode


def test_further_signatures_that_hold_stay_and_others_go(parts: Parts, tmp_path: Path) -> None:
    media = build(parts, tmp_path, FIRST)
    add_signature(media.folder, OTHER)
    both = [FIRST.signer.fingerprint, OTHER.signer.fingerprint]
    assert signers(build(parts, tmp_path, FIRST)) == both
    (media.folder / "SHA256SUMS.sig.3").write_bytes(b"damaged")
    (media.folder / "SHA256SUMS.sig.4").write_bytes((media.folder / "SHA256SUMS.sig").read_bytes())
    again = build(parts, tmp_path, FIRST)
    assert (again.kept, signers(again)) == ("untouched", both)
    assert signers(build(parts, tmp_path, OTHER)) == [OTHER.signer.fingerprint]


def test_the_second_person_signs_what_is_there(tmp_path: Path) -> None:
    folder = media_set(tmp_path / "set")
    assert [item.name for item in add_signature(folder, OTHER)] == ["SHA256SUMS.sig", "SHA256SUMS.sig.2"]
    with pytest.raises(InputError, match="signed already"):
        add_signature(folder, OTHER)
    (folder / "SHA256SUMS.sig").unlink()
    assert add_signature(folder, lab_key(3))[0].signer == lab_key(3).signer, "the lowest name that is free"
    (folder / "SHA256SUMS").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="not of this SHA256SUMS"):
        add_signature(folder, lab_key(4))
    with pytest.raises(InputError, match="only a media set"):
        add_signature(folder / "install", OTHER)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_a_key_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "airgap-bundle" / "sign-key"
    before = os.umask(umask)
    try:
        made = made_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_bytes().startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert made_key(path).signer == made.signer
    assert [entry.name for entry in path.parent.iterdir()] == ["sign-key"]


def test_builds_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: made_key(tmp_path / "data" / "sign-key").signer, range(16)))
    assert len(set(made)) == 1


def test_the_key_lies_where_data_does() -> None:
    assert default_key_path({"XDG_DATA_HOME": "/d"}) == Path("/d/airgap-bundle/sign-key")
    share = Path.home() / ".local" / "share" / "airgap-bundle" / "sign-key"
    assert default_key_path({"XDG_DATA_HOME": "relative"}) == share == default_key_path({})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "data" / "sign-key"
    made_key(path)
    path.chmod(mode)
    with pytest.raises(InputError, match="others may read") as caught:
        read_key(path)
    assert "chmod 600" in (caught.value.next_step or "")


def test_a_key_that_cannot_be_made_or_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "airgap-bundle").write_text("a file")
    with pytest.raises(InputError, match="cannot be made") as caught:
        made_key(tmp_path / "airgap-bundle" / "sign-key")
    assert "--sign-key" in (caught.value.next_step or "")
    with pytest.raises(InputError, match="cannot be read"):
        read_key(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(InputError, match="no signing key"):
        read_key(tmp_path / "text")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def test_verify_says_who_signed_and_demands_whom_it_is_told(tmp_path: Path) -> None:
    folder = sign(media_set(tmp_path / "set"), FIRST, OTHER)
    said = run("verify", folder)
    assert (said.exit_code, FIRST.signer.words in said.output, OTHER.signer.fingerprint in said.output) == (
        0,
        True,
        True,
    )
    found = json.loads(run("verify", folder, "--json").stdout)
    assert [item["file"] for item in found["signers"]] == ["SHA256SUMS.sig", "SHA256SUMS.sig.2"]
    assert len(found["words"].split()) == 10
    first, other = FIRST.signer.fingerprint, OTHER.signer.fingerprint
    assert run("verify", folder, "--signer", first, "--signer", other, "--signatures", 2).exit_code == 0
    assert run("verify", folder, "--signatures", 3).exit_code == 4
    assert run("verify", folder, "--signer", lab_key(9).signer.fingerprint).exit_code == 4
    sign(folder)
    assert "signed    by nobody" in run("verify", folder).output
    assert run("verify", folder, "--signer", first).exit_code == 4
    tarball = next(folder.glob("*.tar.zst"))
    assert (run("verify", tarball).exit_code, run("verify", tarball, "--signer", first).exit_code) == (0, 4)
    sign(folder, FIRST)
    (folder / "SHA256SUMS.sig").write_bytes(b"damaged")
    assert run("verify", folder).exit_code == 4


def test_the_verbs_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = sign(media_set(tmp_path / "set"))
    assert run("key", "show").exit_code == 2
    made = run("key", "make")
    shown = json.loads(run("key", "show", "--json").output)
    assert (made.exit_code, shown["words"] in made.output) == (0, True)
    assert run("key", "show", "--allowed-signers").output == f"{shown['allowed_signers']}\n"
    assert shown["fingerprint"] in run("sign", folder).output
    assert run("sign", folder).exit_code == 2
    assert (
        run("build", "--k8s", "1.30", "--unsigned", "--sign-key", tmp_path / "airgap-bundle" / "sign-key").exit_code
        == 2
    )

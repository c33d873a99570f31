"""The whole path from parts: the install command, its spooling of a slow medium, and the builder's verbs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundler.cli import main
from installer import cli
from installer.bundle.parts import HEADER_BYTES
from installer.bundle.reader import open_media_set
from installer.bundle.spool import Spool
from installer.bundle.verify import verify
from tests.fakes.debian import debian
from tests.fakes.desk import Desk, desk_with
from tests.fakes.media import media_set
from tests.fakes.splits import Discs, small_blocks, split


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_set(tmp_path_factory.mktemp("whole") / "k8s")


@pytest.fixture
def discs(whole: Path, tmp_path: Path) -> Discs:
    return Discs.copied(split(whole, tmp_path / "cut", 85_000, 50), tmp_path / "mounted")


@pytest.fixture
def desk(discs: Discs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return desk_with(debian(), discs.folders[0], tmp_path / "desk", monkeypatch, capsys)


def bundle_command(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def others(discs: Discs) -> list[str]:
    return [word for folder in discs.folders[1:] for word in ("--media", str(folder))]


def test_an_install_reads_parts_from_every_disc(desk: Desk, discs: Discs) -> None:
    assert len(discs.folders) > 1
    code, said = desk.run("plan", "--role", "cp", *others(discs))
    assert code == 0, said
    assert "nothing was changed" in said


def test_an_install_names_the_disc_it_wants(desk: Desk, discs: Discs) -> None:
    code, said = desk.refused("plan", "--role", "cp")
    assert code == 4
    assert f"of {discs.cut.discs}\n" in said
    assert "one more --media DIR" in said
    assert "./install copy DIR" in said


def test_an_install_names_damage_by_part(desk: Desk, discs: Discs) -> None:
    for at_bytes in range(0, discs.cut.length_bytes(1), 512):
        discs.flip(1, at_bytes)
    code, said = desk.refused("plan", "--role", "cp", *others(discs))
    assert code == 4
    assert "./install repair" in said


def test_a_slow_medium_in_parts_is_spooled(discs: Discs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("installer.bundle.spool._is_slow", lambda *_words: True)
    with open_media_set(discs.folders[0], discs.folders[1:]) as bundle:
        spool = Spool(10**9, lambda: (tmp_path / f"spool{len(list(tmp_path.iterdir()))}").open("x+b", buffering=0))
        bundle.read_through(spool, {blob.digest for blob in bundle.index.blobs})
        verify(bundle)
        spool.filled()
        for number in discs.cut.numbers:  # the discs may go now
            with discs.path(number).open("r+b") as stream:
                stream.truncate(HEADER_BYTES)
        for blob in bundle.index.blobs:
            assert sum(map(len, bundle.chunks(blob.digest))) == blob.size_bytes


def test_install_copies_and_repairs(
    discs: Discs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "srv" / "bundle"
    for number, folder in enumerate(discs.folders, start=1):
        monkeypatch.setenv(cli.MEDIA_VARIABLE, str(folder))
        code = cli.run(["copy", str(to)])
        said = capsys.readouterr()
        assert code == (0 if number == len(discs.folders) else 4), said.err
    assert f"{to}\n           is whole" in said.out or f"{to} is whole" in said.out
    monkeypatch.setenv(cli.MEDIA_VARIABLE, str(to))
    (to / discs.cut.file_name(1)).unlink()
    assert cli.run(["repair", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["parts"] == {discs.cut.file_name(1): str(to / discs.cut.file_name(1))}
    assert cli.run(["repair"]) == 0
    assert "every part is whole" in capsys.readouterr().out
    (to / discs.cut.file_name(1)).unlink()
    assert cli.run(["repair", "--to", str(tmp_path / "fresh")]) == 0
    said_lines = capsys.readouterr().out
    assert f"part 1 of {discs.cut.data}: {tmp_path / 'fresh'}" in said_lines
    assert max(map(len, said_lines.splitlines()[2:])) <= 80


def test_the_builder_splits_verifies_copies_and_repairs(whole: Path, tmp_path: Path) -> None:
    result = bundle_command("split", str(whole), "--for", "85000", "--to", str(tmp_path / "out"), "--parity", "50%")
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "out").iterdir()
    assert "disc 1" in result.output
    assert f"{folder}/disc1" in result.output
    assert "may be damaged or lost" in result.output
    first = str(folder / "disc1")
    assert bundle_command("verify", first).exit_code == 0, "the other discs lie beside it"
    assert "identity" in bundle_command("inspect", first).output
    copied = bundle_command("copy", first, str(tmp_path / "copy"), "--json")
    assert json.loads(copied.output.splitlines()[-1])["kept_bytes"] == 0
    (tmp_path / "copy" / f"{folder.name.removesuffix('.parts')}.tar.zst.001").unlink()
    missing = bundle_command("verify", str(tmp_path / "copy"))
    assert missing.exit_code == 4
    assert "is not here" in missing.output
    mended = bundle_command("repair", str(tmp_path / "copy"))
    assert "repaired  part 1 of" in mended.output
    assert bundle_command("verify", str(tmp_path / "copy")).exit_code == 0
    document = json.loads(
        bundle_command("split", str(whole), "--for", "fat32", "--to", str(tmp_path / "f"), "--json").stdout
    )
    assert [disc["folder"] for disc in document["discs"]] == [document["folder"]]
    assert (Path(document["folder"]) / "install").exists()


def test_parity_wants_parts() -> None:
    result = bundle_command("build", "--k8s", "1.30", "--parity", "10%")
    assert result.exit_code == 2
    assert "--split fat32 --parity 10%" in result.output
    assert bundle_command("build", "--k8s", "1.30", "--split", "floppy").exit_code == 2


def test_a_tarball_alone_is_not_split(whole: Path, tmp_path: Path) -> None:
    (tarball,) = whole.glob("*.tar.zst")
    result = bundle_command("split", str(tarball), "--for", "dvd", "--to", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert "name the folder" in result.output


def test_parts_without_their_sums_are_said_to_be(discs: Discs) -> None:
    (discs.folders[0] / "SHA256SUMS").unlink()
    result = bundle_command("verify", str(discs.folders[0]))
    assert result.exit_code == 4
    assert "all but SHA256SUMS" in result.output


def test_a_folder_that_is_none_is_refused(discs: Discs, tmp_path: Path) -> None:
    for wrong in (tmp_path / "nowhere", discs.path(1)):
        result = bundle_command("verify", str(discs.folders[0]), "--media", str(wrong))
        assert result.exit_code == 2
        assert f"--media {wrong}" in result.output


def test_build_splits_what_it_made(monkeypatch: pytest.MonkeyPatch, whole: Path, tmp_path: Path) -> None:
    """`--split` on a build is `split` of its result, into the same folder."""
    from types import SimpleNamespace

    copied = tmp_path / "dist" / whole.name
    shutil.copytree(whole, copied)
    lock = SimpleNamespace(files=(), images=(), addons=(), pause=SimpleNamespace(reference=SimpleNamespace(tag="3.9")))
    built = SimpleNamespace(media_set=SimpleNamespace(folder=copied))
    builder = SimpleNamespace(resolve=lambda **_words: lock, build=lambda _lock, _out, _key: built)
    monkeypatch.setattr("bundler.build.Builder", lambda *_words: builder)
    monkeypatch.setattr("bundler.report.built_lines", lambda _built: ["built"])
    result = bundle_command("build", "--k8s", "1.30", "--split", "85000", "--out", str(tmp_path / "dist"))
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "dist").glob("*.parts/disc2"))
    assert "disc 2" in result.output

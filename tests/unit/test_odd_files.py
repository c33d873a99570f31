"""Named pipes, sockets, devices and folders where a file is wanted: refused by name, on both sides, never waited for.

Each case runs with an alarm: a pipe that is opened would be waited for without end.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.cli import main
from bundler.locks_in_use import LocksInUse
from bundler.sources.auth import DockerConfig
from installer.bundle.regularfile import NoRegularFileError, open_regular, read_regular
from installer.errors import InputError, OperatorError
from installer.localnode import LocalNode
from tests.fakes.desk import Desk

LONGEST_SECONDS = 30
Make = Callable[[Path], object]


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, tuple[Make, str]] = {
    "pipe": (os.mkfifo, "a named pipe"),
    "socket": (_socket, "a socket"),
    "folder": (Path.mkdir, "a folder"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a character device"),
}
every_kind = pytest.mark.parametrize("kind", ODD)


@pytest.fixture(autouse=True)
def _nobody_waits() -> Iterator[None]:
    def too_long(_sign: int, _frame: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def odd(path: Path, kind: str) -> str:
    """Puts such a thing at ``path``, whatever was there; how it is called."""
    if path.exists():
        path.unlink()
    ODD[kind][0](path)
    return ODD[kind][1]


@every_kind
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    name = odd(tmp_path / "x", kind)
    with pytest.raises(NoRegularFileError) as caught:
        open_regular(tmp_path / "x")
    assert caught.value.strerror == f"{name}, where a file is wanted"
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert (read_regular(tmp_path / "link"), read_regular(tmp_path / "link", 2)) == (b"12345", b"12")


@pytest.fixture
def medium(media: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(media, tmp_path / "medium"))


@every_kind
@pytest.mark.parametrize("name", ["install", "bundle.json", "SHA256SUMS", "tarball"])
def test_on_the_medium(medium: Path, kind: str, name: str) -> None:
    path = next(medium.glob("*.tar.zst")) if name == "tarball" else medium / name
    called = odd(path, kind)
    verified = CliRunner().invoke(main, ["verify", str(medium)])
    assert verified.exit_code in (2, 4), verified.output
    assert f"{called}, where a file is wanted" in verified.output
    assert str(path) in verified.output
    inspected = CliRunner().invoke(main, ["inspect", str(medium)])
    if name == "tarball":
        assert inspected.exit_code == 2
        assert f"{called}, where a file is wanted" in inspected.output


@every_kind
@pytest.mark.parametrize("name", ["install", "bundle.json", "SHA256SUMS", "tarball"])
def test_the_node_s_side_refuses_such_a_medium(desk: Desk, kind: str, name: str) -> None:
    tarball = desk.copied()
    odd(tarball if name == "tarball" else desk.media / name, kind)
    for words in (("--role", "cp"), ("plan", "--role", "cp")):
        code, said = desk.refused(*words)
        assert code in (2, 4), said
        assert f"{ODD[kind][1]}, where a file is wanted" in said


@every_kind
@pytest.mark.parametrize(
    "words", [("--role", "cp", "--config"), ("--role", "worker", "--join"), ("vip-probe", "ask", "--config")]
)
def test_files_that_are_given_to_the_node_s_side(desk: Desk, words: tuple[str, ...], kind: str) -> None:
    called = odd(desk.folder / "given", kind)
    code, said = desk.refused(*words, str(desk.folder / "given"))
    assert code == 2, said
    assert f"got     {called}, where a file is wanted" in said
    assert f"where   {words[-1]} " in said


def test_the_medium_itself_may_be_a_pipe(desk: Desk) -> None:
    os.mkfifo(desk.folder / "given")
    desk.media = desk.folder / "given"
    code, said = desk.refused("--role", "cp")
    assert (code, "this needs the medium" in said) == (2, True)


@every_kind
@pytest.mark.parametrize(
    "words",
    [
        ("build", "--lock"),
        ("build", "--k8s", "1.30", "--values"),
        ("build", "--k8s", "1.30", "--addon-file"),
        ("build", "--k8s", "1.30", "--mirror"),
        ("build", "--k8s", "1.30", "--catalog"),
        ("build", "--k8s", "1.30", "--ca-file"),
        ("build", "--k8s", "1.30", "--runtime"),
        ("verify",),
        ("inspect",),
    ],
    ids=" ".join,
)
def test_files_that_are_given_to_the_builder(tmp_path: Path, words: tuple[str, ...], kind: str) -> None:
    path = tmp_path / "given"
    odd(path, kind)
    beside = () if len(words) == 1 else ("--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"))
    result = CliRunner().invoke(main, [*words, str(path), *beside])
    assert result.exit_code == 2, result.output
    assert str(path) in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["kubernetes/v1.30.yaml", "image-lists/kubernetes/v1.30.14.txt", "catalogue.yaml"])
def test_files_of_a_catalogue_of_one_s_own(tmp_path: Path, name: str) -> None:
    path = tmp_path / "catalogue" / name
    path.parent.mkdir(parents=True)
    odd(path, "pipe")
    result = CliRunner().invoke(main, ["catalog", "check", "--catalog", str(tmp_path / "catalogue")])
    assert result.exit_code == 2, result.output
    assert str(path) in result.output


@every_kind
def test_where_files_of_this_user_are_looked_for(tmp_path: Path, kind: str) -> None:
    called = odd(tmp_path / "config.json", kind)
    with pytest.raises(InputError) as caught:
        DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)})
    assert f"{called}, where a file is wanted" in str(caught.value.got)


@every_kind
def test_a_lock_in_use_that_is_no_file_any_more_ends_the_cleaning(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "k8s.lock.json"
    locks = LocksInUse(tmp_path / "locks")
    locks.note(path)
    called = odd(path, kind)
    with pytest.raises(OperatorError) as caught:
        locks.read()
    assert f"{called}, where a file is wanted" in str(caught.value.got)


@every_kind
def test_a_node_s_own_files(tmp_path: Path, kind: str) -> None:
    """A user may put anything at ~/.kube/config, which a reset compares with what it is about to remove."""
    node = LocalNode(tmp_path)
    odd(tmp_path / "config", kind)
    assert node.read_bytes("/config") is None
    assert node.read_text("/config") is None
    assert node.digest("/config") is None
    with pytest.raises(OperatorError):
        list(node.read_chunks("/config"))
    shutil.rmtree(tmp_path / "config", ignore_errors=True)

"""Each bad input is refused with what is wrong and what to do, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from installer import cli
from installer.bundle.reader import open_media_set
from installer.bundle.verify import Portion
from installer.join import JoinFile
from tests.fakes.debian import ADDRESS, addresses
from tests.fakes.desk import TOKEN_VALID, Desk
from tests.fakes.small_bundle import PLATFORM


def _not_root(desk: Desk) -> None:
    desk.machine.node.uid = 1000


def _other_architecture(desk: Desk) -> None:
    desk.machine.node._answers[("uname", "-m")].clear()
    desk.machine.node.script("uname -m", "aarch64\n")


def _no_such_machine(desk: Desk) -> None:
    desk.machine.node._answers[("uname", "-m")].clear()
    desk.machine.node.script("uname -m", "riscv64\n")


def _in_a_cluster(desk: Desk) -> None:
    desk.machine.node.with_files({"/etc/kubernetes/kubelet.conf": "k"})


def _two_addresses(desk: Desk) -> None:
    desk.machine.node._answers[("ip", "-j", "addr", "show")].clear()
    desk.machine.node.script("ip -j addr show", addresses((ADDRESS, 24, "ens3"), ("10.0.25.31", 24, "ens4")))


def _nothing(_desk: Desk) -> None:
    return None


def _flipped(desk: Desk) -> None:
    with open_media_set(desk.media) as bundle:
        blob = bundle.index.files_for("cp", PLATFORM)[0].blob
        (frame,) = Portion.of(bundle, {blob}).frames
    tarball = desk.copied()
    data = bytearray(tarball.read_bytes())
    data[frame.offset_bytes + frame.compressed_bytes // 2] ^= 1
    tarball.write_bytes(data)


def _truncated(desk: Desk) -> None:
    tarball = desk.copied()
    tarball.write_bytes(tarball.read_bytes()[:-2000])


def _no_medium(desk: Desk) -> None:
    desk.media = desk.folder / "nothing-here"


@pytest.mark.parametrize(
    ("spoil", "words", "code", "says"),
    [
        (_not_root, ["--role", "cp"], 3, ["only root", "got     user 1000", "with sudo"]),
        (_other_architecture, ["--role", "cp"], 2, ["another platform", "linux/arm64", "one for linux/amd64"]),
        (_no_such_machine, ["--role", "cp"], 2, ["no bundle for this machine", "riscv64"]),
        (_flipped, ["--role", "cp"], 4, ["[integrity]"]),
        (_truncated, ["--role", "cp"], 4, ["[integrity]"]),
        (_no_medium, ["--role", "cp"], 2, ["no media set is there", "nothing-here", "got     nothing"]),
        (_nothing, ["--role", "worker"], 2, ["needs its join file", "no --join"]),
        (_nothing, ["--role", "worker", "--join", "/none/join.yaml"], 2, ["--join /none/join.yaml", "No such file"]),
        (_nothing, ["--role", "cp", "--config", "/none/c.yaml"], 2, ["--config /none/c.yaml", "No such file"]),
        (_in_a_cluster, ["--role", "cp"], 3, ["cluster: /etc/kubernetes/kubelet.conf", "already in a cluster"]),
        (_nothing, ["--role", "cp", "--address", "10.9.9.9"], 2, ["not on this machine", f"{ADDRESS}  on ens3"]),
        (_two_addresses, ["--role", "cp"], 2, [f"{ADDRESS}  on ens3", "10.0.25.31  on ens4", "--address"]),
        (_nothing, ["--address", ADDRESS], 2, ["which role"]),
        (_nothing, ["--role", "master"], 2, ["not one of 'cp', 'worker'", "[input]"]),
        (_nothing, ["--rolle", "cp"], 2, ["No such option", "[input]"]),
        (_nothing, ["--role", "cp", "plan"], 2, ["options go behind the verb"]),
    ],
)
def test_bad_input_gets_a_clear_answer_and_changes_nothing(
    desk: Desk, spoil: Callable[[Desk], None], words: list[str], code: int, says: list[str]
) -> None:
    spoil(desk)
    if words[-1] == "plan":
        got, said = cli.run(words), "".join(desk.capture.readouterr())
    else:
        got, said = desk.refused(*words)
    assert got == code, said
    assert said.splitlines()[-1].startswith("  "), said
    for part in says:
        assert part in said, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("join", "says"),
    [
        (replace(TOKEN_VALID, token_expires_seconds=1_794_999_999), ["the join file has expired", "join-file"]),
        (replace(TOKEN_VALID, kubernetes="v1.29.4"), ["different Kubernetes minors", "v1.29.4"]),
    ],
)
def test_a_join_file_that_does_not_fit_is_refused(desk: Desk, join: JoinFile, says: list[str]) -> None:
    code, said = desk.refused("--role", "worker", "--join", desk.write("join.yaml", join.to_text()))
    assert code == 2
    for part in says:
        assert part in said, said


def test_help_is_shown_without_any_word_and_answers_without_the_heavy_parts(desk: Desk) -> None:
    assert cli.run([]) == 0
    assert "--role [cp|worker]" in desk.capture.readouterr().out
    assert cli.run(["--version"]) == 0
    assert "0.1.0" in desk.capture.readouterr().out


def test_an_interrupt_is_said_to_be_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("installer.install.open_bundle", interrupted)
    code, said = desk.refused("--role", "cp")
    assert code == 130
    assert "run the same command again" in said


def test_a_mistake_of_the_program_is_said_calmly_with_its_details_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("installer.install.open_bundle", broken)
    monkeypatch.setattr("tempfile.tempdir", str(desk.folder))
    code, said = desk.refused("--role", "cp")
    assert code == 1
    assert "ZeroDivisionError" in said
    assert "oops" not in said, "the words of a mistake may hold what was being worked on"
    assert "Traceback" not in said
    (details,) = desk.folder.glob("airgap-bundle-*.txt")
    assert "in broken\nZeroDivisionError\n" in details.read_text()

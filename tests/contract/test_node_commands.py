"""The same cases of running programs, on the fake node (scripted) and on this machine (real programs)."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.errors import CommandError, IntegrityError, OperatorError
from installer.localnode import SEARCH_PATH, LocalNode
from installer.node import CommandResult, Node
from tests.fakes.node import FakeNode, UnexpectedCommandError

SECRET = "abcdef.0123456789abcdef"
FAILING = ("sh", "-c", "echo out; echo token $0 is bad >&2; exit 3", SECRET)


HOSTILE = ("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "KUBECONFIG", "CONTAINERD_NAMESPACE",
           "CONTAINERD_ADDRESS", "CONTAINER_RUNTIME_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
           "ALL_PROXY", "NO_PROXY", "LANG", "LC_MESSAGES", "LANGUAGE", "HELM_CACHE_HOME", "HELM_PLUGINS", "HELM_DRIVER",
           "ETCDCTL_ENDPOINTS", "ETCDCTL_API", "SYSTEMD_PAGER", "SYSTEMD_EDITOR", "TMPDIR", "IFS", "BASH_ENV", "ENV",
           "KUBECACHEDIR", "TZ", "GODEBUG", "SSL_CERT_FILE", "XDG_CONFIG_HOME")  # fmt: skip


def _count(_node: FakeNode, data: bytes) -> CommandResult:
    return CommandResult((), 0, f"{hashlib.sha256(data).hexdigest()}  -\n", "")


@pytest.fixture(params=["fake", "local"])
def node(request: pytest.FixtureRequest) -> Node:
    if request.param == "local":
        return LocalNode()
    fake = FakeNode(programs={"sh"}).absent("no-such-program", "kubeadm")
    fake.script(FAILING, "out\n", code=3, stderr=f"token {SECRET} is bad\n")
    fake.script("echo hello", "hello\n").script("uname -m", "x86_64\n")
    fake.script("sha256sum", then=_count)
    return fake


def test_output_comes_back(node: Node) -> None:
    result = node.run(["echo", "hello"], timeout_seconds=10)
    assert (result.ok, result.stdout, result.stderr) == (True, "hello\n", "")
    assert result.argv == ("echo", "hello")


def test_a_failure_is_an_error_with_its_secrets_masked(node: Node) -> None:
    with pytest.raises(CommandError) as caught:
        node.run(FAILING, timeout_seconds=10, secrets=[SECRET])
    text = "\n".join(caught.value.lines()) + repr(caught.value.argv)
    assert caught.value.code == 3
    assert "token *** is bad" in text
    assert SECRET not in text


def test_a_missing_program_is_said_to_be_missing(node: Node) -> None:
    with pytest.raises(CommandError, match="no-such-program") as caught:
        node.run(["no-such-program", "x"], timeout_seconds=10)
    assert caught.value.code == 127
    assert "no such program" in str(caught.value.got)


def test_a_query_of_a_missing_program_does_not_raise(node: Node) -> None:
    if isinstance(node, LocalNode) and node.which("kubeadm"):
        pytest.skip("this machine has a kubeadm")
    result = node.query(["kubeadm", "version", "-o", "short"])
    assert (result.found, result.ok, result.stdout) == (False, False, "")


@pytest.mark.parametrize("argv", [["rm", "-rf", "/x"], ["systemctl", "stop", "kubelet"], ["sh", "-c", "true"], []])
def test_a_query_outside_the_table_is_refused(node: Node, argv: list[str]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        node.query(argv)


def test_a_query_in_the_table_answers(node: Node) -> None:
    assert node.query(["uname", "-m"]).stdout.strip() in ("x86_64", "aarch64")


def test_input_is_streamed(node: Node) -> None:
    chunks = [bytes([number]) * 300_000 for number in range(20)]
    result = node.run(["sha256sum"], stdin=iter(chunks), timeout_seconds=60)
    assert result.stdout.split()[0] == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_an_error_in_the_input_wins(node: Node) -> None:
    def damaged() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise IntegrityError("wrong bytes", where="blob")

    with pytest.raises(IntegrityError, match="wrong bytes"):
        node.run(["sha256sum"], stdin=damaged(), timeout_seconds=60)


def test_which_finds_programs(node: Node) -> None:
    found = node.which("sh")
    assert found is not None
    assert found.endswith("/sh")
    assert node.which("no-such-program") is None


class TestThisMachine:
    """What only real programs can show."""

    def test_input_and_output_larger_than_any_pipe_do_not_block(self) -> None:
        data = b"0123456789abcdef" * 65_536
        result = LocalNode().run(["cat"], stdin=(data for _ in range(8)), timeout_seconds=60)
        assert len(result.stdout) == 8 * len(data)

    def test_programs_get_the_fixed_environment_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in HOSTILE:
            monkeypatch.setenv(name, str(tmp_path))
        (tmp_path / "uname").write_text("#!/bin/sh\necho hostile\n")
        (tmp_path / "uname").chmod(0o755)
        monkeypatch.chdir(tmp_path)
        node = LocalNode()
        wanted = {"PATH": SEARCH_PATH, "LC_ALL": "C", "HOME": "/root", "KUBECACHEDIR": "/dev/null"}
        said = node.run(["env"], timeout_seconds=10).stdout
        assert dict(line.split("=", 1) for line in said.splitlines()) == wanted
        assert node.query(["uname", "-m"]).stdout.strip() == platform.machine()
        assert node.which("uname") != str(tmp_path / "uname")
        assert node.run(["pwd"], timeout_seconds=10).stdout == "/\n"

    def test_programs_get_no_input_no_open_file_and_a_umask_of_ours(self, tmp_path: Path) -> None:
        before = os.umask(0o777)
        try:
            with (tmp_path / "held").open("wb") as held:
                os.set_inheritable(held.fileno(), True)
                script = "umask; cat; for file in /proc/self/fd/*; do readlink $file; done; true"
                said = LocalNode().run(["sh", "-c", script], timeout_seconds=10).stdout.splitlines()
        finally:
            os.umask(before)
        assert said[:2] == ["0022", "/dev/null"]
        assert str(tmp_path / "held") not in said

    def test_more_output_than_is_kept_is_an_error(self) -> None:
        with pytest.raises(OperatorError, match="too much"):
            LocalNode().run(["head", "-c", "17000000", "/dev/zero"], timeout_seconds=60)

    def test_a_program_that_takes_too_long_is_ended_with_its_children(self) -> None:
        began = time.monotonic()
        with pytest.raises(CommandError, match="sh failed") as caught:
            LocalNode().run(["sh", "-c", "echo waiting >&2; sleep 60 & wait"], timeout_seconds=0.3)
        assert time.monotonic() - began < 5
        assert caught.value.code == 124
        assert "waiting\nnot done after 0.3 s" in str(caught.value.got)

    def test_a_program_that_never_reads_is_ended_too(self) -> None:
        with pytest.raises(CommandError) as caught:
            LocalNode().run(["sleep", "60"], stdin=(b"x" * 100_000 for _ in range(100)), timeout_seconds=0.3)
        assert caught.value.code == 124

    def test_damage_found_after_the_program_gave_up_still_wins(self) -> None:
        def damaged_at_the_end() -> Iterator[bytes]:
            for _ in range(50):
                yield b"x" * 100_000
            raise IntegrityError("wrong bytes", where="blob")

        with pytest.raises(IntegrityError, match="wrong bytes"):
            LocalNode().run(["sh", "-c", "exit 1"], stdin=damaged_at_the_end(), timeout_seconds=60)

    def test_a_program_cut_off_by_damage_cannot_take_a_part_for_the_whole(self, tmp_path: Path) -> None:
        def damaged() -> Iterator[bytes]:
            yield b"a part\n"
            time.sleep(0.2)
            raise IntegrityError("wrong bytes", where="blob")

        taken = tmp_path / "taken"
        with pytest.raises(IntegrityError):
            LocalNode().run(["sh", "-c", f"cat && touch {taken}"], stdin=damaged(), timeout_seconds=60)
        assert not taken.exists()

    def test_an_interrupt_ends_the_program_too(self, tmp_path: Path) -> None:
        started = tmp_path / "pid"

        def interrupt(_sign: int, _frame: object) -> None:
            if started.exists() and started.read_text().strip():
                signal.setitimer(signal.ITIMER_REAL, 0)
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        try:
            with pytest.raises(KeyboardInterrupt):
                LocalNode().run(["sh", "-c", f"echo $$ > {started}; exec sleep 60"], timeout_seconds=60)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        with pytest.raises(ProcessLookupError):
            os.kill(int(started.read_text()), 0)

    def test_a_read_of_the_kernels_own_files_is_not_refused_for_its_size(self) -> None:
        assert LocalNode().read_text("/proc/sys/kernel/osrelease") == f"{platform.release()}\n"

    def test_input_is_closed_and_the_environment_is_fixed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        monkeypatch.setenv("LANG", "de_DE.UTF-8")
        result = LocalNode().run(["sh", "-c", "cat; env"], timeout_seconds=10)
        values = dict(line.split("=", 1) for line in result.stdout.splitlines())
        assert values["LC_ALL"] == "C"
        assert values["KUBECACHEDIR"] == "/dev/null", "kubectl would leave /root/.kube/cache on the node"
        assert not {"HTTPS_PROXY", "LANG"} & set(values)


def test_the_fake_refuses_what_nobody_scripted() -> None:
    with pytest.raises(UnexpectedCommandError, match="systemctl restart containerd"):
        FakeNode().run(["systemctl", "restart", "containerd"], timeout_seconds=1)


def test_the_fake_answers_in_order_and_keeps_the_last() -> None:
    fake = FakeNode().script("uname -r", "1").script("uname -r", "2")
    assert [fake.query(["uname", "-r"]).stdout for _ in range(3)] == ["1", "2", "2"]

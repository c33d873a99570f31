"""The programs that the builder starts: what they get of an environment that is hostile."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bundler import elf, host_python, lookup
from bundler.lockfile import LockedRuntime
from bundler.runtime import Entry
from bundler.sources.wheels import pip_arguments
from installer.bundle.digest import Digest
from installer.bundle.platform import Platform

HOSTILE = ("LD_PRELOAD", "LD_AUDIT", "PYTHONPATH", "PYTHONHOME", "PYTHONOPTIMIZE", "KUBECONFIG", "HELM_PLUGINS", "LANG",
           "HELM_CACHE_HOME", "HTTP_PROXY", "https_proxy", "GODEBUG", "TMPDIR", "XDG_CONFIG_HOME")  # fmt: skip


@pytest.fixture(autouse=True)
def _hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HOSTILE:
        monkeypatch.setenv(name, "2")


def test_a_program_of_the_release_gets_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = lookup._run(["/usr/bin/env"], tmp_path, "env")
    assert ended is not None
    said = dict(line.split("=", 1) for line in ended.output.splitlines())
    assert said == {"PATH": lookup._CLEAN_PATH, "HOME": str(tmp_path), "LC_ALL": "C"}


def test_a_program_of_the_release_reads_nothing(tmp_path: Path) -> None:
    ended = lookup._run(["/usr/bin/readlink", "/proc/self/fd/0"], tmp_path, "readlink")
    assert ended is not None
    assert ended.output == "/dev/null\n"


def test_what_looks_at_this_interpreter_gets_only_where_its_libraries_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/python/lib")
    wanted = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
    assert elf.plain_environment() == wanted | {"LD_LIBRARY_PATH": "/opt/python/lib"}
    monkeypatch.delenv("LD_LIBRARY_PATH")
    assert elf.plain_environment() == wanted
    assert "LD_PRELOAD" in os.environ


def test_byte_code_does_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {"python/lib/x.py": Entry(b'"""doc"""\nassert False\n')}
    with_it = host_python._compiled(tree)
    for name in HOSTILE:
        monkeypatch.delenv(name)
    assert host_python._compiled(tree) == with_it
    assert b"doc" in with_it["python/lib/x.pyc"].content


def test_pip_is_not_the_one_that_lies_in_the_folder_one_is_in() -> None:
    runtime = LockedRuntime("catalogue", Platform("linux/amd64"), "3.13.1", "x", Digest.of(b""), 0)
    argv = pip_arguments(runtime, Path("/r"), Path("/d"), None)
    assert argv[:4] == [sys.executable, "-P", "-m", "pip"]

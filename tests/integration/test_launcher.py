"""``install`` on a root without Python: a shell, tar and gzip are all it may need.

The roots are made by hand from this machine's own programs and glibc, and entered with chroot; nothing else of the
machine is in them. The payload is this machine's interpreter, packed, with a small probe as ``installer.cli``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import installer
from bundler import runtime
from bundler.host_python import host_archive, host_platform
from bundler.launcher import install_bytes
from bundler.lockfile import LockedRuntime, LockedWheel
from bundler.runtime import Entry, Payload, archive_bytes, read_archive
from installer import __version__
from tests.fakes.images import FakeStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="entering a root of its own (chroot) needs root")

PROBE = b"""
import ctypes, hashlib, json, os, sys, zlib
import _hashlib, click, tqdm, yaml, zstandard
import installer.bundle.verify
def main():
    told = {
        "argv": sys.argv[1:], "media": os.environ.get("AIRGAP_MEDIA"), "path": sys.path, "prefix": sys.prefix,
        "hash": hashlib.sha256(b"x").hexdigest(), "openssl": _hashlib.openssl_sha256(b"x").hexdigest(),
        "libraries": os.environ.get("LD_LIBRARY_PATH"), "isolated": sys.flags.isolated,
        "no_bytecode": sys.flags.dont_write_bytecode, "zstd": zstandard.decompress(zstandard.compress(b"z")).decode(),
    }
    print(json.dumps(told))
    sys.exit(7)
if __name__ == "__main__":
    main()
"""
TOOLS = ["sh", "tar", "gzip", "head", "tail", "uname", "mkdir", "rm", "mv", "id", "dirname", "basename", "chmod", "ls"]
OPTIONAL = ["cat", "sha256sum", "df", "getconf", "sync"]
MEDIA = "/media/usb/k8s"


@pytest.fixture(scope="session")
def packed() -> Payload:
    """The running interpreter, packed, as ``bundle build --runtime host`` does."""
    platform = host_platform()
    assert platform is not None
    archive = host_archive(platform)
    store = FakeStore()
    locked = LockedRuntime("host", platform, "3", "host", store.add(archive), len(archive))
    return runtime.payload(locked, store)


@pytest.fixture(scope="session")
def payload(packed: Payload) -> Payload:
    """The same with the probe in the place of the command line."""
    platform = packed.platform
    tree = read_archive(packed.archive, "host")
    tree = {name: entry for name, entry in tree.items() if "installer/__pycache__/cli." not in name}
    tree["lib/installer/cli.py"] = Entry(PROBE)
    return Payload(platform, archive_bytes(tree), packed.glibc)


@pytest.fixture(scope="session")
def install(payload: Payload) -> bytes:
    return install_bytes([payload])


def _copy(source: Path, root: Path) -> None:
    target = root / str(source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source, target)


def _glibc(root: Path) -> None:
    """The loader and glibc's libraries: what any machine that runs containers' tools has."""
    listing = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    for word in listing.split():
        if word.startswith("/"):
            _copy(Path(word), root)
            for name in ("libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"):
                if (beside := Path(word).parent / name).exists() and "libc.so" in word:
                    _copy(beside, root)


def _common(root: Path, install: bytes) -> Path:
    for name in ("tmp", "opt", "root", "dev", "proc", "bin", "usr/bin", f".{MEDIA}"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "dev/null").touch()
    (root / "dev/null").chmod(0o666)
    path = root / MEDIA.lstrip("/") / "install"
    path.write_bytes(install)
    path.chmod(0o755)
    _glibc(root)
    return root


@pytest.fixture
def plain_root(tmp_path: Path, install: bytes) -> Path:
    """dash, GNU tar, gzip and coreutils."""
    root = _common(tmp_path / "root", install)
    for tool in TOOLS + OPTIONAL:
        source = shutil.which(tool)
        assert source, tool
        shutil.copy2(os.path.realpath(source), root / "bin" / tool)
        listing = subprocess.run(["ldd", source], capture_output=True, text=True, check=True).stdout
        for word in listing.split():
            if word.startswith("/"):
                _copy(Path(word), root)
    return root


@pytest.fixture
def busybox_root(tmp_path: Path, install: bytes) -> Path:
    """BusyBox alone."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is in tests/lab/packages.txt"
    root = _common(tmp_path / "busybox", install)
    shutil.copy2(busybox, root / "bin/busybox")
    for tool in [*TOOLS, "sha256sum", "sync"]:
        (root / "bin" / tool).symlink_to("busybox")
    return root


def run(root: Path, *words: str, under: str | None = None, user: str = "0:0") -> subprocess.CompletedProcess[str]:
    command = ["chroot", f"--userspec={user}", str(root), *([under] if under else []), f"{MEDIA}/install", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/bin:/usr/sbin:/sbin", "HOME": "/root"},
        timeout=120,
    )


def listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_there_is_no_python_in_the_roots(plain_root: Path, busybox_root: Path) -> None:
    for root in (plain_root, busybox_root):
        names = [name for name in listing(root) if "python" in name or "libcrypto" in name or "libffi" in name]
        assert names == []


@pytest.mark.parametrize(
    "words", [["facts", "--json"], ["plan"], ["--role", "cp", "--help"], ["--role", "cp", "--dry-run"], []]
)
def test_read_only_verbs_leave_nothing_behind(plain_root: Path, words: list[str]) -> None:
    before = listing(plain_root)
    result = run(plain_root, *words)
    assert result.returncode == 7, result.stderr
    told = json.loads(result.stdout)
    assert told["argv"] == words
    assert told["media"] == MEDIA
    assert told["hash"] == told["openssl"] == hashlib.sha256(b"x").hexdigest()
    assert told["libraries"] is None
    assert told["isolated"] and told["no_bytecode"]
    assert told["prefix"].startswith("/tmp/airgap-bundle.")
    assert all(path.startswith("/tmp/airgap-bundle.") for path in told["path"])
    assert listing(plain_root) == before


@pytest.mark.parametrize("kind", ["plain", "busybox"])
def test_a_changing_verb_keeps_its_runtime_and_uses_it_again(
    kind: str, request: pytest.FixtureRequest, payload: Payload
) -> None:
    root: Path = request.getfixturevalue(f"{kind}_root")
    result = run(root, "--role", "cp")
    assert result.returncode == 7, result.stderr
    kept = root / "opt/airgap-bundle/runtime" / hashlib.sha256(payload.archive).hexdigest()
    assert json.loads(result.stdout)["prefix"] == f"/{kept.relative_to(root)}/python"
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    after = listing(root)
    inode = kept.stat().st_ino
    assert run(root, "reset").returncode == 7
    assert kept.stat().st_ino == inode
    assert listing(root) == after
    assert list((root / "tmp").iterdir()) == []


def test_a_reading_verb_uses_the_runtime_that_is_kept(plain_root: Path, payload: Payload) -> None:
    assert run(plain_root, "--role", "cp").returncode == 7
    before = listing(plain_root)
    kept = f"/opt/airgap-bundle/runtime/{hashlib.sha256(payload.archive).hexdigest()}/python"
    for words, user in ((["status"], "0:0"), (["plan", "--role", "cp"], "0:0"), (["facts"], "65534:65534")):
        result = run(plain_root, *words, user=user)
        assert result.returncode == 7, result.stderr
        assert json.loads(result.stdout)["prefix"] == kept
        assert listing(plain_root) == before


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["status", "--json"],
        ["preflight", "--role", "cp"],
        ["vip-probe", "hold"],
        ["images", "push", "registry.plant.example"],
        ["undo", "--help"],
        ["--data-disk", "/dev/vdb", "plan"],
    ],
)
def test_verbs_that_look_leave_nothing_behind(plain_root: Path, words: list[str]) -> None:
    before = listing(plain_root)
    assert run(plain_root, *words).returncode == 7
    assert listing(plain_root) == before


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("shell", ["plain", "busybox"])
def test_help_is_the_launcher_s_own_and_unpacks_nothing(
    shell: str, word: str, request: pytest.FixtureRequest, install: bytes
) -> None:
    root: Path = request.getfixturevalue(f"{shell}_root")
    (root / MEDIA.lstrip("/") / "install").write_bytes(install[: len(install) // 2])  # the payload is of no use
    before = listing(root)
    told = run(root, word)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == (Path(installer.__file__).parent / "launch" / "help.txt").read_text(encoding="ascii")
    assert listing(root) == before


def test_busybox_reads_only_too(busybox_root: Path) -> None:
    before = listing(busybox_root)
    result = run(busybox_root, "status")
    assert result.returncode == 7, result.stderr
    assert listing(busybox_root) == before


def test_other_shells(plain_root: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    shutil.copy2(bash, plain_root / "bin/bash")
    for word in subprocess.run(["ldd", bash], capture_output=True, text=True, check=True).stdout.split():
        if word.startswith("/"):
            _copy(Path(word), plain_root)
    assert run(plain_root, "facts", under="bash").returncode == 7
    assert run(plain_root, "facts", under="sh").returncode == 7


def test_without_root_nothing_is_kept(plain_root: Path) -> None:
    result = run(plain_root, "--role", "cp", user="65534:65534")
    assert result.returncode == 7, result.stderr
    assert not (plain_root / "opt/airgap-bundle").exists()
    assert list((plain_root / "tmp").iterdir()) == []


def test_another_architecture_is_named(plain_root: Path) -> None:
    (plain_root / "bin/uname").unlink()
    (plain_root / "bin/uname").write_text("#!/bin/sh\necho riscv64\n")
    (plain_root / "bin/uname").chmod(0o755)
    result = run(plain_root, "facts")
    assert result.returncode == 2
    assert result.stderr.splitlines()[0] == "error: this media set is for another architecture  [input]"
    assert "riscv64" in result.stderr
    assert [line[:10].split()[0] for line in result.stderr.splitlines()[1:]] == ["where", "wanted", "got", "next"]


@pytest.mark.parametrize("program", ["tar", "gzip"])
def test_a_missing_program_is_named(plain_root: Path, program: str) -> None:
    (plain_root / "bin" / program).unlink()
    result = run(plain_root, "--role", "cp")
    assert result.returncode == 2
    assert f"got     no {program}" in result.stderr
    assert not (plain_root / "opt/airgap-bundle").exists()


def test_the_right_payload_of_several(plain_root: Path, payload: Payload) -> None:
    other = "linux/arm64" if payload.platform.architecture == "amd64" else "linux/amd64"
    foreign = Payload(type(payload.platform)(other), b"not for this machine" * 1000, "2.99")
    for payloads in ([payload, foreign], [foreign, payload]):
        (plain_root / MEDIA.lstrip("/") / "install").write_bytes(install_bytes(payloads))
        assert run(plain_root, "facts").returncode == 7


@pytest.mark.parametrize("with_sums", [True, False], ids=["sha256sum", "gzip only"])
@pytest.mark.parametrize("words", [["facts"], ["--role", "cp"]], ids=["reads", "changes"])
def test_a_damaged_install_runs_nothing(plain_root: Path, install: bytes, words: list[str], with_sums: bool) -> None:
    if not with_sums:
        (plain_root / "bin/sha256sum").unlink()
    before = listing(plain_root)
    damaged = bytearray(install)
    damaged[len(install) // 2] ^= 1
    for content in (bytes(damaged), install[: len(install) // 2]):
        (plain_root / MEDIA.lstrip("/") / "install").write_bytes(content)
        result = run(plain_root, *words)
        assert result.returncode == 4, result.stderr
        assert result.stderr.startswith("error: install is damaged  [integrity]\n")
        assert listing(plain_root) == before


def test_an_old_glibc_is_named(plain_root: Path, payload: Payload) -> None:
    """A program that the loader refuses: the last line it says is passed on, with what would be needed."""
    tree = read_archive(payload.archive, "host")
    tree[runtime.PYTHON] = Entry(b"#!/bin/sh\necho 'version `GLIBC_2.99 not found' >&2\nexit 1\n", executable=True)
    changed = replace(payload, archive=archive_bytes(tree), glibc="2.99")
    (plain_root / MEDIA.lstrip("/") / "install").write_bytes(install_bytes([changed]))
    before = listing(plain_root)
    result = run(plain_root, "--role", "cp")
    assert result.returncode == 2
    assert "wanted  glibc 2.99 or newer" in result.stderr
    assert "GLIBC_2.99 not found" in result.stderr
    assert listing(plain_root) - before <= {"opt/airgap-bundle", "opt/airgap-bundle/runtime"}


HOSTILE = {
    "PATH": ".:/hostile:/bin",
    "HOME": "/hostile",
    "TAR_OPTIONS": "--no-such-option",
    "GZIP": "--no-such-option",
    "LD_LIBRARY_PATH": "/hostile",
    "PYTHONPATH": "/hostile",
    "PYTHONHOME": "/hostile",
    "PYTHONSTARTUP": "/hostile/tar",
    "CDPATH": "/hostile",
    "OPENSSL_CONF": "/hostile/tar",
}


def launched(
    root: Path, *words: str, umask: int = 0o022, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """As :func:`run`, with an environment and a umask of one's own."""
    command = [shutil.which("chroot") or "chroot", str(root), f"{MEDIA}/install", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment or {"PATH": "/bin"},
        umask=umask,
        timeout=120,
    )


@pytest.mark.parametrize("words", [["facts"], ["--role", "cp"]], ids=["reads", "changes"])
@pytest.mark.parametrize("kind", ["plain", "busybox"])
def test_nothing_of_the_caller_s_environment_is_run(
    kind: str, words: list[str], request: pytest.FixtureRequest
) -> None:
    root: Path = request.getfixturevalue(f"{kind}_root")
    (root / "hostile").mkdir()
    for name in (*TOOLS, *OPTIONAL, "python3"):
        # A chroot begins at its top, which "." is then. BusyBox runs its own tools, and without /proc those that lie in
        # ".", whatever PATH says: nothing that a script could decide, nor seen on a machine with /proc.
        for folder in (root / "hostile", *((root,) if kind == "plain" else ())):
            if not (folder / name).exists():
                (folder / name).write_text("#!/bin/sh\n: >/ran-$$\nexit 1\n")
                (folder / name).chmod(0o755)
    result = launched(root, *words, environment=HOSTILE)
    assert result.returncode == 7, result.stderr
    assert json.loads(result.stdout)["libraries"] is None
    assert list(root.glob("ran-*")) == []


@pytest.mark.parametrize(
    ("mode", "owner", "used"),
    [
        (0o700, 0, True),
        (0o755, 0, True),
        (0o1777, 0, True),
        (0o777, 0, False),
        (0o770, 0, False),
        (0o700, 65534, False),
        (0o1777, 65534, False),
    ],
)
def test_nothing_runs_from_where_others_can_put_something_in_its_place(
    plain_root: Path, mode: int, owner: int, used: bool
) -> None:
    (plain_root / "scratch").mkdir()
    os.chown(plain_root / "scratch", owner, 0)
    (plain_root / "scratch").chmod(mode)
    result = launched(plain_root, "facts", environment={"TMPDIR": "/scratch", "PATH": "/bin"})
    assert result.returncode == 7, result.stderr
    assert json.loads(result.stdout)["prefix"].startswith("/scratch/" if used else "/tmp/")
    assert list((plain_root / "scratch").iterdir()) == list((plain_root / "tmp").iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("kind", ["plain", "busybox"])
def test_the_runtime_has_its_modes_whatever_the_umask(kind: str, umask: int, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(f"{kind}_root")
    assert launched(root, "facts", umask=umask).returncode == 7
    result = launched(root, "--role", "cp", umask=umask)
    assert result.returncode == 7, result.stderr
    there = [path for path in (root / "opt/airgap-bundle").rglob("*") if not path.is_symlink()]
    assert len(there) > 100
    modes = {path: path.stat().st_mode & 0o7777 for path in (root / "opt/airgap-bundle", *there)}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644, 0o755}
    assert all(path.stat().st_uid == 0 for path in modes)


def test_the_same_interpreter_gives_the_same_archive(packed: Payload) -> None:
    again = host_archive(packed.platform)
    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(packed.archive).hexdigest()
    assert len(again) < 15_000_000


def test_the_installer_itself_answers_on_a_node_without_python(plain_root: Path, packed: Payload) -> None:
    (plain_root / MEDIA.lstrip("/") / "install").write_bytes(install_bytes([packed]))
    before = listing(plain_root)
    told = run(plain_root, "--help")
    assert told.returncode == 0, told.stderr
    assert "--role [cp|worker]" in told.stdout
    version = run(plain_root, "--version")
    assert (version.returncode, version.stdout) == (0, f"install, version {__version__}\n"), version.stderr
    facts = run(plain_root, "facts", "--json")
    assert facts.returncode == 0, facts.stderr + facts.stdout
    assert json.loads(facts.stdout.splitlines()[0])
    mistaken = run(plain_root, "--role", "nonsense", "--dry-run")
    assert mistaken.returncode == 2
    assert listing(plain_root) == before


def test_a_catalogue_runtime_runs(plain_root: Path, payload: Payload) -> None:
    """An interpreter's archive and wheels, put together as the default runtime is."""
    store = FakeStore()
    tree = {name: entry for name, entry in read_archive(payload.archive, "host").items() if name.startswith("python/")}
    tree["python/bin/python3.99"] = tree.pop(f"{runtime.PYTHON}.bin")
    starter = tree.pop(runtime.PYTHON)
    tree["python/bin/python3.98"] = replace(starter, content=starter.content.replace(b"python3.bin", b"python3.99"))
    tree[runtime.PYTHON] = Entry(b"", link="python3.98")
    wheels = tuple(
        LockedWheel(name, "1", f"{name}.whl", store.add(_wheel(distribution)))
        for name, distribution in runtime.DEPENDENCIES.items()
    )
    archive = archive_bytes(tree)
    locked = LockedRuntime("catalogue", payload.platform, "3", "catalogue", store.add(archive), len(archive), wheels)
    made = runtime.payload(locked, store)
    (plain_root / MEDIA.lstrip("/") / "install").write_bytes(install_bytes([made]))
    result = run(plain_root, "--version")
    assert (result.returncode, result.stdout) == (0, f"install, version {__version__}\n"), result.stderr


def _wheel(distribution: str) -> bytes:
    """A wheel of an installed package, made from the files it was installed as."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for item in importlib.metadata.files(distribution) or ():
            if ".." not in item.parts and item.suffix != ".pyc":
                archive.writestr(str(item), Path(str(item.locate())).read_bytes())
    return out.getvalue()

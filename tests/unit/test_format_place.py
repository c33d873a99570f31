"""Archives are outsiders: what is asked for is placed, and nothing else can be."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from bundler.assemble import assemble
from bundler.measure import UnpackedSizes
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.place import files_in
from installer.bundle.placement import Placement
from installer.bundle.reader import open_media_set
from tests.fakes.images import AMD64, PAUSE, Parts, tar_gzip_of, tar_of


def _place(tmp_path: Path, content: bytes, placement: Placement) -> dict[str, tuple[int, bytes]]:
    parts = Parts()
    parts.file("component", content, placement)
    parts.image(PAUSE, {AMD64: [tar_of({"pause": b"x"})]})
    media = assemble(parts.lock(), parts.store, b"", tmp_path, sizes=UnpackedSizes(tmp_path / "s"), jobs=1)
    with open_media_set(media.folder) as bundle:
        found = {}
        placed = bundle.index.files[0]
        blob = bundle.index.descriptors()[placed.blob]
        for item in files_in(bundle.chunks(placed.blob), placed, blob, "here"):
            data = b"".join(item.chunks)
            assert len(data) == item.size_bytes
            assert item.digest in (None, Digest.of(data))
            found[item.target] = (item.mode, data)
        return found


def _archive(**members: str) -> Placement:
    return Placement(
        0o755, archive="tar+gzip", members={key.replace("__", "/"): value for key, value in members.items()}
    )


def _entry(name: str, kind: bytes, target: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        archive.addfile(entry)
    return gzip.compress(out.getvalue())


def test_a_plain_file(tmp_path: Path) -> None:
    placed = _place(tmp_path, b"kubeadm" * 1_000_000, Placement(0o755, "/usr/local/bin/kubeadm"))
    assert placed == {"/usr/local/bin/kubeadm": (0o755, b"kubeadm" * 1_000_000)}


def test_named_members_and_folders(tmp_path: Path) -> None:
    content = tar_gzip_of({"./bin/ctr": b"ctr", "bin/containerd": b"c" * 3_000_000, "bin/deep/no": b"", "README": b"r"})
    placed = _place(tmp_path, content, _archive(bin__="/usr/local/bin/", README="/usr/local/sbin/readme"))
    assert {target: len(data) for target, (_, data) in placed.items()} == {
        "/usr/local/bin/ctr": 3,
        "/usr/local/bin/containerd": 3_000_000,
        "/usr/local/sbin/readme": 1,
    }


def test_the_top_of_an_archive(tmp_path: Path) -> None:
    content = tar_gzip_of({"./bridge": b"b", "loopback": b"l", "doc/readme": b""})
    assert set(_place(tmp_path, content, _archive(__="/opt/cni/bin/"))) == {
        "/opt/cni/bin/bridge",
        "/opt/cni/bin/loopback",
    }


@pytest.mark.parametrize(
    "content",
    [
        tar_gzip_of({"../ctr": b"x"}),
        tar_gzip_of({"bin/../../ctr": b"x"}),
        tar_gzip_of({"/ctr": b"x"}),
        _entry("ctr", tarfile.SYMTYPE, "/etc/shadow"),
        _entry("ctr", tarfile.LNKTYPE, "other"),
        _entry("ctr", tarfile.CHRTYPE),
        _entry("ctr", tarfile.FIFOTYPE),
        gzip.compress(tar_of({"ctr": b"1"})[:1024] + tar_of({"./ctr": b"2"})),
        gzip.compress(b"not a tar, but long enough to be read as one" * 30),
        gzip.compress(tar_of({"ctr": b"x" * 5000})[:3000]),
    ],
    ids=["up", "up inside", "absolute", "symlink", "hard link", "device", "fifo", "twice", "no tar", "cut"],
)
def test_hostile_archives_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match="form it should"):
        _place(tmp_path, content, _archive(ctr="/usr/local/bin/ctr"))


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="lacks") as caught:
        _place(tmp_path, tar_gzip_of({"other": b"x"}), _archive(ctr="/usr/local/bin/ctr"))
    assert caught.value.wanted == "ctr"


@pytest.mark.parametrize("target", ["/etc/shadow", "/usr/local/binary", "/usr/local/bin/../../../etc/passwd"])
def test_targets_elsewhere_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(FormatError):
        _place(tmp_path, b"x", Placement(0o755, target))

"""The same cases of looking at and changing files, on the fake node and on this machine under a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.bundle.digest import Digest
from installer.errors import IntegrityError, OperatorError
from installer.localnode import LocalNode
from installer.node import Node
from tests.fakes.node import FakeNode


@pytest.fixture(params=["fake", "local"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    return FakeNode() if request.param == "fake" else LocalNode(tmp_path)


def test_a_written_file_is_read_back_with_its_mode(node: Node) -> None:
    node.write_file("/etc/kubernetes/kubeadm.yaml", b"kind: X\n", mode=0o600)
    found = node.stat("/etc/kubernetes/kubeadm.yaml")
    assert node.read_bytes("/etc/kubernetes/kubeadm.yaml") == b"kind: X\n"
    assert node.read_text("/etc/kubernetes/kubeadm.yaml") == "kind: X\n"
    assert found is not None
    assert (found.kind, found.mode, found.size_bytes, found.link_target) == ("file", 0o600, 8, None)


def test_missing_parents_are_open_to_all_whatever_the_umask(node: Node) -> None:
    before = os.umask(0o077)
    try:
        node.write_file("/opt/cni/bin/bridge", b"x", mode=0o755)
    finally:
        os.umask(before)
    for folder in ("/opt", "/opt/cni", "/opt/cni/bin"):
        found = node.stat(folder)
        assert found is not None
        assert (found.kind, found.mode) == ("directory", 0o755)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_modes_are_those_that_are_asked_for_whatever_the_umask(node: Node, umask: int) -> None:
    before = os.umask(umask)
    try:
        node.write_file("/var/lib/airgap-bundle/join.yaml", b"x", mode=0o600)
        node.write_file("/etc/hosts", b"x")
        node.write_file("/etc/hosts", b"y", mode=0o640)
        node.place("/opt/cni/bin/bridge", [b"x"], mode=0o755)
        node.make_dir("/var/lib/containerd", mode=0o711)
        node.make_dir("/etc/airgap-bundle/secrets", mode=0o700)
    finally:
        os.umask(before)
    wanted = {
        "/var/lib/airgap-bundle/join.yaml": 0o600,
        "/etc/hosts": 0o640,
        "/opt/cni/bin/bridge": 0o755,
        "/var/lib/containerd": 0o711,
        "/etc/airgap-bundle/secrets": 0o700,
        **dict.fromkeys(("/var", "/var/lib", "/var/lib/airgap-bundle", "/etc", "/opt/cni/bin"), 0o755),
    }
    found = {path: node.stat(path) for path in wanted}
    assert {path: stat and stat.mode for path, stat in found.items()} == wanted


def test_what_is_absent_is_none_or_empty(node: Node) -> None:
    node.write_file("/a/file", b"x")
    for path in ("/b", "/a/file/below", "/a/other"):
        assert node.read_bytes(path) is None
        assert node.read_text(path) is None
        assert node.stat(path) is None
        assert node.digest(path) is None
        assert node.list_dir(path) == ()
    assert node.read_bytes("/a") is None
    assert node.digest("/a") is None


def test_reading_more_than_the_limit_is_an_error(node: Node) -> None:
    node.write_file("/a", b"12345")
    assert node.read_bytes("/a", 5) == b"12345"
    with pytest.raises(OperatorError, match="larger than expected"):
        node.read_bytes("/a", 4)


def test_a_folder_lists_its_names_sorted_and_nothing_temporary(node: Node) -> None:
    node.write_file("/d/b", b"")
    node.write_file("/d/a", b"")
    node.make_dir("/d/c/below")
    assert node.list_dir("/d") == ("a", "b", "c")


def test_large_content_comes_in_pieces_and_digests_the_same(node: Node) -> None:
    data = bytes(range(256)) * 12_000
    node.place("/usr/local/bin/kubelet", iter([data[:7], data[7:]]), mode=0o755, digest=Digest.of(data))
    assert b"".join(node.read_chunks("/usr/local/bin/kubelet")) == data
    assert node.digest("/usr/local/bin/kubelet") == Digest.of(data)
    with pytest.raises(OperatorError):
        list(node.read_chunks("/nothing"))


def test_wrong_bytes_leave_the_old_file_and_no_trace(node: Node) -> None:
    node.write_file("/bin/x", b"old", mode=0o700)
    with pytest.raises(IntegrityError) as caught:
        node.place("/bin/x", [b"bad"], mode=0o755, digest=Digest.of(b"good"))
    assert caught.value.where == "/bin/x"
    assert node.read_bytes("/bin/x") == b"old"
    assert node.list_dir("/bin") == ("x",)


def test_a_stream_that_breaks_leaves_the_old_file_and_no_trace(node: Node) -> None:
    def broken() -> Iterator[bytes]:
        yield b"part"
        raise IntegrityError("damaged", where="the bundle")

    node.write_file("/bin/x", b"old")
    with pytest.raises(IntegrityError, match="damaged"):
        node.place("/bin/x", broken(), mode=0o755)
    assert node.read_bytes("/bin/x") == b"old"
    assert node.list_dir("/bin") == ("x",)


def test_a_link_is_seen_as_itself_and_read_through(node: Node) -> None:
    node.write_file("/etc/target", b"t")
    node.symlink("target", "/etc/link")
    found = node.stat("/etc/link")
    assert found is not None
    assert (found.kind, found.link_target) == ("symlink", "target")
    assert node.read_bytes("/etc/link") == b"t"
    node.symlink("other", "/etc/link")
    assert node.read_bytes("/etc/link") is None


def test_writing_replaces_a_link_and_not_its_target(node: Node) -> None:
    node.write_file("/etc/target", b"t")
    node.symlink("target", "/etc/link")
    node.write_file("/etc/link", b"new")
    assert node.read_bytes("/etc/target") == b"t"
    assert node.read_bytes("/etc/link") == b"new"


def test_a_folder_is_made_again_with_another_mode(node: Node) -> None:
    node.make_dir("/var/lib/etcd")
    node.make_dir("/var/lib/etcd", mode=0o700)
    found = node.stat("/var/lib/etcd")
    assert found is not None
    assert found.mode == 0o700


def test_a_file_where_a_folder_is_wanted_is_an_error(node: Node) -> None:
    node.write_file("/a", b"")
    with pytest.raises(OperatorError):
        node.make_dir("/a")
    with pytest.raises(OperatorError):
        node.write_file("/a/b", b"")
    node.make_dir("/d")
    with pytest.raises(OperatorError):
        node.write_file("/d", b"")


def test_removing(node: Node) -> None:
    node.write_file("/d/a", b"")
    node.symlink("a", "/d/l")
    with pytest.raises(OperatorError):
        node.remove("/d")
    for path in ("/d/l", "/d/a", "/d", "/d", "/never"):
        node.remove(path)
    assert node.stat("/d") is None


def test_removing_a_tree(node: Node) -> None:
    node.write_file("/keep", b"")
    node.write_file("/d/e/f", b"")
    node.symlink("/keep", "/d/l")
    for path in ("/d", "/d", "/never"):
        node.remove_tree(path)
    assert node.stat("/d") is None
    assert node.read_bytes("/keep") == b""


@pytest.mark.parametrize("path", ["etc/x", "/etc/../x", ""])
def test_paths_must_be_absolute_and_plain(node: Node, path: str) -> None:
    for act in (lambda: node.write_file(path, b""), lambda: node.read_bytes(path), lambda: node.stat(path)):
        with pytest.raises(ValueError, match="absolute"):
            act()


def test_space_is_told_for_a_path_that_is_not_there_yet(node: Node) -> None:
    space = node.disk_space("/var/lib/containerd/deep/below")
    assert 0 < space.free_bytes <= space.total_bytes
    assert space.mount.startswith("/")


def test_what_is_added_comes_behind_what_is_there(node: Node) -> None:
    before = os.umask(0o077)
    try:
        node.append("/var/lib/x/log", b"one\n", mode=0o640)
        node.append("/var/lib/x/log", b"torn")
        node.append("/var/lib/x/log", b"two\n", mode=0o600)
    finally:
        os.umask(before)
    found = node.stat("/var/lib/x/log")
    assert found is not None
    assert (node.read_bytes("/var/lib/x/log"), found.mode) == (b"one\ntorn\ntwo\n", 0o640)


def test_nothing_is_added_through_a_link_or_to_a_folder(node: Node) -> None:
    node.write_file("/a/target", b"x")
    node.symlink("/a/target", "/a/link")
    for path in ("/a/link", "/a"):
        with pytest.raises(OperatorError, match="cannot add to a file"):
            node.append(path, b"more\n")
    assert node.read_bytes("/a/target") == b"x"

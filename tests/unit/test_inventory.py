"""The inventory: what is listed of a site, its strict format, and who signs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.inventory import Inventory
from installer.bundle.reader import open_media_set
from installer.inventory import HOST_KEY, signature, take, words
from tests.fakes.media import media_set
from tests.fakes.node import FakeNode

STORE = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256"
BLOB = Digest.of(b"a blob")


def node() -> FakeNode:
    return (
        FakeNode()
        .script("systemctl show containerd.service --property=LoadState,ExecStart", "LoadState=not-found\n")
        .with_files({
            "/proc/sys/kernel/hostname": "cp-1\n",
            "/proc/sys/kernel/osrelease": "6.1.0-1-amd64\n",
            "/proc/sys/kernel/arch": "x86_64\n",
            "/etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n',
            f"{STORE}/{BLOB.hex}": b"a blob",
            f"{STORE}/not-a-digest": b"?",
        })
        .script("uname -m", "x86_64\n")
    )  # fmt: skip


def test_it_lists_the_machine_its_media_and_its_blobs(tmp_path: Path) -> None:
    view = node()
    before = view.files()
    with open_media_set(media_set(tmp_path / "m")) as bundle:
        found = take(view, (bundle,))
        sizes = {item.digest: item.size_bytes for item in found.blobs}
        assert sizes == {blob.digest: blob.size_bytes for blob in bundle.index.blobs} | {BLOB: 6}
        assert [(item.name, item.identity) for item in found.media] == [(bundle.index.name, bundle.identity)]
    assert (found.hostname, found.kernel, found.machine) == ("cp-1", "6.1.0-1-amd64", "x86_64")
    assert found.disks[0].free_bytes == view.disk.free_bytes
    assert view.files() == before
    assert Inventory.from_bytes(found.to_bytes(), where="here") == found


def test_it_is_signed_with_the_host_s_key_by_root_alone() -> None:
    words_of = ("/usr/bin/ssh-keygen", "-Y", "sign", "-q", "-f", HOST_KEY, "-n", "airgap-bundle-inventory")
    there = node().with_files({HOST_KEY: "key"}).script(words_of, "a signature\n")
    there.write_file("/usr/bin/ssh-keygen", b"", mode=0o755)
    assert signature(there, b"document") == "a signature\n"
    assert there.fed[words_of] == b"document"
    there.uid = 1000
    assert signature(there, b"document") is None
    assert signature(node(), b"document") is None


def test_its_words_are_the_beginning_of_its_checksum() -> None:
    assert words(b"x").replace(" ", "") == Digest.of(b"x").hex[:32]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("schema", 2, "made by a newer builder"),
        ("kind", "other", "wanted one of"),
        ("blobs", [{"digest": str(BLOB), "size_bytes": 1}] * 2, "listed twice"),
        ("blobs", [{"digest": "sha256:1", "size_bytes": 1}], "not a SHA-256 digest"),
        ("kernel", "6\x1b[2J", "printable"),
        ("media", [{"name": "../x", "identity": str(BLOB)}], "wanted letters"),
        ("more", 1, "unknown field"),
    ],
)
def test_a_hostile_inventory_is_refused(key: str, value: object, said: str) -> None:
    document = json.loads(take(node(), ()).to_bytes()) | {key: value}
    with pytest.raises(FormatError) as caught:
        Inventory.from_bytes(json.dumps(document).encode(), where="here")
    assert said in "\n".join(caught.value.lines())

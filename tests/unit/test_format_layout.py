"""The tar is what the index says: headers as the standard library reads them, offsets by arithmetic, names verbatim."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.assemble import index_of
from bundler.measure import UnpackedSizes
from installer.bundle.errors import FormatError
from installer.bundle.index import BundleIndex
from installer.bundle.layout import FRAME_BYTES, Layout, padding, piece_sizes, tar_header
from tests.fakes.images import ARM64, PAUSE, Parts, small_parts, tar_of


@settings(deadline=None)
@given(
    size_bytes=st.integers(0, 2**70),
    mtime=st.integers(0, 8**11 - 1),
    name=st.from_regex(r"[a-z/.]{0,99}[a-z]", fullmatch=True),
)
def test_the_header_means_what_the_standard_library_reads(size_bytes: int, mtime: int, name: str) -> None:
    member = tarfile.TarInfo.frombuf(tar_header(name, size_bytes, mtime), "ascii", "strict")
    assert (member.size, member.mtime, member.mode) == (size_bytes, mtime, 0o644)
    assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
    assert member.isreg()
    assert member.name == name


@settings(deadline=None)
@given(total_bytes=st.integers(0, 10 * FRAME_BYTES))
def test_pieces_add_up(total_bytes: int) -> None:
    pieces = list(piece_sizes(total_bytes))
    assert sum(pieces) == total_bytes
    assert all(0 < piece <= FRAME_BYTES for piece in pieces)
    assert all(piece == FRAME_BYTES for piece in pieces[:-1])
    assert (total_bytes + len(padding(total_bytes))) % 512 == 0


def test_a_time_beyond_the_header_is_refused() -> None:
    with pytest.raises(FormatError):
        tar_header("bundle.json", 1, 8**11)


def _index(parts: Parts, tmp_path: object) -> BundleIndex:
    return index_of(parts.lock(), parts.store, UnpackedSizes(tmp_path), jobs=1)  # type: ignore[arg-type]


def test_offsets_are_where_the_standard_library_finds_members(tmp_path: object) -> None:
    parts = small_parts(large_bytes=1000)
    index = _index(parts, tmp_path)
    layout = Layout.of(index)
    contents = dict(layout.documents) | {f"blobs/sha256/{key.hex}": data for key, data in parts.store.blobs.items()}
    stream = b"".join(m.header + contents[m.name] + m.padding for m in layout.members) + bytes(1024)
    assert len(stream) == layout.size_bytes == sum(layout.frame_sizes())
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        found = [(m.name, m.offset, m.offset_data, m.size) for m in archive.getmembers()]
    assert found == [(m.name, m.offset_bytes, m.content_offset_bytes, m.size_bytes) for m in layout.members]
    assert [m.name for m in layout.members[:3]] == ["bundle.json", "oci-layout", "index.json"]
    assert [m.digest for m in layout.members[3:]] == [blob.digest for blob in index.blobs]


def test_index_json_names_each_image_by_tag_and_by_digest(tmp_path: object) -> None:
    parts = small_parts(large_bytes=1000)
    document = json.loads(Layout.of(_index(parts, tmp_path)).documents["index.json"])
    pause = parts.images[0]
    entries = {entry["annotations"]["io.containerd.image.name"]: entry for entry in document["manifests"]}
    assert len(entries) == 2 * len(parts.images)
    for name in (PAUSE, f"registry.k8s.io/pause@{pause.blob}"):
        assert entries[name]["digest"] == pause.blob
        assert entries[name]["size"] == len(parts.store.blobs[pause.blob])
        assert entries[name]["annotations"]["org.opencontainers.image.ref.name"] == name
    assert not any("@" in name and ":3.9" in name for name in entries)
    types = {entry["mediaType"] for entry in document["manifests"]}
    assert types == {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }


def test_an_image_without_an_index_is_listed_by_its_manifest(tmp_path: object) -> None:
    parts = small_parts(large_bytes=1000)
    lone = parts.image("quay.io/site/lone:1", {ARM64: [tar_of({"a": b"b"})]}, single=True)
    document = json.loads(Layout.of(_index(parts, tmp_path)).documents["index.json"])
    (entry,) = [e for e in document["manifests"] if e["annotations"]["io.containerd.image.name"].endswith("lone:1")]
    assert entry["digest"] == lone.blob
    assert entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"


def test_unpacked_sizes_are_of_the_content_and_remembered(tmp_path: object) -> None:
    parts = small_parts(large_bytes=1000)
    index = _index(parts, tmp_path)
    etcd = parts.images[1].platforms[index.platforms[0]].layers[1]
    assert index.descriptors()[etcd].unpacked_size_bytes == len(
        tar_of({"etcd": index.platforms[0].encode() + bytes(1000)})
    )
    zstd_layer = parts.images[3].platforms[index.platforms[0]].layers[0]
    assert index.descriptors()[zstd_layer].unpacked_size_bytes == len(tar_of({"etc/os-release": b"NAME=shared\n"}))
    parts.store.blobs.clear()
    assert _index(parts, tmp_path) == index

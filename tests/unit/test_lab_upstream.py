"""The lab's own tools: what it keeps and under which key, the layers it makes, the ranges it serves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bundler.charts import demand_chart
from installer.bundle.reference import Reference
from tests.lab.cache import cached, key_of
from tests.lab.debian import upstream_version
from tests.lab.errors import LabError
from tests.lab.filetree import requested_part
from tests.lab.images import ImageConfig, digest_of, image, layer, tree_layer
from tests.lab.profiles import cilium
from tests.lab.profiles.flannel import pack_chart
from tests.lab.release_tree import ReleaseTree, archive


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "airgap-bundle-lab"


def test_an_entry_is_made_once() -> None:
    made = []

    def make(out: Path) -> None:
        made.append(out)
        (out / "file").write_text("content")

    first = cached("kind", "key", make)
    assert cached("kind", "key", make) == first
    assert ((first / "file").read_text(), len(made)) == ("content", 1)


def test_what_fails_half_way_leaves_no_entry(cache_home: Path) -> None:
    def fail(out: Path) -> None:
        (out / "half").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        cached("kind", "key", fail)
    assert [path.name for path in (cache_home / "kind").iterdir()] == [".key.lock"]


def test_two_at_once_make_one_entry() -> None:
    made = []

    def make(out: Path) -> None:
        made.append(out)
        time.sleep(0.1)
        (out / "file").write_text("content")

    threads = [threading.Thread(target=cached, args=("kind", "key", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_key_is_of_names_contents_and_modes(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "a").write_text("1")
    keys = {key_of(folder)}
    (folder / "a").write_text("2")
    keys.add(key_of(folder))
    (folder / "a").rename(folder / "b")
    keys.add(key_of(folder))
    (folder / "b").chmod(0o755)
    keys.add(key_of(folder))
    assert len(keys) == 4
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("compiled")
    assert key_of(folder) in keys
    assert key_of("ab", "c") != key_of("a", "bc")


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [("1.6.20~ds1-1+deb12u3", "1.6.20"), ("1.1.5+ds1-1+deb12u1", "1.1.5"), ("1:2.5.4-1", "2.5.4"), ("9", "9")],
)
def test_the_upstream_part_of_a_debian_version(debian: str, upstream: str) -> None:
    assert upstream_version(debian) == upstream


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=100-", None),
        ("bytes=20-10", None),
        ("bytes=-", (0, 100)),
        ("bytes=0-1,5-6", (0, 100)),
        ("lines=1-2", (0, 100)),
    ],
)
def test_ranges(header: str | None, part: tuple[int, int] | None) -> None:
    assert requested_part(header, 100) == part


def names_in(data: bytes) -> dict[str, tarfile.TarInfo]:
    """The members of a gzip'd tar."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        return {member.name: member for member in tar}


def test_a_layer_has_its_folders_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"program")
    first = layer({"usr/bin/b": "a", "usr/bin/a": program})
    members = names_in(first.data)
    assert list(members) == ["usr", "usr/bin", "usr/bin/a", "usr/bin/b"]
    assert (members["usr/bin/b"].linkname, members["usr/bin/a"].mode) == ("a", 0o755)
    assert first.diff_id == digest_of(gzip.decompress(first.data))
    program.touch()
    assert layer({"usr/bin/a": program, "usr/bin/b": "a"}) == first


def test_a_tree_becomes_a_layer_without_what_is_left_out(tmp_path: Path) -> None:
    for name in ("usr/bin/tool", "usr/share/doc/tool"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "bin").symlink_to("usr/bin")
    members = names_in(tree_layer(tmp_path, leave_out=("usr/share",), links={"usr/bin/alias": "tool"}).data)
    assert [name for name, member in members.items() if not member.isdir()] == ["bin", "usr/bin/alias", "usr/bin/tool"]


@pytest.mark.parametrize("flavour", ["docker", "oci"])
def test_an_image_is_whole(flavour: str) -> None:
    layers = {name: [layer({"arch": name.encode()})] for name in ("amd64", "arm64")}
    parts = image(layers, ImageConfig(entrypoint=("/arch",)), flavour=flavour, attested=flavour == "oci")
    assert all(digest_of(data) == digest for digest, data in parts.blobs.items())
    assert all(digest_of(data) == digest for digest, (_, data) in parts.manifests.items())
    index = json.loads(parts.manifests[parts.top][1])
    assert {entry["digest"] for entry in index["manifests"]} | {parts.top} == set(parts.manifests)
    for entry in index["manifests"]:
        manifest = json.loads(parts.manifests[entry["digest"]][1])
        assert all(blob["digest"] in parts.blobs for blob in [manifest["config"], *manifest["layers"]])
        if entry["platform"]["os"] == "linux":
            config = json.loads(parts.blobs[manifest["config"]["digest"]])
            assert config["architecture"] == entry["platform"]["architecture"]
            assert config["rootfs"]["diff_ids"] == [layers[config["architecture"]][0].diff_id]


def test_an_archive_keeps_names_and_order(tmp_path: Path) -> None:
    data = archive({"./b": b"2", "./a": b"1"})
    assert list(names_in(data)) == ["./b", "./a"]
    assert archive({"./b": b"2", "./a": b"1"}) == data


CHART = {
    ".helmignore": b"tests/\n.helmignore\n",
    "Chart.yaml": b"apiVersion: v1\nappVersion: v0.1.0\nname: flannel\nversion: v0.1.0\n",
    "templates/config.yaml": b"kind: ConfigMap\n",
    "templates/account.yaml": b"kind: ServiceAccount\n",
    "tests/config_test.yaml": b"suite: of the chart's own\n",
    "values.yaml": b"flannel:\n  image:\n    tag: v0.1.0\n  image_cni:\n    tag: v1.0.0\n",
}


def test_the_chart_is_packed_as_its_release_job_does() -> None:
    data = pack_chart(CHART, "v0.2.0")
    assert pack_chart(dict(reversed(CHART.items())), "v0.2.0") == data
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        assert {member.mode for member in tar} == {0o644}
    templates = ["flannel/templates/account.yaml", "flannel/templates/config.yaml"]
    assert list(files) == ["flannel/Chart.yaml", *templates, "flannel/values.yaml"]
    about = yaml.safe_load(files["flannel/Chart.yaml"])
    assert (about["version"], about["appVersion"]) == ("v0.2.0", "v0.2.0")
    values = yaml.safe_load(files["flannel/values.yaml"])["flannel"]
    assert (values["image"]["tag"], values["image_cni"]["tag"]) == ("v0.2.0", "v1.0.0")


def test_a_chart_without_an_image_tag_is_refused() -> None:
    with pytest.raises(LabError, match="image tag"):
        pack_chart({**CHART, "values.yaml": b"flannel: {}\n"}, "v0.2.0")


def test_a_chart_of_the_lab_names_every_image_with_its_digest() -> None:
    known = cilium.version()
    served = cilium.references(known)
    assert set(served) == set(cilium.IMAGES)
    images = {name: image({"amd64": [layer({"name": name.encode()})]}, ImageConfig()) for name in served}
    pinned = cilium.pinned(served, images)
    assert {name: reference.tagged for name, reference in pinned.items()} == {
        name: reference.tagged for name, reference in served.items()
    }
    data = cilium.packed_chart(known.version, pinned)
    assert cilium.packed_chart(known.version, pinned) == data
    demand_chart(data, "cilium", known.version, where="here")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        values = yaml.safe_load(tar.extractfile("cilium/values.yaml"))  # type: ignore[arg-type]
    for part, name in ((values, "cilium"), (values["envoy"], "cilium-envoy")):
        assert (part["image"]["tag"], part["image"]["digest"]) == (pinned[name].tag, images[name].top)
    operator = values["operator"]["image"]
    assert (operator["tag"], operator["genericDigest"]) == (
        pinned["operator-generic"].tag,
        images["operator-generic"].top,
    )


def test_a_list_of_other_images_is_refused() -> None:
    known = cilium.version()
    with pytest.raises(LabError, match="other images") as caught:
        cilium.references(replace(known, images=(known.images or ())[:1]))
    assert "cilium" in (caught.value.where or "")


def test_a_network_s_own_list_of_images_is_laid_over_the_catalogue(tmp_path: Path) -> None:
    tree = ReleaseTree(tmp_path, "mini", "1.30.14")
    images = [Reference.parse("quay.io/b/b:1"), Reference.parse("quay.io/a/a:1")]
    tree.add_chart("cni", "cilium", "1.2.3", b"chart", "ours", images=images)
    assert (tmp_path / "files/helm.cilium.io/cilium-1.2.3.tgz").read_bytes() == b"chart"
    entry = yaml.safe_load((tmp_path / "catalog/cni/cilium.yaml").read_text())["versions"]["1.2.3"]
    assert entry == {"sha256": hashlib.sha256(b"chart").hexdigest(), "images": ["quay.io/a/a:1", "quay.io/b/b:1"]}


def test_a_pod_network_is_published_and_laid_over_the_catalogue(tmp_path: Path) -> None:
    tree = ReleaseTree(tmp_path, "real", "1.30.14")
    tree.add_file("helm", "3.18.6", b"helm", "compiled")
    tree.add_chart("cni", "flannel", "v0.26.7", b"chart", "upstream's")
    tree.finish()
    files = tmp_path / "files"
    assert (files / "github.com/flannel-io/flannel/releases/download/v0.26.7/flannel.tgz").read_bytes() == b"chart"
    helm = hashlib.sha256(b"helm").hexdigest()
    name = "helm-v3.18.6-linux-amd64.tar.gz"
    assert (files / "get.helm.sh" / f"{name}.sha256sum").read_text() == f"{helm}  {name}\n"
    assert yaml.safe_load((tmp_path / "catalog/components/helm.yaml").read_text())["versions"] == {
        "3.18.6": {"sha256": {"amd64": helm}}
    }
    assert yaml.safe_load((tmp_path / "catalog/cni/flannel.yaml").read_text()) == {
        "schema": 1,
        "name": "flannel",
        "kind": "cni",
        "default": "v0.26.7",
        "versions": {"v0.26.7": {"sha256": hashlib.sha256(b"chart").hexdigest()}},
    }
    assert [part["name"] for part in json.loads((tmp_path / "parts.json").read_text())] == ["helm", "flannel.tgz"]

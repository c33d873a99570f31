"""What the builder reads from options and the environment, and what it says at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundler.assemble import Kept, MediaSet
from bundler.build import Built, parse_architectures, runtime_kind, source_date_epoch
from bundler.errors import InputError
from bundler.report import built_lines, inspect_lines, verified_lines
from installer.bundle.addon import BundledAddon
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.hostneeds import HostNeeds
from installer.bundle.mediatypes import HELM_CHART
from installer.bundle.source import Source
from installer.bundle.verify import Verified
from tests.fakes.small_bundle import small_bundle

IDENTITY = Digest.of(b"identity")


@pytest.mark.parametrize(
    ("text", "platforms"),
    [
        ("amd64", ("linux/amd64",)),
        ("arm64,amd64", ("linux/amd64", "linux/arm64")),
        (" amd64 , amd64,", ("linux/amd64",)),
    ],
)
def test_architectures_each_once_in_order(text: str, platforms: tuple[str, ...]) -> None:
    assert parse_architectures(text) == platforms


@pytest.mark.parametrize("text", ["", ",", "x86_64", "amd64,riscv64", "linux/amd64"])
def test_unknown_architectures_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="architecture"):
        parse_architectures(text)


def test_source_date_epoch_is_a_time_or_nothing() -> None:
    assert source_date_epoch(None) is None
    assert source_date_epoch("") is None
    assert source_date_epoch("1795219200") == 1_795_219_200
    for text in ("yesterday", "-1", "1.5", "1" * 12):
        with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
            source_date_epoch(text)


def test_a_runtime_is_a_kind_or_a_file(tmp_path: Path) -> None:
    archive = tmp_path / "runtime.tar.gz"
    archive.write_bytes(b"")
    assert runtime_kind("host") == "host"
    assert runtime_kind(str(archive)) == "file"
    with pytest.raises(InputError, match="no such runtime"):
        runtime_kind(str(tmp_path / "absent"))


def test_a_finished_build_says_where_it_is_and_what_comes_next() -> None:
    made = MediaSet(
        Path("dist/k8s"), Path("dist/k8s/k8s.tar.zst"), Path("dist/k8s.lock.json"), IDENTITY, 88_400_000, ""
    )
    lines = list(built_lines(Built(made, ("2.17", "2.17"), 2.84)))
    assert lines[0] == "done      dist/k8s   88.4 MB   2.8 s"
    assert lines[1] == f"identity  {IDENTITY}"
    assert sum("glibc" in line for line in lines) == 1
    assert lines[-1] == "  sudo ./install --role cp --allow-unsigned"


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ("read", "proof     every byte was read"),
        ("untouched", "proof     untouched since its bytes were proven; bundle verify reads them"),
    ],
)
def test_a_media_set_that_was_there_says_how_it_was_proven(kept: Kept, told: str) -> None:
    made = MediaSet(Path("dist/k8s"), Path("dist/k8s/k8s.tar.zst"), Path("dist/k8s.lock.json"), IDENTITY, 1, kept)
    lines = list(built_lines(Built(made, (), 0.2)))
    assert lines[:2] == ["done      dist/k8s   was there already   0.2 s", told]
    assert len(told) <= 80


FLANNEL = BundledAddon(
    "flannel", "v0.28.9", "cni", Digest.of(b"chart"), "kube-flannel", {}, ("daemonset/x",), "helm",
    Source("https://example.net/flannel.tgz", "first-seen"),
)  # fmt: skip


@pytest.mark.parametrize(("told_by", "told"), [("helm", "as helm renders them"), ("catalogue", "from the catalogue")])
def test_a_pod_network_is_named_with_whose_word_its_chart_and_images_are(told_by: str, told: str) -> None:
    made = MediaSet(Path("dist/k8s"), Path("x.tar.zst"), Path("k8s.lock.json"), IDENTITY, 1, "")
    addon = replace(FLANNEL, images_told_by=told_by)
    (line,) = (line for line in built_lines(Built(made, (), 1, (addon,))) if line.startswith("cni"))
    assert line.startswith("cni       flannel v0.28.9, chart first-seen, images ")
    assert told in line
    assert len(line) <= 80


@pytest.mark.parametrize(
    ("told_by", "told"),
    [("helm", "as helm 3.18.4 renders them"), ("catalogue", "images from the catalogue; helm 3.18.4")],
)
def test_inspect_shows_the_add_ons(told_by: str, told: str) -> None:
    index = small_bundle().index
    helm = replace(index.files[0], component="helm", version="3.18.4")
    chart = Descriptor(FLANNEL.chart, 7_000, HELM_CHART)
    index = replace(
        index,
        files=(*index.files, helm),
        addons=(replace(FLANNEL, images_told_by=told_by, needs=("base",), host=HostNeeds(("iscsiadm",))),),
        blobs=(*index.blobs, chart),
    )
    lines = list(inspect_lines(index, IDENTITY))
    begin = lines.index("add-ons")
    assert lines[begin + 1].split()[:3] == ["flannel", "v0.28.9", "cni"]
    assert lines[begin + 1].endswith("kube-flannel  chart first-seen")
    assert told in lines[begin + 2]
    assert [line.strip() for line in lines[begin + 3 : begin + 5]] == [
        "after base",
        "on nodes of role cp,worker: iscsiadm",
    ]


def test_a_foreign_file_is_shown_without_its_control_characters() -> None:
    verified = Verified(IDENTITY, 1_000_000, 7, (), ("left\x1b[2Jover",))
    lines = list(verified_lines(small_bundle().index, verified, 1.0))
    assert lines[-1] == "warn      not in SHA256SUMS, and nothing reads it: left\\x1b[2Jover"

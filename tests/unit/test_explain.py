"""What is told of a bundle adds up, and what differs between two is found and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from bundler.changes import compare
from bundler.cli import main
from bundler.contents import Contents, read_contents
from bundler.explain import Report
from bundler.explain_page import page_text
from bundler.markup import Markup, element
from bundler.treemap import Box, treemap
from installer.bundle.index import BundleIndex
from installer.bundle.reference import Reference
from tests.fakes.media import media_set
from tests.fakes.told_bundles import AMD64, ARM64, told_index, told_lock


def report(index: BundleIndex | None = None) -> Report:
    return Report.of(Contents.of_index(index or told_index()))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return media_set(tmp_path / "set")


@pytest.fixture
def indexes(tmp_path: Path) -> tuple[Path, Path, Path]:
    made = (told_index(), told_index("1.30.13"), told_index(platforms=(ARM64,)))
    paths = tuple(tmp_path / f"{number}.json" for number in range(3))
    for path, index in zip(paths, made, strict=True):
        path.write_bytes(index.to_bytes())
    return paths[0], paths[1], paths[2]


@pytest.mark.parametrize("contents", [Contents.of_index(told_index(platforms=(AMD64, ARM64))),
                                      Contents.of_lock(told_lock(told_index()))], ids=["index", "lock"])  # fmt: skip
def test_shares_and_origins_add_up_to_the_whole(contents: Contents) -> None:
    told = Report.of(contents)
    assert sum(share.size_bytes for share in told.shares) == told.size_bytes
    assert sum(origin.size_bytes for origin in told.origins) == told.size_bytes
    assert sum(origin.items for origin in told.origins) == len(told.items)
    shared = next(share for share in told.shares if share.group == "shared")
    assert shared.size_bytes == 1_900_000 * len(contents.platforms)
    assert shared.items == 6


def test_every_item_has_its_purpose() -> None:
    groups = {item.name: item.group for item in report().items}
    assert groups["kubelet"] == "programs"
    assert groups["runc"] == "tools"
    assert groups["registry.k8s.io/etcd"] == "kubernetes"
    assert groups["docker.io/library/haproxy"] == "endpoint"
    assert groups["quay.io/cilium/cilium"] == groups["cilium"] == "network"


def test_settings_are_told_flat_and_harmless() -> None:
    odd = told_index(values={"a.b": {"c": [1, {"d": None}]}, "e": "\x1b[2J\u202e", "f": {}})
    settings = report(odd).settings
    assert settings['cilium, values."a.b".c'] == '[1, {"d": null}]'
    assert settings["cilium, values.e"] == '"\\u001b[2J\\u202e"'
    assert settings["cilium, values.f"] == "{}"
    assert settings["kubelet linux/amd64, file"] == "/usr/local/bin/kubelet"
    assert all(text.isprintable() for pair in settings.items() for text in pair)


def test_one_bundle_is_the_same_as_itself() -> None:
    changes = compare(report(), report())
    assert changes.same
    assert (changes.items, changes.settings, changes.fresh.count, changes.gone.count) == ((), (), 0, 0)


def test_a_patch_changes_what_follows_its_version_and_nothing_else() -> None:
    changes = compare(report(told_index("1.30.13")), report())
    assert {change.item.name.rpartition("/")[2] for change in changes.items} == {
        *("kubeadm", "kubectl", "kubelet"),
        *("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"),
    }
    assert all(change.word == "changed" and change.reasons == () for change in changes.items)
    assert [setting.name for setting in changes.settings] == ["kubernetes"]
    base = 1_900_000
    assert sum(change.new_bytes for change in changes.items) <= changes.fresh.size_bytes + base
    assert changes.fresh.size_bytes + changes.kept.size_bytes == changes.new.size_bytes
    assert changes.gone.size_bytes + changes.kept.size_bytes == changes.old.size_bytes


def test_what_is_carried_under_one_version_and_other_bytes_is_said() -> None:
    old = told_index()
    changed = tuple(
        replace(item, blob=old.files[0].blob, source=replace(item.source, trust="user", catalogue="mine"))
        if item.component == "runc"
        else item
        for item in old.files
    )
    (change,) = compare(report(old), report(replace(old, files=changed))).items
    assert change.reasons == ("digest", "trust")


def test_two_tags_of_one_image_are_two_items() -> None:
    old = told_index()
    pause = next(image for image in old.images if image.purpose == "pause")
    second = replace(pause, reference=Reference.parse("registry.k8s.io/pause:3.10"))
    changes = compare(report(old), report(replace(old, images=(second, *old.images))))
    assert [(change.word, change.item.version) for change in changes.items] == [("added", "3.10")]
    back = compare(report(replace(old, images=(second, *old.images))), report(old))
    assert [(change.word, change.item.version) for change in back.items] == [("removed", "3.10")]


def test_a_lock_and_what_was_built_of_it_hold_the_same() -> None:
    index = told_index()
    changes = compare(Report.of(Contents.of_lock(told_lock(index))), report(index))
    assert changes.same
    assert not changes.installers


def test_everything_of_an_add_on_that_only_one_has_is_told_by_the_item() -> None:
    index = told_index()
    bare = replace(index, addons=(), cni="none")
    changes = compare(report(bare), report(index))
    assert [change.item.name for change in changes.items if change.word == "added"] == ["cilium"]
    assert {setting.name for setting in changes.settings} == {"add-ons, in order", "pod network"}


@given(st.lists(st.integers(1, 10**10), max_size=60).map(lambda sizes: sorted(sizes, reverse=True)))
def test_a_treemap_fills_its_room_and_each_area_is_a_size(sizes: list[int]) -> None:
    room = Box(0, 0, 1100, 440)
    boxes = treemap(sizes, room)
    assert len(boxes) == len(sizes)
    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(1100 * 440 * size / sum(sizes), rel=1e-6, abs=1e-3)
        assert box.x >= -0.5
        assert box.y >= -0.5
        assert box.x + box.width <= 1100.5
        assert box.y + box.height <= 440.5


def test_markup_is_made_and_never_taken() -> None:
    said = element("p", "<b>", Markup("<i></i>"), ["&", element("b", '"')], class_="a'b", title=None)
    assert said == '\n<p class="a&#x27;b">&lt;b&gt;<i></i>&amp;<b>&quot;</b></p>'


def test_a_page_of_an_odd_bundle_holds_no_markup_of_its() -> None:
    hostile = "</style><script>x</script>"
    index = told_index(values={hostile: hostile})
    page = page_text(report(replace(index, cni=hostile)))
    assert "<script" not in page
    assert page.count("</style>") == 1
    assert page.count("&lt;script&gt;") >= 3


def test_a_media_set_a_tarball_an_index_and_a_lock_are_read(media: Path, tmp_path: Path) -> None:
    tarball = next(media.glob("*.tar.zst"))
    kinds = [read_contents(path).kind for path in (media, tarball, media / "bundle.json")]
    assert kinds == ["media set", "tarball", "index"]
    assert len({read_contents(path).identity for path in (media, tarball, media / "bundle.json")}) == 1
    lock = tmp_path / "x.lock.json"
    lock.write_bytes(told_lock(told_index()).to_bytes())
    assert read_contents(lock).kind == "lock"
    installers = [item for item in Report.of(read_contents(media)).items if item.kind == "installer"]
    assert [(item.name, item.size_bytes) for item in installers] == [("install", 10)]


def test_the_answers_are_text_json_and_a_page(indexes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    new, old, _ = indexes
    assert "changed   7 items" in run("diff", old, new).stdout
    assert json.loads(run("diff", old, new, "--json").stdout)["changes"]["same"] is False
    same = run("diff", new, new)
    assert (same.exit_code, same.stdout.splitlines()[-1]) == (0, "same      the two are one bundle")
    page = tmp_path / "page.html"
    for arguments in (("diff", old, new), ("report", new, "--against", old)):
        page.unlink(missing_ok=True)
        assert run(*arguments, "--html", page).exit_code == 0
        assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run("report", new).stdout.startswith("bundle    k8s-v1.30.14-linux-amd64   index, identity\n")


@pytest.mark.parametrize("verb", ["report", "sbom"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, verb: str) -> None:
    (tmp_path / "a.json").write_text("[1]")
    (tmp_path / "a.tar.zst").write_text("no bundle")
    (tmp_path / "large.json").write_bytes(b"{" * (17 * 1024 * 1024))
    (tmp_path / "folder").mkdir()
    answers = {
        name: run(verb, tmp_path / name) for name in ("a.json", "a.tar.zst", "large.json", "folder", "no", "no.json")
    }
    assert {name: answer.exit_code for name, answer in answers.items()} == {
        **dict.fromkeys(("a.json", "a.tar.zst", "large.json"), 4),
        **dict.fromkeys(("folder", "no", "no.json"), 2),
    }
    for answer in answers.values():
        assert answer.stderr.startswith("error: "), answer.stderr
        assert "where" in answer.stderr


def test_bundles_for_different_platforms_are_not_compared(indexes: tuple[Path, Path, Path]) -> None:
    refused = run("diff", indexes[0], indexes[2])
    assert refused.exit_code == 2
    assert "error: the two are for different platforms  [input]" in refused.stderr
    assert "got     linux/amd64 and linux/arm64" in refused.stderr


def test_a_page_that_cannot_be_written_leaves_what_was_there(indexes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    refused = run("report", indexes[0], "--html", tmp_path / "nowhere" / "page.html")
    assert refused.exit_code != 0
    assert "error: the file cannot be written" in refused.stderr
    taken = tmp_path / "taken"
    taken.mkdir()
    assert run("sbom", indexes[0], "--out", taken).exit_code != 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0.json", "1.json", "2.json", "taken"]


def test_one_answer_at_a_time(indexes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    refused = run("report", indexes[0], "--json", "--html", tmp_path / "page.html")
    assert refused.exit_code == 2
    assert not (tmp_path / "page.html").exists()

"""Which add-ons a build carries: asked for, needed, in order, once; and every way in which they do not go together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bundler.addon_choice import chosen_addons, shown_addon
from bundler.catalog import Catalog
from bundler.errors import InputError
from tests.unit.catalogue_folders import overlaid, write_folder

RELEASE = Catalog.load().release("1.30")


def addon(name: str, *versions: str, kind: str = "addon", **fields: Any) -> dict[str, Any]:
    """A document; each of ``versions`` may name what that one needs: ``1.0.0 a b@2.0.0``."""
    own = {
        words[0]: {"images": [f"quay.io/{name}/main:1"]} | ({"needs": words[1:]} if words[1:] else {})
        for words in (version.split() for version in versions or ("1.0.0",))
    }
    common = {
        "schema": 1,
        "name": name,
        "kind": kind,
        "default": next(iter(own)),
        "chart": {"name": name, "url": f"https://charts.example/{name}-{{version}}.tgz"},
        "namespace": "kube-system",
        "ready": [f"deployment/{name}"],
        "roles": ["cp", "worker"],
        "versions": own,
    }
    return common | fields


def retired(name: str, kind: str = "addon") -> dict[str, Any]:
    return {"schema": 1, "name": name, "kind": kind, "retired": f"{name} is gone: use another"}


def site(tmp_path: Path, *documents: dict[str, Any]) -> Catalog:
    folders = {"cni": "cni", "addon": "addons"}
    return overlaid(tmp_path / "site", {f"{folders[it['kind']]}/{it['name']}.yaml": it for it in documents})


def chosen(catalog: Catalog, *addons: str, cni: str | None = "none") -> list[str]:
    return [str(item) for item in chosen_addons(cni, addons, catalog, RELEASE)]


def refused(catalog: Catalog, *addons: str, cni: str | None = "none") -> InputError:
    with pytest.raises(InputError) as caught:
        chosen(catalog, *addons, cni=cni)
    return caught.value


def test_cilium_is_carried_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("plain"))
    (network,) = chosen(catalog, cni=None)
    assert network == f"cilium {catalog.addon('cni', 'cilium').default}"
    assert chosen(catalog, "plain", cni=None) == [network, "plain 1.0.0"]
    assert chosen(catalog, cni="none") == []


def test_the_pod_network_is_first_and_needs_stand_before_what_needs_them(tmp_path: Path) -> None:
    catalog = site(
        tmp_path,
        addon("net", kind="cni", needs=["net-crds"]),
        addon("net-crds"),
        addon("metrics", needs=["approver"]),
        addon("approver", needs=["base"]),
        addon("base"),
        addon("other", needs=["base", "approver"]),
    )
    carried = ["net-crds 1.0.0", "net 1.0.0", "base 1.0.0", "approver 1.0.0", "other 1.0.0", "metrics 1.0.0"]
    assert chosen(catalog, "other", "metrics", "base", cni="net") == carried


def test_the_order_is_that_of_the_options(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("one"), addon("two"))
    assert chosen(catalog, "two", "one") == ["two 1.0.0", "one 1.0.0"]


def test_a_version_that_one_insists_on_holds_for_all(tmp_path: Path) -> None:
    catalog = site(
        tmp_path, addon("base", "1.0.0", "v2.0.0"), addon("a", needs=["base@2.0.0"]), addon("b", needs=["base"])
    )
    assert chosen(catalog, "b", "a") == ["base v2.0.0", "b 1.0.0", "a 1.0.0"]
    assert chosen(catalog, "base", "a") == ["base v2.0.0", "a 1.0.0"]
    assert chosen(catalog, "base@v2.0.0", "a") == ["base v2.0.0", "a 1.0.0"]


def test_a_version_has_needs_of_its_own(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("base"), addon("a", "2.0.0", "1.0.0 base", "0.9.0", needs=["missing"]))
    assert chosen(catalog, "a@1.0.0") == ["base 1.0.0", "a 1.0.0"]
    assert refused(catalog, "a@0.9.0").where == "a 0.9.0, needs"


def test_two_versions_of_one_add_on_are_refused_naming_who_wants_which(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("base", "1.0.0", "2.0.0"), addon("a", needs=["base@2.0.0"]))
    error = refused(catalog, "base@1.0.0", "a")
    assert error.message == "two versions of base are wanted"
    assert (error.where, error.wanted) == ("a 1.0.0, needs", "base@2.0.0")
    assert error.got == "base@1.0.0 (--addon base@1.0.0)"


def test_add_ons_that_need_each_other_are_refused_with_the_circle(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("a", needs=["b"]), addon("b", needs=["c"]), addon("c", needs=["b"]))
    error = refused(catalog, "a")
    assert (error.message, error.got) == ("add-ons need each other", "b -> c -> b")


def test_an_unknown_add_on_is_answered_with_those_there_are(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("metrics", needs=["aprover"]), addon("approver"), retired("old"))
    known = (refused(catalog, "metric").wanted or "").replace("\n", " ").removeprefix("one of ").split(", ")
    assert known == sorted(known)
    assert {"approver", "metrics"} <= set(known)
    assert "old" not in known
    error = refused(catalog, "metrics")
    assert (error.where, error.got) == ("metrics 1.0.0, needs", "aprover")
    assert "--addon-file" in (refused(Catalog.load(), "x").next_step or "")


@pytest.mark.parametrize("text", ["a@", "A", "a@1@2", "", "a b"])
def test_what_is_no_add_on_is_refused(text: str) -> None:
    error = refused(Catalog.load(), text)
    assert (error.where, error.wanted) == (f"--addon {text}", "NAME or NAME@VERSION")


def test_a_pod_network_is_not_asked_for_as_an_add_on() -> None:
    error = refused(Catalog.load(), "flannel@v0.28.9")
    assert (error.got, error.next_step) == ("the pod network flannel", "--cni flannel@v0.28.9")


def test_two_pod_networks_are_refused_naming_who_wants_which(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("policies", needs=["net"]), addon("net", kind="cni"))
    error = refused(catalog, "policies", cni="flannel")
    assert error.message == "a cluster has one pod network"
    assert error.got == "flannel (--cni flannel)\nnet (policies 1.0.0, needs)"
    assert chosen(catalog, "policies", cni=None) == ["net 1.0.0", "policies 1.0.0"]
    assert refused(catalog, "policies", cni="none").got == "net (policies 1.0.0, needs)"


def test_what_is_retired_is_refused_with_its_reason(tmp_path: Path) -> None:
    catalog = site(tmp_path, retired("old"), retired("flannel", "cni"), addon("a", needs=["old"]))
    for addons, cni, where in (
        (("old",), None, "--addon old"),
        (("a",), None, "a 1.0.0, needs"),
        ((), "flannel", "--cni flannel"),
    ):
        error = refused(catalog, *addons, cni=cni)
        assert error.where == where
        assert "is gone: use another" in (error.got or "")


def test_canal_is_refused_with_a_reason() -> None:
    error = refused(Catalog.load(), cni="canal")
    assert error.message == "canal is not offered"
    told = " ".join((error.got or "").split())
    assert "ask for calico" in told and "flannel" in told
    assert "canal" not in Catalog.load().offered("cni")


def test_a_document_of_ones_own_takes_back_a_retirement(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("canal", kind="cni"))
    assert chosen(catalog, cni="canal") == ["canal 1.0.0"]


@pytest.mark.parametrize(
    ("works", "fits"),
    [(">=1.25", True), (">=1.31", False), ("<1.30", False), ("<=1.30", True), (">=1.25 <1.30 || ==1.30", True)],
)
def test_an_add_on_for_another_kubernetes_is_refused_naming_both(tmp_path: Path, works: str, fits: bool) -> None:
    catalog = site(tmp_path, addon("a", kubernetes=works))
    if fits:
        assert chosen(catalog, "a") == ["a 1.0.0"]
        return
    error = refused(catalog, "a")
    assert (error.where, error.wanted, error.got) == ("--addon a", f"Kubernetes {works}", RELEASE.version)


def test_a_file_of_ones_own_is_carried(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"mine.yaml": addon("mine", needs=["base"]), "base.yaml": addon("base")})
    catalog = Catalog.load((), (folder / "mine.yaml", folder / "base.yaml"))
    assert chosen(catalog) == ["base 1.0.0", "mine 1.0.0"]
    (_, mine) = chosen_addons("none", ("mine",), catalog, RELEASE)
    assert (mine.addon.catalogue, mine.version.catalogue) == ("mine.yaml", "mine.yaml")


def test_a_file_laid_over_the_catalogue_gives_only_what_differs(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"ours.yaml": {"schema": 1, "name": "flannel", "default": "v0.28.8"}})
    catalog = Catalog.load((), (folder / "ours.yaml",))
    assert chosen(catalog, cni=None) == chosen(catalog, cni="flannel") == ["flannel v0.28.8"]
    assert refused(catalog, cni="none").got == f"flannel (--addon-file {folder / 'ours.yaml'})"


def test_a_pod_network_in_a_file_stands_for_cni(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"net.yaml": addon("net", kind="cni")})
    catalog = Catalog.load((), (folder / "net.yaml",))
    assert chosen(catalog, cni=None) == ["net 1.0.0"]
    assert "flannel (--cni flannel)" in (refused(catalog, cni="flannel").got or "")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"schema": 1, "name": "mine"}, "kind: missing, wanted one of cni, addon"),
        ({"schema": 1, "kind": "addon"}, "name: missing"),
        ({"schema": 1, "name": "mine", "kind": "network"}, "kind: wanted one of cni, addon"),
        (addon("mine") | {"nane": 1}, "nane: unknown field"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, document: dict[str, Any], problem: str) -> None:
    folder = write_folder(tmp_path, {"mine.yaml": document})
    with pytest.raises(InputError) as caught:
        chosen(Catalog.load((), (folder / "mine.yaml",)))
    assert caught.value.where == str(folder / "mine.yaml")
    assert problem in (caught.value.got or "")


def test_a_pod_network_that_an_add_on_or_a_file_brings_is_first_too(tmp_path: Path) -> None:
    catalog = site(
        tmp_path,
        addon("metrics"),
        addon("policies", needs=["net"]),
        addon("net", kind="cni", needs=["net-crds"]),
        addon("net-crds"),
    )
    network = ["net-crds 1.0.0", "net 1.0.0"]
    assert chosen(catalog, "metrics", "policies", cni=None) == [*network, "metrics 1.0.0", "policies 1.0.0"]
    folder = write_folder(tmp_path, {"own.yaml": addon("own", kind="cni")})
    catalog = Catalog((*catalog.folders,), Catalog.load((), (folder / "own.yaml",)).addon_files)
    assert chosen(catalog, "metrics", cni=None) == ["own 1.0.0", "metrics 1.0.0"]


def test_one_name_for_two_kinds_is_refused(tmp_path: Path) -> None:
    error = refused(site(tmp_path, addon("flannel")), "flannel")
    assert error.got == "cni/flannel.yaml and addons/flannel.yaml"


def test_show_takes_names_and_leaves_versions_of_kubernetes(tmp_path: Path) -> None:
    catalog = site(tmp_path, addon("mine", "2.0.0", "1.0.0"))
    assert [
        str(shown_addon(text, catalog)) for text in ("mine", "mine@1.0.0", "flannel@0.28.8", "1.30", "v1.30.4")
    ] == [
        "mine 2.0.0",
        "mine 1.0.0",
        "flannel v0.28.8",
        "None",
        "None",
    ]
    with pytest.raises(InputError) as caught:
        shown_addon("min", catalog)
    named = set(re.split(r",\s+", caught.value.wanted or ""))
    assert {"flannel", "mine", "local-path-provisioner"} <= named, "no name is broken at a hyphen"

"""Add-ons of a build: chosen by name, rendered to see their images, locked with chart, helm and images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundler.addon_choice import chosen_addons
from bundler.catalog import Catalog
from bundler.errors import InputError
from bundler.lockfile import Lock
from bundler.resolve import BuildRequest, resolve
from bundler.site_values import SiteValues
from installer.bundle import mediatypes
from installer.bundle.platform import Platform
from tests.fakes.outside import Outside
from tests.unit.catalogue_folders import overlaid, sums

AMD64 = Platform("linux/amd64")
ARM64 = Platform("linux/arm64")
BUILT_IN = Catalog.load()
REQUEST = BuildRequest("1.30", (AMD64,), zstd="1.5.7", cni="flannel")
DAEMON = "ghcr.io/flannel-io/flannel:v0.28.9"
PLUGIN = "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel3"
URL = "https://github.com/flannel-io/flannel/releases/download/v0.28.9/flannel.tgz"


def flannel(network: str) -> dict[str, Any]:
    """The settings of the daemon itself."""
    return {"backend": "vxlan", "args": ["--ip-masq", "--kube-subnet-mgr", f"--iface-can-reach={network}"]}


def rendering(*images: str) -> str:
    return "".join(f"---\nspec: {{containers: [{{image: '{image}'}}]}}\n" for image in images)


def document(**fields: Any) -> dict[str, Any]:
    return {"schema": 1, "name": "flannel", **fields}


def site(tmp_path: Path, **fields: Any) -> Catalog:
    return overlaid(tmp_path / "site", {"cni/flannel.yaml": document(**fields)})


def test_a_lock_with_a_pod_network_holds_chart_helm_and_images() -> None:
    lock = resolve(REQUEST, BUILT_IN, Outside(text=rendering(DAEMON, PLUGIN)))
    (addon,) = lock.addons
    assert (lock.cni, addon.name, addon.version, addon.kind) == ("flannel", "flannel", "v0.28.9", "cni")
    assert (addon.namespace, addon.ready) == ("kube-flannel", ("daemonset/kube-flannel-ds",))
    assert addon.namespace_labels == {"pod-security.kubernetes.io/enforce": "privileged"}
    assert addon.values == {"podCidr": "${podSubnet}", "flannel": flannel("${nodeNetwork}")}
    assert any("NetworkPolicy" in note for note in addon.notes)
    assert {"bridge", "host-local", "loopback", "portmap"} == set(addon.plugins)
    assert (addon.source.origin, addon.source.trust, addon.images_told_by) == (URL, "first-seen", "helm")
    (chart,) = (blob for blob in lock.blobs if blob.digest == addon.chart)
    assert (chart.media_type, chart.size_bytes) == (mediatypes.HELM_CHART, len(URL))
    assert [(file.component, file.version) for file in lock.files if file.component == "helm"] == [("helm", "3.18.4")]
    images = {str(image.reference): image for image in lock.images if image.purpose == "flannel"}
    assert set(images) == {DAEMON, PLUGIN}
    assert {image.roles for image in images.values()} == {("cp", "worker")}
    assert Lock.from_bytes(lock.to_bytes(), where="lock") == lock


def test_without_a_chart_there_is_no_helm() -> None:
    outside = Outside()
    lock = resolve(replace(REQUEST, cni="none"), BUILT_IN, outside)
    assert (lock.cni, lock.addons) == ("none", ())
    assert not any("helm" in asked for asked in outside.asked)


@pytest.mark.parametrize("asked", ["v0.26.3", "0.26.3"])
def test_a_version_is_taken_as_asked(asked: str) -> None:
    lock = resolve(replace(REQUEST, cni=f"flannel@{asked}"), BUILT_IN, Outside())
    assert (lock.cni, lock.addons[0].version) == ("flannel", "v0.26.3")
    assert "docker.io/flannel/flannel:v0.26.3" in {str(image.reference) for image in lock.images}


def test_unknown_names_and_versions_are_answered_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        resolve(replace(REQUEST, cni="weave"), BUILT_IN, Outside())
    assert caught.value.wanted == "one of none, calico, cilium, flannel"
    with pytest.raises(InputError) as caught:
        resolve(replace(REQUEST, cni="flannel@1"), BUILT_IN, Outside())
    assert (caught.value.wanted or "").startswith("one of v0.28.9, v0.28.8, ")


def test_helm_is_told_what_the_installer_will_tell_it() -> None:
    outside = Outside(text="")
    resolve(replace(REQUEST, version="1.30.4"), BUILT_IN, outside)
    told, again = outside.releases
    assert told == again
    assert (told.name, told.namespace, told.kubernetes) == ("flannel", "kube-flannel", "1.30.4")
    assert told.values == {"podCidr": "10.244.0.0/16", "flannel": flannel("192.0.2.0")}


def test_the_version_of_kubernetes_in_the_values_is_the_real_one(tmp_path: Path) -> None:
    outside = Outside(text="")
    resolve(replace(REQUEST, version="1.29.3"), site(tmp_path, values={"tag": "${kubernetes}"}), outside)
    assert outside.releases[0].values == {"tag": "v1.29.3"}


def test_where_helm_cannot_be_executed_the_catalogue_tells_the_images() -> None:
    outside = Outside(text=None)
    lock = resolve(replace(REQUEST, platforms=(AMD64, ARM64)), BUILT_IN, outside)
    assert lock.addons[0].images_told_by == "catalogue"
    assert {DAEMON, PLUGIN} <= {str(image.reference) for image in lock.images}
    assert [asked.partition(" renders")[0] for asked in outside.asked if "renders" in asked] == [AMD64, ARM64]


def test_an_image_that_a_rendering_does_not_show_is_kept() -> None:
    lock = resolve(REQUEST, BUILT_IN, Outside(text=rendering(DAEMON)))
    assert PLUGIN in {str(image.reference) for image in lock.images}


def test_an_image_that_the_catalogue_does_not_list_stops_the_build() -> None:
    outside = Outside(text=rendering(DAEMON, "quay.io/other/thing:1"))
    with pytest.raises(InputError, match="does not list") as caught:
        resolve(REQUEST, BUILT_IN, outside)
    assert caught.value.got == "quay.io/other/thing:1"
    assert caught.value.where == f"chart flannel v0.28.9, {URL}"
    assert "cni/flannel.yaml, versions.v0.28.9.images" in (caught.value.next_step or "")
    assert not any(asked.startswith("registry.k8s.io") for asked in outside.asked)


def test_a_chart_may_make_its_secrets_anew_but_not_its_images() -> None:
    secret = "---\nkind: Secret\ndata: {password: %s}\n"
    images = rendering(DAEMON, PLUGIN)
    resolve(REQUEST, BUILT_IN, Outside(text=images + secret % "YQ==", again=images + secret % "Yg=="))
    with pytest.raises(InputError, match="other images each time") as caught:
        resolve(REQUEST, BUILT_IN, Outside(text=images, again=rendering(PLUGIN, "quay.io/other/thing:1")))
    assert caught.value.where == "chart flannel v0.28.9, rendered"
    assert caught.value.got == f"{DAEMON}\nquay.io/other/thing:1"


def test_values_of_the_site_are_laid_over_and_switch_on_images() -> None:
    further = "quay.io/other/thing:1"
    own = SiteValues("sites/cluster.yaml", {"flannel": {"flannel": {"backend": "host-gw", "cidr": "${podSubnet}"}}})
    outside = Outside(text=rendering(DAEMON, further))
    lock = resolve(replace(REQUEST, values=own), BUILT_IN, outside)
    assert outside.releases[0].values["flannel"] == flannel("192.0.2.0") | {
        "backend": "host-gw",
        "cidr": "10.244.0.0/16",
    }
    images = {str(image.reference): image.source.catalogue for image in lock.images if image.purpose == "flannel"}
    assert images == {DAEMON: "built-in", PLUGIN: "built-in", further: "cluster.yaml"}
    assert lock.addons[0].values["flannel"] == flannel("${nodeNetwork}"), "the bundle's own are not the site's"
    assert resolve(REQUEST, BUILT_IN, Outside(text=rendering(DAEMON))).addons == lock.addons


def test_facts_of_the_site_are_rendered_with() -> None:
    outside = Outside(text="")
    resolve(replace(REQUEST, values=SiteValues(facts={"podSubnet": "10.9.0.0/16"})), BUILT_IN, outside)
    assert outside.releases[0].values["podCidr"] == "10.9.0.0/16"


def test_a_site_that_says_nothing_of_an_add_on_switches_none_on() -> None:
    outside = Outside(text=rendering(DAEMON, "quay.io/other/thing:1"))
    for site in (SiteValues("cluster.yaml", {"flannel": {}}), SiteValues("cluster.yaml", {}, {"dnsDomain": "a"})):
        with pytest.raises(InputError, match="does not list"):
            resolve(replace(REQUEST, values=site), BUILT_IN, outside)


def test_values_of_an_add_on_that_is_not_carried_are_refused_with_those_that_are() -> None:
    site = SiteValues("cluster.yaml", {"cilium": {"a": 1}})
    with pytest.raises(InputError, match="no such add-on") as caught:
        resolve(replace(REQUEST, values=site), BUILT_IN, Outside())
    assert (caught.value.where, caught.value.wanted) == ("cluster.yaml, addons.cilium", "one of flannel")
    with pytest.raises(InputError, match="no such add-on") as caught:
        resolve(replace(REQUEST, cni="none", values=site), BUILT_IN, Outside())
    assert caught.value.wanted == "no addons: this build carries none"


def test_an_overlay_gives_a_checksum_of_its_own(tmp_path: Path) -> None:
    catalog = site(tmp_path, versions={"v0.28.9": {"sha256": "a" * 64}})
    lock = resolve(REQUEST, catalog, Outside())
    (addon,) = lock.addons
    assert (addon.chart.hex, addon.source.trust, addon.source.catalogue) == ("a" * 64, "user", "site")
    assert addon.source.origin == URL
    assert {image.source.catalogue for image in lock.images} == {"built-in"}


def test_an_overlay_without_a_list_takes_the_images_that_helm_shows(tmp_path: Path) -> None:
    catalog = site(tmp_path, default="v9.0.0", versions={"v9.0.0": {}})
    lock = resolve(REQUEST, catalog, Outside(text=rendering("site.example/ours:1")))
    (image,) = (image for image in lock.images if image.purpose == "flannel")
    assert (str(image.reference), image.source.catalogue) == ("site.example/ours:1", "site")
    with pytest.raises(InputError, match="nobody can tell"):
        resolve(REQUEST, catalog, Outside(text=None))


def test_an_add_on_can_say_that_it_uses_no_image_and_helm_must_agree(tmp_path: Path) -> None:
    catalog = site(tmp_path, default="v9.0.0", versions={"v9.0.0": {"images": []}})
    lock = resolve(REQUEST, catalog, Outside(text=None))
    assert not [image for image in lock.images if image.purpose == "flannel"]
    with pytest.raises(InputError, match="does not list") as caught:
        resolve(REQUEST, catalog, Outside(text=rendering("site.example/ours:1")))
    assert (caught.value.wanted, caught.value.got) == ("none", "site.example/ours:1")


def test_settings_of_an_overlay_are_named_as_its_word(tmp_path: Path) -> None:
    values = {"podCidr": "${podSubnet}", "flannel": {"backend": "host-gw"}}
    (addon,) = resolve(REQUEST, site(tmp_path, values=values), Outside()).addons
    assert (addon.values, addon.source.trust, addon.source.catalogue) == (values, "first-seen", "site")
    assert addon.ready == ("daemonset/kube-flannel-ds",)


def test_an_image_that_kubernetes_needs_too_is_carried_once_for_every_role(tmp_path: Path) -> None:
    catalog = site(tmp_path, versions={"v0.28.9": {"images": [DAEMON, "registry.k8s.io/etcd:3.5.15-0"]}})
    lock = resolve(REQUEST, catalog, Outside())
    (etcd,) = (image for image in lock.images if image.reference.repository == "etcd")
    assert (etcd.purpose, etcd.roles, etcd.source.catalogue) == ("etcd", ("cp", "worker"), "built-in")


def test_a_pod_network_of_ones_own(tmp_path: Path) -> None:
    ours = {
        "schema": 1,
        "name": "ours",
        "kind": "cni",
        "default": "1.0.0",
        "chart": {"name": "ours-chart", "url": "https://site.example/{version}.tgz"},
        "namespace": "kube-system",
        "values": {},
        "ready": ["deployment/ours"],
        "roles": ["worker"],
        "versions": {"1.0.0": {"sha256": "b" * 64, "images": ["site.example/ours:1"]}},
    }
    catalog = overlaid(tmp_path / "site", {"cni/ours.yaml": ours})
    assert catalog.offered("cni") == (*BUILT_IN.offered("cni"), "ours")
    lock = resolve(replace(REQUEST, cni="ours"), catalog, Outside())
    assert (lock.addons[0].source.origin, lock.addons[0].source.trust) == ("https://site.example/1.0.0.tgz", "user")
    assert {image.roles for image in lock.images if image.purpose == "ours"} == {("worker",)}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"nane": "x"}, "nane: unknown field"),
        ({"kind": "network"}, "kind: wanted one of cni, addon"),
        ({"needs": ["Base"]}, "needs[0]: not an add-on: wanted NAME or NAME@VERSION"),
        ({"needs": "base"}, "needs: wanted a list of strings"),
        ({"kubernetes": "1.x"}, "kubernetes: not a version range"),
        ({"host": {"commands": ["a b"]}}, "host.commands[0]: wanted a program's name"),
        ({"host": {"units": ["iscsid"]}}, "host.units[0]: wanted a unit with its suffix"),
        ({"host": {"packages": []}}, "host.packages: unknown field"),
        ({"objects": ""}, "objects: must not be empty"),
        ({"objects": "a: b", "chart": {"name": "x", "url": "https://x/"}}, "objects: a chart is given, too"),
        (
            {"objects": "a: b", "versions": {"v1.0.0": {"sha256": "a" * 64}}},
            "versions.v1.0.0.sha256: the chart is made",
        ),
        ({"retired": "gone", "default": "v0.28.8"}, "default: what is retired has only a name"),
        ({"retired": ""}, "retired: must not be empty"),
        ({"versions": {"v1.0.0": {"chart": {"name": "x"}}}}, "versions.v1.0.0.chart.url: missing"),
        ({"versions": {"v1.0.0": {"needs": [1]}}}, "versions.v1.0.0.needs: wanted a list of strings"),
        ({"chart": {"name": "Flannel", "url": "https://x/"}}, "chart.name: wanted lower-case letters"),
        ({"chart": {"name": "flannel", "url": "ftp://x/{version}"}}, "chart.url: wanted an http(s) URL"),
        ({"chart": {"name": "flannel", "url": "https://x/{arch}"}}, "chart.url: wanted an http(s) URL"),
        ({"values": {"podCidr": "${podCIDR}"}}, "unknown fact ${podCIDR}"),
        ({"ready": ["kube-flannel-ds"]}, "ready[0]: wanted [NAMESPACE/]daemonset/NAME"),
        ({"roles": ["master"]}, "roles: wanted one or both of cp, worker"),
        ({"versions": {"newest": {}}}, "versions.newest: not a semantic version"),
        ({"versions": {"v1.0.0": {"sha256": "12"}}}, "versions.v1.0.0.sha256: not a SHA-256 digest"),
        ({"versions": {"v1.0.0": {"images": ["quay.io/A:1"]}}}, "versions.v1.0.0.images[0]: not an image reference"),
        (
            {"versions": {"v1.0.0": {"images": ["a.b/c:1", "a.b/c:1"]}}},
            "versions.v1.0.0.images: an image is listed twice",
        ),
    ],
)
def test_says_where_an_addon_document_is_wrong(tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        site(tmp_path, **fields).addon("cni", "flannel")
    assert problem in (caught.value.got or "")
    assert caught.value.where == str(tmp_path / "site" / "cni" / "flannel.yaml")


def test_a_version_may_come_from_elsewhere_under_another_name(tmp_path: Path) -> None:
    elsewhere = {"name": "flannel.ng", "url": "https://next.example/{version}/ng.tgz"}
    catalog = site(tmp_path, versions={"v0.28.9": {"chart": elsewhere}})
    (addon,) = resolve(REQUEST, catalog, Outside()).addons
    assert addon.source.origin == "https://next.example/v0.28.9/ng.tgz"
    (chosen,) = chosen_addons("flannel", (), catalog, catalog.release("1.30"))
    assert chosen.chart_name == "flannel.ng"
    (chosen,) = chosen_addons("flannel@v0.28.8", (), catalog, catalog.release("1.30"))
    assert (chosen.chart_name, "github.com" in chosen.version.source.origin) == ("flannel", True)


def test_the_index_says_what_an_add_on_needs_of_others_and_of_its_machines(tmp_path: Path) -> None:
    host = {"commands": ["iscsiadm"], "modules": ["iscsi_tcp"], "units": ["iscsid.service"]}
    ready = ["other/deployment/operator", "crd/things.example.org"]
    ours = {
        "schema": 1,
        "kind": "addon",
        "default": "1.0.0",
        "namespace": "ours",
        "ready": ready,
        "roles": ["worker"],
        "versions": {"1.0.0": {"images": ["quay.io/ours/ours:1"]}},
    }
    chart = {"name": "ours", "url": "https://site.example/{version}.tgz"}
    catalog = overlaid(
        tmp_path / "site",
        {
            "addons/ours.yaml": ours | {"name": "ours", "chart": chart, "host": host, "needs": ["base@1.0.0"]},
            "addons/base.yaml": ours | {"name": "base", "objects": "kind: ConfigMap\n", "roles": ["cp", "worker"]},
        },
    )
    lock = resolve(replace(REQUEST, addons=("ours",)), catalog, Outside())
    network, base, addon = lock.addons
    assert [item.name for item in lock.addons] == ["flannel", "base", "ours"]
    assert (addon.needs, addon.ready, addon.roles) == (("base",), tuple(ready), ("worker",))
    assert addon.host.to_dict() == host
    assert (base.source.origin, base.source.trust, base.source.catalogue) == ("addons/base.yaml", "user", "site")
    assert not {"needs", "host", "roles"} & (network.to_dict().keys() | base.to_dict().keys())
    assert Lock.from_bytes(lock.to_bytes(), where="lock") == lock


def test_objects_hold_for_every_version_and_are_the_word_of_who_gives_them(tmp_path: Path) -> None:
    catalog = site(tmp_path, objects="kind: ConfigMap\n")
    versions = catalog.addon("cni", "flannel").versions.values()
    assert {(item.source.origin, item.source.trust, item.digest) for item in versions} == {
        ("cni/flannel.yaml", "user", None)
    }
    again = {"cni/flannel.yaml": document(chart={"name": "x", "url": "https://x.example/"})}
    above = overlaid(tmp_path / "above", again).folders[1]
    with pytest.raises(InputError) as caught:
        Catalog((*catalog.folders, above)).addon("cni", "flannel")
    assert "chart: the catalogue below has objects" in (caught.value.got or "")


def test_an_addon_document_under_another_name_is_refused(tmp_path: Path) -> None:
    for fields in ({"name": "flanel"}, {"kind": "addon"}):
        with pytest.raises(InputError, match="another add-on than its name says"):
            site(tmp_path, **fields).addon("cni", "flannel")


def test_a_moved_chart_keeps_its_checksum(tmp_path: Path) -> None:
    one = {"cni/flannel.yaml": document(versions={"v0.28.9": {"sha256": "a" * 64}})}
    moved = {"name": "flannel", "url": "https://site.example/flannel-{version}.tgz"}
    two = {"cni/flannel.yaml": document(chart=moved, versions={"v0.28.9": {}})}
    folders = [overlaid(tmp_path / name, documents).folders[1] for name, documents in (("one", one), ("two", two))]
    version = Catalog((BUILT_IN.folders[0], *folders)).addon("cni", "flannel").versions["v0.28.9"]
    assert version.digest is not None
    assert (version.source.origin, version.source.trust, version.source.catalogue) == (
        "https://site.example/flannel-v0.28.9.tgz",
        "user",
        "two",
    )
    assert version.images == BUILT_IN.addon("cni", "flannel").versions["v0.28.9"].images


def test_a_kubernetes_without_a_helm_carries_no_chart(tmp_path: Path) -> None:
    place = {"mode": "0755", "target": "/usr/local/bin/x"}
    binary = {"url": "https://site.example/{version}/{arch}", "roles": ["cp"], "placement": place}
    names = ("kubeadm", "kubectl", "kubelet")
    images = {"coredns": "v1", "etcd": "4", "pause": "5"}
    minor = {
        "schema": 1,
        "minor": "1.99",
        "kubeadm_api": "v1beta4",
        "binaries": dict.fromkeys(names, binary),
        "releases": {
            "1.99.0": {"images": images, "sha256": {name: sums(c) for name, c in zip(names, "abc", strict=True)}}
        },
    }
    outside = Outside()
    with pytest.raises(InputError, match="chooses no helm"):
        resolve(
            replace(REQUEST, version="1.99"), overlaid(tmp_path / "site", {"kubernetes/v1.99.yaml": minor}), outside
        )
    assert outside.asked == []


def test_every_built_in_version_lists_its_images() -> None:
    for name in BUILT_IN.offered("cni"):
        for version in BUILT_IN.addon("cni", name).versions.values():
            assert version.images, f"{name} {version.version}"

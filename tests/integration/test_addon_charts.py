"""The catalogue's add-ons held against charts that the real helm renders: ones of our own in the shapes of upstream's,
and upstream's own where a folder of them is given.

``AIRGAP_BUNDLE_CHARTS=FOLDER`` names that folder; a chart is there as ``helm package`` names it, ``NAME-VERSION.tgz``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundler.catalog import Catalog
from bundler.catalog_types import Addon
from bundler.charts import images_in
from installer.bundle.values import SAMPLE
from tests.fakes import network_charts
from tests.fakes.network_charts import DIGEST
from tests.integration.rendering import rendered

CATALOG = Catalog.load()
CHARTS = Path(os.environ.get("AIRGAP_BUNDLE_CHARTS", "/nonexistent"))


def given() -> list[tuple[str, str]]:
    """Each add-on and version whose chart the folder has."""
    addons = [CATALOG.network(name) for name in CATALOG.networks()]
    versions = ((addon, version) for addon in addons for version in addon.versions)
    return [(addon.name, version) for addon, version in versions if chart_path(addon, version).is_file()]


def chart_path(addon: Addon, version: str) -> Path:
    return CHARTS / f"{addon.chart}-{version}.tgz"


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The rendered objects by kind and name."""
    found = (item for item in yaml.safe_load_all(text) if item)
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


def render(name: str, data: bytes, folder: Path, **more: Any) -> str:
    addon = CATALOG.network(name)
    chart = folder / "chart.tgz"
    chart.write_bytes(data)
    return rendered(chart, addon.name, addon.namespace, addon.values, **more)


@pytest.mark.skipif(not given(), reason="AIRGAP_BUNDLE_CHARTS names no folder with charts of the catalogue")
@pytest.mark.parametrize(("name", "version"), given())
def test_an_upstream_chart_names_no_image_that_the_catalogue_lacks(name: str, version: str, tmp_path: Path) -> None:
    addon = CATALOG.network(name)
    text = render(name, chart_path(addon, version).read_bytes(), tmp_path)
    assert set(images_in(text, where=name)) <= set(addon.versions[version].images)
    assert {tuple(ready.split("/")) for ready in addon.ready} <= {(kind.lower(), name) for kind, name in objects(text)}


def test_cilium_s_images_are_named_by_tag_and_digest(tmp_path: Path) -> None:
    text = render("cilium", network_charts.cilium(), tmp_path)
    assert [str(image) for image in images_in(text, where="here")] == [
        f"quay.io/cilium/cilium-envoy:v1.36.9-1782267392-edeb@{DIGEST}",
        f"quay.io/cilium/cilium:v9.9.9@{DIGEST}",
        f"quay.io/cilium/operator-generic:v9.9.9@{DIGEST}",
    ]


def test_cilium_s_pods_get_addresses_of_the_pod_network_through_a_tunnel(tmp_path: Path) -> None:
    found = objects(render("cilium", network_charts.cilium(), tmp_path))
    assert found["ConfigMap", "cilium-config"]["data"] == {
        "routing-mode": "tunnel",
        "tunnel-protocol": "vxlan",
        "ipam": "cluster-pool",
        "cluster-pool-ipv4-cidr": SAMPLE["podSubnet"],
        "kube-proxy-replacement": "false",
    }
    agent = found["DaemonSet", "cilium"]["spec"]["template"]["spec"]["containers"][0]
    assert {item["name"]: item["value"] for item in agent["env"]} == {
        "KUBERNETES_SERVICE_HOST": SAMPLE["apiHost"],
        "KUBERNETES_SERVICE_PORT": SAMPLE["apiPort"],
    }
    assert found["Deployment", "cilium-operator"]["spec"]["replicas"] == 1


def test_cilium_takes_the_work_of_a_kube_proxy_that_is_not_there(tmp_path: Path) -> None:
    text = render("cilium", network_charts.cilium(), tmp_path, facts={"kubeProxyReplacement": "true"})
    assert objects(text)["ConfigMap", "cilium-config"]["data"]["kube-proxy-replacement"] == "true"


def test_what_cilium_renders_to_is_the_same_each_time_unless_hubble_is_on(tmp_path: Path) -> None:
    data = network_charts.cilium()
    assert render("cilium", data, tmp_path) == render("cilium", data, tmp_path)
    hubble = {"hubble": {"enabled": True}}
    assert render("cilium", data, tmp_path, own=hubble) != render("cilium", data, tmp_path, own=hubble)

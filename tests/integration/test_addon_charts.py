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

from bundler.addon_types import FOLDERS, Addon
from bundler.catalog import Catalog
from installer.bundle.digest import Digest
from installer.bundle.reference import Reference
from installer.bundle.rendered import images_in
from installer.bundle.values import SAMPLE
from tests.fakes import addon_charts
from tests.integration.rendering import rendered
from tests.lab.profiles import cilium

CATALOG = Catalog.load()
ADDONS = {name: CATALOG.addon(kind, name) for kind in FOLDERS for name in CATALOG.offered(kind)}
CHARTS = Path(os.environ.get("AIRGAP_BUNDLE_CHARTS", "/nonexistent"))


def chart_path(addon: Addon, version: str) -> Path:
    """Where the folder would have the chart."""
    chart = addon.versions[version].chart or addon.chart
    return CHARTS / f"{chart.name if chart else addon.name}-{version}.tgz"


GIVEN = [
    (name, version)
    for name, addon in ADDONS.items()
    for version in addon.versions
    if chart_path(addon, version).is_file()
]

DIGEST = "sha256:" + "5e" * 32
CILIUM = cilium.packed_chart(
    "9.9.9",
    {
        name: Reference("quay.io", f"cilium/{name}", "v9.9.9", Digest(DIGEST))
        for name in ("cilium", "operator-generic", "cilium-envoy")
    },
)
"""The lab's own, which puts images together as Cilium's does."""


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The rendered objects by kind and name."""
    found = (item for item in yaml.safe_load_all(text) if item)
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


def render(name: str, data: bytes, folder: Path, **more: Any) -> str:
    """The chart ``data`` with the values of the add-on ``name``."""
    addon = ADDONS[name]
    chart = folder / "chart.tgz"
    chart.write_bytes(data)
    return rendered(chart, addon.name, addon.namespace, addon.values, **more)


def render_objects(name: str, folder: Path, **more: Any) -> str:
    """The catalogue's own template of ``name``, at the default version."""
    addon = ADDONS[name]
    assert addon.objects is not None
    return render(name, addon_charts.of_objects(name, addon.default, addon.objects.text), folder, **more)


def images(text: str) -> list[str]:
    return [str(image) for image in images_in(text, where="here")]


@pytest.mark.skipif(not GIVEN, reason="AIRGAP_BUNDLE_CHARTS names no folder with charts of the catalogue")
@pytest.mark.parametrize(("name", "version"), GIVEN)
def test_an_upstream_chart_names_no_image_that_the_catalogue_lacks(name: str, version: str, tmp_path: Path) -> None:
    addon = ADDONS[name]
    text = render(name, chart_path(addon, version).read_bytes(), tmp_path)
    assert set(images(text)) <= set(map(str, addon.versions[version].images or ()))
    shown = {f"{kind.lower()}/{name}" for kind, name in objects(text)}
    assert {ready for ready in addon.ready if ready.count("/") == 1 and not ready.startswith("crd/")} <= shown


def test_cilium_s_images_are_named_by_tag_and_digest(tmp_path: Path) -> None:
    assert images(render("cilium", CILIUM, tmp_path)) == [
        f"quay.io/cilium/cilium-envoy:v9.9.9@{DIGEST}",
        f"quay.io/cilium/cilium:v9.9.9@{DIGEST}",
        f"quay.io/cilium/operator-generic:v9.9.9@{DIGEST}",
    ]


def test_cilium_s_pods_get_addresses_of_the_pod_network_through_a_tunnel(tmp_path: Path) -> None:
    found = objects(render("cilium", CILIUM, tmp_path))
    wanted = {
        "routing-mode": "tunnel",
        "tunnel-protocol": "vxlan",
        "ipam": "cluster-pool",
        "cluster-pool-ipv4-cidr": SAMPLE["podSubnet"],
        "kube-proxy-replacement": "false",
        "enable-hubble": "false",
    }
    assert wanted.items() <= found["ConfigMap", "cilium-config"]["data"].items()
    agent = found["DaemonSet", "cilium"]["spec"]["template"]["spec"]["containers"][0]
    told = {item["name"]: item.get("value") for item in agent["env"]}
    assert told["KUBERNETES_SERVICE_HOST"] == SAMPLE["apiHost"]
    assert told["KUBERNETES_SERVICE_PORT"] == SAMPLE["apiPort"]
    assert found["Deployment", "cilium-operator"]["spec"]["replicas"] == 1


def test_cilium_takes_the_work_of_a_kube_proxy_that_is_not_there(tmp_path: Path) -> None:
    text = render("cilium", CILIUM, tmp_path, facts={"kubeProxyReplacement": "true"})
    assert objects(text)["ConfigMap", "cilium-config"]["data"]["kube-proxy-replacement"] == "true"


def test_trap_17_calico_s_operator_is_told_to_tunnel_every_packet_of_a_pod(tmp_path: Path) -> None:
    text = render("calico", addon_charts.calico(), tmp_path)
    found = objects(text)
    spec = found["Installation", "default"]["spec"]
    (pool,) = spec["calicoNetwork"]["ipPools"]
    assert (pool["cidr"], pool["encapsulation"]) == (SAMPLE["podSubnet"], "VXLAN")
    assert spec["calicoNetwork"]["bgp"] == "Disabled"
    assert "CrossSubnet" not in text
    assert (spec["registry"], spec["kubeletVolumePluginPath"]) == ("quay.io/", "None")
    assert not {kind for kind, _ in found} & {"Goldmane", "Whisker", "ConfigMap"}


def test_calico_s_chart_shows_its_operator_only_and_a_definition_s_text_is_no_image(tmp_path: Path) -> None:
    text = render("calico", addon_charts.calico(), tmp_path)
    assert "imagesets.operator.tigera.io" in text
    assert images(text) == ["quay.io/tigera/operator:v9.9.9"]


def test_a_chart_within_a_chart_counts_where_it_is_on(tmp_path: Path) -> None:
    text = render("argo-cd", addon_charts.argo_cd(), tmp_path)
    assert images(text) == ["example.org/hook:1", "quay.io/argoproj/argocd:v9.9.9"]
    assert ("Deployment", "argocd-server") in objects(text)
    on = render("argo-cd", addon_charts.argo_cd(), tmp_path, own={"redis-ha": {"enabled": True}})
    assert "ecr-public.aws.com/docker/library/redis:8.2.3-alpine" in images(on)


def test_longhorn_asks_no_server_and_tells_its_manager_which_images_to_start(tmp_path: Path) -> None:
    text = render("longhorn", addon_charts.longhorn(), tmp_path)
    settings = yaml.safe_load(objects(text)["ConfigMap", "longhorn-default-setting"]["data"]["default-setting.yaml"])
    assert settings == {"upgrade-checker": False, "allow-collecting-longhorn-usage-metrics": False}
    assert images(text) == [
        "docker.io/longhornio/longhorn-engine:v9.9.9",
        "docker.io/longhornio/longhorn-manager:v9.9.9",
    ]
    assert not any(kind == "Job" for kind, _ in objects(text))


def test_trap_24_metrics_server_believes_only_the_cluster_s_ca(tmp_path: Path) -> None:
    data = addon_charts.metrics_server()
    text = render("metrics-server", data, tmp_path)
    (container,) = objects(text)["Deployment", "metrics-server"]["spec"]["template"]["spec"]["containers"]
    assert "--kubelet-insecure-tls" not in container["args"]
    assert "--kubelet-preferred-address-types=InternalIP" in container["args"]


def test_what_a_chart_makes_anew_each_time_is_no_image(tmp_path: Path) -> None:
    data, own = addon_charts.metrics_server(), {"tls": {"type": "helm"}}
    texts = [render("metrics-server", data, tmp_path, own=own) for _ in range(2)]
    assert texts[0] != texts[1]
    assert images(texts[0]) == images(texts[1]) == ["registry.k8s.io/metrics-server/metrics-server:v9.9.9"]
    assert render("metrics-server", data, tmp_path) == render("metrics-server", data, tmp_path)


@pytest.mark.parametrize(
    ("mode", "bound"),
    [
        ("iptables", ["169.254.20.10", "10.96.0.10"]),
        ("ipvs", ["169.254.20.10"]),
        ("nftables", ["169.254.20.10"]),
        ("none", ["169.254.20.10"]),
    ],
)
def test_trap_20_a_node_s_dns_cache_asks_coredns_and_never_an_address_of_its_own(
    mode: str, bound: list[str], tmp_path: Path
) -> None:
    found = objects(render_objects("node-local-dns", tmp_path, facts={"proxyMode": mode}))
    lines = [line.split() for line in found["ConfigMap", "node-local-dns"]["data"]["Corefile"].splitlines()]
    assert [line[1:] for line in lines if line[0] == "bind"] == [bound]
    # The program puts the address of the Service it is given here in place of the word.
    assert [line[1:] for line in lines if line[0] == "forward"] == [[".", "__PILLAR__CLUSTER__DNS__", "{"]]
    (container,) = found["DaemonSet", "node-local-dns"]["spec"]["template"]["spec"]["containers"]
    assert "-upstreamsvc=kube-dns-upstream" in container["args"]
    assert f"-localip={','.join(bound)}" in container["args"]
    upstream = found["Service", "kube-dns-upstream"]["spec"]
    assert upstream["selector"] == {"k8s-app": "kube-dns"}
    assert "clusterIP" not in upstream


def test_trap_21_how_long_a_node_s_dns_cache_keeps_what_is_settable(tmp_path: Path) -> None:
    own = {"cache": {"denial": {"seconds": 2}, "success": {"seconds": 60}}}
    before, after = render_objects("node-local-dns", tmp_path), render_objects("node-local-dns", tmp_path, own=own)
    assert "success 9984 30\n" in before
    assert "denial 9984 5\n" in before
    assert "prefetch 100 60s 15%\n" in before
    assert "success 9984 60\n" in after
    assert "denial 9984 2\n" in after


def test_a_node_s_dns_cache_can_have_an_ipv6_address(tmp_path: Path) -> None:
    found = objects(render_objects("node-local-dns", tmp_path, facts={"nodeLocalDNS": "fd00:20::10"}))
    assert "health [fd00:20::10]:8080" in found["ConfigMap", "node-local-dns"]["data"]["Corefile"]


def test_the_pod_that_makes_a_local_volume_has_an_image_with_a_tag_that_is_carried(tmp_path: Path) -> None:
    text = render_objects("local-path-provisioner", tmp_path)
    helper = yaml.safe_load(objects(text)["ConfigMap", "local-path-config"]["data"]["helperPod.yaml"])
    (container,) = helper["spec"]["containers"]
    addon = ADDONS["local-path-provisioner"]
    listed = set(map(str, addon.versions[addon.default].images or ()))
    assert {*images(text), container["image"]} == listed
    assert container["imagePullPolicy"] == "IfNotPresent"

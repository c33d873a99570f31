"""The nodes of a cluster and its endpoint in ``cluster.yaml``; what a joining node takes from ``join.yaml``."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from installer.agreement import joining_config, settled, shared_document
from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint, ClusterNode, endpoint_of
from installer.errors import InputError
from installer.join import JoinFile
from installer.settings import Endpoint
from tests.unit.test_cluster_config import JOIN, config, problems

NODES = """
nodes:
  - {name: cp-1, address: 10.0.24.31, role: cp}
  - {name: cp-2, address: 10.0.24.29, role: cp}
  - {name: cp-3, address: 10.0.24.32, role: cp}
  - {name: w-1, address: 10.0.24.28, role: worker}
"""
ONE = "nodes: [{name: cp-1, address: 10.0.24.31, role: cp}]\n"


def through_a_join_file(text: str) -> ClusterConfig:
    """What a joining node reads of a first control plane that was given ``text``."""
    cluster = settled(config(text), address="10.0.24.31", proxy_mode="iptables")
    return JoinFile.from_text(replace(JOIN, cluster=cluster).to_text(), where="join.yaml").cluster


@pytest.mark.parametrize(
    ("text", "mode", "endpoint"),
    [
        ("", "direct", "10.0.24.31:6443"),
        (ONE, "direct", "10.0.24.31:6443"),
        (ONE + "endpoint: {mode: local}", "local", "k8s-api:16443"),
        (NODES, "local", "k8s-api:16443"),
        (NODES + "endpoint: {port: 17443}", "local", "k8s-api:17443"),
        (NODES + "endpoint: {mode: external, address: 'lb.site:8443'}", "external", "lb.site:8443"),
        (NODES + "endpoint: {mode: kube-vip, address: 10.0.24.100}", "kube-vip", "10.0.24.100:6443"),
    ],
)
def test_the_endpoint_follows_the_control_planes_and_survives_the_join_file(
    text: str, mode: str, endpoint: str
) -> None:
    joined = through_a_join_file(text)
    assert config(text).endpoint_mode == joined.endpoint_mode == joined.endpoint.mode == mode
    assert str(endpoint_of(joined.endpoint)) == endpoint
    assert joined.nodes == config(text).nodes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            NODES + "  - {name: cp-1, address: 10.0.24.33, role: worker}",
            "nodes[4].name: cp-1 is twice: nodes[0] is cp-1 10.0.24.31 cp, this is cp-1 10.0.24.33 worker",
        ),
        (NODES + "  - {name: w-2, address: 10.0.24.28, role: worker}", "nodes[4].address: 10.0.24.28 is twice"),
        ("nodes: [{name: w, address: 10.0.0.1, role: worker}]", "nodes: wanted at least one with role cp"),
        ("nodes: [{name: CP, address: 10.0.0.300, role: master}]", "nodes[0].address: not an address"),
        ("nodes: [{address: 10.0.0.1, role: cp}]", "nodes[0].name: missing"),
        ("nodes: [{name: cp-1, address: 10.244.0.1, role: cp}]", "10.244.0.1 (cp-1) is inside podSubnet"),
        ("endpoint: {mode: local}", "nodes: missing, wanted for local"),
        ("endpoint: {mode: external}", "endpoint.address: missing, wanted for external"),
        (NODES + "endpoint: {address: 'lb.site'}", "endpoint.address: a local endpoint has none"),
        (NODES + "endpoint: {mode: direct}", "endpoint.mode: direct is for one control plane; nodes names 3"),
        (NODES + "endpoint: {interface: eth0}", "endpoint.interface: is for kube-vip; the mode is local"),
        (NODES + "endpoint: {unproven: true}", "endpoint.unproven: is for kube-vip; the mode is local"),
        (NODES + "endpoint: {mode: kube-vip, address: vip.site}", "wanted an address for kube-vip"),
        (NODES + "endpoint: {mode: kube-vip, address: '10.0.24.9:443'}", "the API's own port, 6443, got 443"),
        (NODES + "endpoint: {mode: kube-vip, address: 10.0.24.29}", "10.0.24.29 is cp-2's (nodes)"),
    ],
)
def test_nodes_and_endpoints_that_cannot_be_meant(text: str, said: str) -> None:
    assert said in problems(text)


def test_a_joining_node_needs_no_cluster_yaml() -> None:
    text = NODES + "podSubnet: 10.32.0.0/16\ntimeouts: {kubeletSeconds: 900}\nnodeName: cp-1\ntaints: []\n"
    found, kept = joining_config(through_a_join_file(text), None, where=None)
    assert (found.pod_subnet, found.timeouts.kubelet_seconds, len(found.nodes)) == ("10.32.0.0/16", 900, 4)
    assert (found.node_name, found.taints) == (None, None), "what is one node's own does not travel"
    assert ClusterConfig.from_text(kept, where="kept") == found
    assert joining_config(through_a_join_file(text), kept, where=None)[1] == kept, "a second run keeps the same text"


def test_settings_of_a_joining_node_s_own_stand_beside_the_cluster_s() -> None:
    own = "nodeName: w-9\ncontainerd: {root: /data}\nkubeProxy: {mode: auto}\nendpoint: {mode: local}\n"
    found, _kept = joining_config(through_a_join_file(NODES), own, where="cluster.yaml")
    assert (found.node_name, found.containerd_root, found.kube_proxy_mode) == ("w-9", "/data", "iptables")
    assert found.endpoint == ApiEndpoint("local")


def test_going_on_unproven_travels_and_is_a_node_s_own_to_decide() -> None:
    moving, unproven, proven = (
        NODES + f"endpoint: {{mode: kube-vip, address: 10.0.24.100{more}}}"
        for more in ("", ", unproven: true", ", unproven: false")
    )
    assert through_a_join_file(unproven).endpoint.unproven
    found, kept = joining_config(through_a_join_file(moving), unproven, where="cluster.yaml")
    assert found.endpoint.unproven
    assert joining_config(through_a_join_file(moving), kept, where=None)[0].endpoint.unproven
    assert not joining_config(through_a_join_file(unproven), proven, where="cluster.yaml")[0].endpoint.unproven


def test_the_same_cluster_yaml_on_every_node_agrees() -> None:
    for text in (NODES, ONE, NODES + "endpoint: {mode: kube-vip, address: 10.0.24.100, interface: eth0}"):
        joining_config(through_a_join_file(text), text, where="cluster.yaml")


@pytest.mark.parametrize(
    ("own", "wanted", "got"),
    [
        ("podSubnet: 10.32.0.0/16", "podSubnet: 10.244.0.0/16 (join file)", "podSubnet: 10.32.0.0/16 (cluster.yaml)"),
        ("endpoint: {mode: local, port: 17443}", '"port": 16443', '"port": 17443'),
        (
            ONE + "endpoint: {mode: local}",
            '"name": "cp-2"',
            '[{"name": "cp-1", "address": "10.0.24.31", "role": "cp"}]',
        ),
        ("kubeProxy: {mode: ipvs}", '"mode": "iptables"', '"mode": "ipvs"'),
        ("certSANs: [api.site]", "certSANs: []", 'certSANs: ["api.site"]'),
    ],
)
def test_a_cluster_yaml_that_contradicts_the_join_file_is_refused_with_both_facts(
    own: str, wanted: str, got: str
) -> None:
    with pytest.raises(InputError, match="contradict") as caught:
        joining_config(through_a_join_file(NODES), own, where="cluster.yaml")
    assert wanted in str(caught.value.wanted)
    assert got in str(caught.value.got)


def test_a_newer_join_file_wins_over_what_was_kept() -> None:
    _, kept = joining_config(through_a_join_file(NODES), "containerd: {root: /data}", where="cluster.yaml")
    more = NODES + "  - {name: cp-4, address: 10.0.24.40, role: cp}\n"
    found, _ = joining_config(through_a_join_file(more), kept, where=None)
    assert (len(found.nodes), found.containerd_root) == (5, "/data")


def test_a_join_file_whose_cluster_leaves_something_open_is_refused() -> None:
    whole = yaml.safe_load(JOIN.to_text())
    for endpoint in ({}, {"mode": "direct"}):
        text = yaml.safe_dump(whole | {"cluster": whole["cluster"] | {"endpoint": endpoint}})
        with pytest.raises(InputError, match="join file cannot be used") as caught:
            JoinFile.from_text(text, where="join.yaml")
        assert "cluster.endpoint" in str(caught.value.got)


def test_a_document_holds_every_agreed_field() -> None:
    written = shared_document(settled(config(""), address="10.0.0.1", proxy_mode="ipvs"))
    assert written["endpoint"] == {"mode": "direct", "address": "10.0.0.1:6443"}
    assert (written["nodes"], written["kubeProxy"]) == ([], {"mode": "ipvs"})


def test_a_node_says_what_it_is() -> None:
    assert str(ClusterNode("cp-1", "10.0.24.31", "cp")) == "cp-1 10.0.24.31 cp"
    with pytest.raises(ValueError, match="not settled"):
        endpoint_of(ApiEndpoint("external"))
    assert endpoint_of(ApiEndpoint("external", Endpoint("lb"))) == Endpoint("lb")


def test_a_joining_node_has_the_cluster_s_dns_and_may_not_have_another() -> None:
    shared = through_a_join_file("dns: {upstreams: [10.0.24.2], nodeLocal: {address: 169.254.25.10}}")
    joined, _ = joining_config(shared, "dns: {upstreams: [10.0.24.2]}", where="cluster.yaml")
    assert (joined.dns.upstreams, joined.dns.node_local_address) == (("10.0.24.2",), "169.254.25.10")
    with pytest.raises(InputError, match="contradict") as caught:
        joining_config(shared, "dns: {nodeLocal: {address: 169.254.20.10}}", where="cluster.yaml")
    assert caught.value.where == "cluster.yaml: dns"

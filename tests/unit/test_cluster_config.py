"""``cluster.yaml`` and ``join.yaml``: what is taken, and how what is wrong is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint
from installer.errors import InputError
from installer.join import JoinFile, format_time, parse_time
from installer.registries import Registry, RegistryHost
from installer.settings import Endpoint, Taint, is_host, is_node_name
from installer.yamltext import load_yaml

FULL = """
clusterName: plant-7
nodeName: cp-1
endpoint: {mode: external, address: k8s.plant.example:8443}
podSubnet: 10.32.0.0/16
serviceSubnet: 172.20.0.0/20
dnsDomain: plant.local
certSANs: [k8s.plant.example, 10.0.0.5, "*.plant.example"]
kubeProxy: {mode: ipvs}
timeouts: {controlPlaneSeconds: 900, kubeletSeconds: 600, discoverySeconds: 700, addonSeconds: 800}
extraArgs:
  etcd: {heartbeat-interval: "500"}
  kubelet: {max-pods: ["200", "201"]}
kubelet: {imageGCHighThresholdPercent: 90, failCgroupV1: false, systemReserved: {memory: 1Gi}}
patches: {etcd: {spec: {priority: 1}}}
containerd:
  root: /data/containerd
  snapshotter: native
  registries:
    registry.plant.example:5000:
      server: https://registry.plant.example:5000
      hosts:
        - {url: "https://mirror.plant.example", capabilities: [pull], ca: /etc/ssl/plant.pem}
        - {url: "http://10.0.0.9:5000/v2/site", overridePath: true}
    _default: {hosts: [{url: "https://10.0.0.8", skipVerify: true}]}
taints: []
tokenTTLSeconds: 7200
"""


def config(text: str) -> ClusterConfig:
    return ClusterConfig.from_text(text, where="cluster.yaml")


def problems(text: str) -> str:
    with pytest.raises(InputError) as caught:
        config(text)
    return str(caught.value.got)


@pytest.mark.parametrize("text", ["", "{}", "# only a comment\n", "---\n"])
def test_nothing_is_all_defaults(text: str) -> None:
    assert config(text) == ClusterConfig()


def test_every_field_is_read() -> None:
    read = config(FULL)
    assert (read.cluster_name, read.node_name, read.dns_domain) == ("plant-7", "cp-1", "plant.local")
    assert read.endpoint == ApiEndpoint("external", Endpoint("k8s.plant.example", 8443))
    assert (read.pod_subnet, read.service_subnet) == ("10.32.0.0/16", "172.20.0.0/20")
    assert read.cert_sans == ("k8s.plant.example", "10.0.0.5", "*.plant.example")
    assert (read.kube_proxy_mode, read.containerd_root) == ("ipvs", "/data/containerd")
    assert (read.containerd_snapshotter, read.named_files) == ("native", ("/etc/ssl/plant.pem",))
    assert read.registries == (
        Registry("_default", (RegistryHost("https://10.0.0.8", skip_verify=True),)),
        Registry(
            "registry.plant.example:5000",
            (
                RegistryHost("https://mirror.plant.example", ("pull",), "/etc/ssl/plant.pem"),
                RegistryHost("http://10.0.0.9:5000/v2/site", override_path=True),
            ),
            "https://registry.plant.example:5000",
        ),
    )
    assert (read.timeouts.control_plane_seconds, read.timeouts.etcd_call_seconds) == (900, 120)
    assert read.timeouts.addon_seconds == 800
    assert (read.extra_args.etcd, read.extra_args.kubelet) == (
        {"heartbeat-interval": ("500",)},
        {"max-pods": ("200", "201")},
    )
    assert (read.taints, read.token_ttl_seconds) == ((), 7200)
    assert (read.kubelet.image_gc_high_percent, read.kubelet.image_gc_low_percent) == (90, 80)
    assert (read.kubelet.fail_cgroup_v1, read.kubelet.system_reserved) == (False, {"memory": "1Gi"})
    assert read.patches == {"etcd": {"spec": {"priority": 1}}}


def test_every_problem_of_a_registry_is_named() -> None:
    got = problems(
        "containerd:\n  registries:\n    https://r.example: {hosts: []}\n    r.example:\n      server: r.example\n"
        "      hosts:\n        - {url: 'https://u:p@m', capabilities: [fly], ca: a.pem, skipVerify: true, tls: no}\n"
    )
    place = "containerd.registries"
    for start in (
        f"{place}.https://r.example: wanted a registry's host",
        f"{place}.https://r.example.hosts: wanted at least one host",
        f"{place}.r.example.server: wanted an address such as",
        f"{place}.r.example.hosts[0].url: wanted an address such as",
        f"{place}.r.example.hosts[0].capabilities: wanted some of pull, resolve, push",
        f"{place}.r.example.hosts[0].ca: wanted an absolute path",
        f"{place}.r.example.hosts[0].skipVerify: with a ca",
        f"{place}.r.example.hosts[0].tls: unknown field",
    ):
        assert start in got


def test_taints_that_are_absent_are_kubeadms_own_and_given_ones_are_read() -> None:
    assert config("").taints is None
    assert config("taints: [{key: gpu, effect: NoSchedule}]").taints == (Taint("gpu", "NoSchedule"),)


def test_every_problem_is_named_with_its_path_at_once() -> None:
    got = problems(
        "podSubnet: 10.244.0.1/16\nserviceSubnet: here\nkubeProxy: {mode: fast}\nnodename: x\n"
        "timeouts: {controlPlaneSeconds: 0, kubelet: 3}\nextraArgs: {etcd: {--quota: '1'}}\n"
        "containerd: {root: ../data}\ncertSANs: ['a b']\ntaints: [{key: x, effect: Never}]\nnodeName: CP_1\n"
    )
    for start in (
        "podSubnet: wanted a network",
        "serviceSubnet: wanted a network",
        "kubeProxy.mode: wanted one of auto, iptables, ipvs, nftables, none, got 'fast'",
        "nodename: unknown field",
        "timeouts.controlPlaneSeconds: wanted 1 to 86400, got 0",
        "timeouts.kubelet: unknown field",
        "extraArgs.etcd.--quota: wanted a flag's name without the leading dashes",
        "containerd.root: wanted an absolute path",
        "certSANs[0]: wanted a DNS name or an address",
        "taints[0].effect: wanted one of NoSchedule, PreferNoSchedule, NoExecute",
        "nodeName: wanted lower-case letters",
    ):
        assert any(line.startswith(start) for line in got.splitlines()), (start, got)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("podSubnet: 10.96.0.0/16", "serviceSubnet: overlaps podSubnet"),
        ("serviceSubnet: 10.1.2.0/29", "serviceSubnet: wanted at least 16 addresses"),
        ("extraArgs: {kubelet: {max-pods: 200}}", "wanted a string, got 200"),
        ("extraArgs: {kubelet: {max-pods: [200]}}", "wanted a string, got [200]"),
        ("extraArgs: {kubelet: {max-pods: []}}", "wanted a string, got []"),
        ("extraArgs: {kubelet: {pod-infra-container-image: x}}", "the bundle says which pause image"),
        ("extraArgs: {kubelet: {container-runtime: remote}}", "refused by every kubelet from 1.28 on"),
        ("kubelet: {systemReserved: {memory: lots}}", "kubelet.systemReserved.memory: wanted a quantity"),
        ("kubelet: {kubeReserved: {gpu: '1'}}", "kubelet.kubeReserved.gpu: wanted one of cpu, memory"),
        ("kubelet: {imageGCHighThresholdPercent: 70}", "wanted less than imageGCHighThresholdPercent (70), got 80"),
        ("kubelet: {failCgroupV1: 'no'}", "kubelet.failCgroupV1: wanted true or false"),
        ("patches: {kube-proxy: {a: 1}}", "patches.kube-proxy: wanted one of corednsdeployment, etcd"),
        ("patches: {etcd: [a]}", "patches.etcd: wanted a mapping"),
        ("patches: {etcd: {}}", "patches.etcd: wanted a mapping"),
        ("endpoint: {mode: external, address: 'https://x:6443'}", "not an endpoint"),
        ("- a\n- b", "wanted a mapping, got a list"),
        ("clusterName: ''", "clusterName: must not be empty"),
    ],
)
def test_what_cannot_work_is_refused(text: str, said: str) -> None:
    assert said in problems(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x 1\nb: *x", "aliases"),
        ("podSubnet: 10.1.0.0/16\npodSubnet: 10.2.0.0/16", "'podSubnet' is there twice"),
        ("a: [", "expected"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
    ],
)
def test_yaml_that_is_not_plain_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match="not YAML") as caught:
        config(text)
    assert said in str(caught.value.got)
    assert "cluster.yaml, line" in str(caught.value.where)


def test_a_bomb_of_aliases_costs_nothing() -> None:
    bomb = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    with pytest.raises(InputError, match="not YAML"):
        config(bomb)
    with pytest.raises(InputError, match="too large"):
        config("a: " + "x" * 2_000_000)


@given(st.text(max_size=300))
def test_any_text_is_a_configuration_or_an_input_error(text: str) -> None:
    try:
        assert isinstance(config(text), ClusterConfig)
    except InputError as error:
        assert error.where


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("10.0.0.1", "10.0.0.1", 6443), ("k8s.local:443", "k8s.local", 443), ("[fd00::1]:6444", "fd00::1", 6444)],
)
def test_endpoints(text: str, host: str, port: int) -> None:
    assert Endpoint.parse(text) == Endpoint(host, port)
    assert Endpoint.parse(str(Endpoint(host, port))) == Endpoint(host, port)


@pytest.mark.parametrize("text", ["", ":6443", "x:0", "x:70000", "x:y", "a/b", "fd00::1", "Upper", "1.2.3", "a..b"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(InputError):
        Endpoint.parse(text)


def test_names() -> None:
    assert all(is_node_name(name) for name in ("cp-1", "a", "node.plant.local", "1a"))
    assert not any(is_node_name(name) for name in ("", "CP", "a_b", "-a", "a-", "x" * 64, "a..b"))
    assert not is_host("300.1.1.1")


JOIN = JoinFile(
    cluster=ClusterConfig(endpoint=ApiEndpoint("direct", Endpoint("10.0.24.31")), kube_proxy_mode="iptables"),
    kubernetes="v1.30.14",
    token="abcdef.0123456789abcdef",
    token_expires_seconds=parse_time("2026-11-22T06:13:00Z"),
    ca_cert_hashes=("sha256:" + "a" * 64,),
    certificate_key="b" * 64,
    certificate_key_expires_seconds=parse_time("2026-11-21T08:13:00Z"),
)


def test_a_join_file_reads_back() -> None:
    assert JoinFile.from_text(JOIN.to_text(), where="join.yaml") == JOIN
    assert JOIN.secrets == (JOIN.token, "b" * 64)
    assert format_time(JOIN.token_expires_seconds) == "2026-11-22T06:13:00Z"


def test_an_expired_token_is_said_as_specified() -> None:
    now = parse_time("2026-11-22T09:00:00Z")
    with pytest.raises(InputError) as caught:
        JOIN.demand_usable("worker", now_seconds=now, where="join.yaml")
    assert caught.value.lines() == [
        "error: the join file has expired  [input]",
        "  where   join.yaml, token",
        "  wanted  a token valid now (2026-11-22 09:00 UTC)",
        "  got     one that ended 2026-11-22 06:13 UTC",
        "  next    on any control-plane node:  sudo airgap-bundle join-file > join.yaml",
    ]


def test_only_a_control_plane_needs_the_certificate_key() -> None:
    now = parse_time("2026-11-21T09:00:00Z")
    JOIN.demand_usable("worker", now_seconds=now, where="join.yaml")
    with pytest.raises(InputError, match="expired") as caught:
        JOIN.demand_usable("cp", now_seconds=now, where="join.yaml")
    assert caught.value.where == "join.yaml, certificateKey"


def test_problems_of_a_join_file_are_named_without_its_secrets() -> None:
    text = JOIN.to_text().replace(JOIN.token, "abcdef.TOOSECRET").replace("schema: 2", "schema: 2\nextra: 1")
    text = text.replace("tokenExpires: '2026-11-22T06:13:00Z'", "tokenExpires: tomorrow")
    with pytest.raises(InputError) as caught:
        JoinFile.from_text(text, where="join.yaml")
    got = str(caught.value.got)
    assert "token: wanted a bootstrap token" in got
    assert "tokenExpires: not a time" in got
    assert "extra: unknown field" in got
    assert "TOOSECRET" not in "\n".join(caught.value.lines())


@pytest.mark.parametrize(("schema", "made_by"), [(1, "an older version"), (3, "a newer version")])
def test_another_schema_is_refused_and_says_which_side_is_old(schema: int, made_by: str) -> None:
    with pytest.raises(InputError, match=made_by):
        JoinFile.from_text(JOIN.to_text().replace("schema: 2", f"schema: {schema}"), where="join.yaml")


@pytest.mark.parametrize("text", ["", "hello", "[]"])
def test_what_is_no_mapping_is_no_join_file(text: str) -> None:
    with pytest.raises(InputError):
        JoinFile.from_text(text, where="join.yaml")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4))
def test_no_value_of_a_field_breaks_reading(value: object) -> None:
    for key in ("podSubnet", "kubeProxy", "timeouts", "extraArgs", "taints", "certSANs", "nodes", "endpoint"):
        try:
            config(f"{key}: {value!r}")
        except InputError:
            continue


def test_dates_stay_strings() -> None:
    assert load_yaml("a: 2026-11-22T06:13:00Z\nb: 2026-11-22", where="x") == {
        "a": "2026-11-22T06:13:00Z",
        "b": "2026-11-22",
    }

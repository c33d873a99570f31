"""What the rendered files must say whatever the version, read back with other parsers than wrote them."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml

from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint, ClusterNode
from installer.render import containerd, kernel, kubeadm, kubelet, resolver
from installer.settings import KUBELET_FLAGS_REFUSED, Endpoint, ExtraArgs, KubeletSettings, Timeouts

NODE = kubeadm.NodeIdentity("cp-1", "10.0.24.31")
VERSIONS = tuple(f"1.{minor}.0" for minor in range(28, 37))
RUNTIMES = ("1.6.20", "1.6.20~ds1", "1.7.27", "2.0.11", "2.1.9", "2.2.7", "2.3.4")


def init_text(version: str, config: ClusterConfig | None = None) -> str:
    credentials = kubeadm.Credentials("abcdef.0123456789abcdef", 3600)
    return kubeadm.init_config(config or ClusterConfig(), NODE, version, proxy_mode="ipvs", credentials=credentials)


def documents(text: str) -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubeadm_is_never_left_to_look_anything_up(version: str) -> None:
    found = documents(init_text(version))
    assert found["ClusterConfiguration"]["kubernetesVersion"] == f"v{version}"
    assert found["InitConfiguration"]["localAPIEndpoint"]["advertiseAddress"] == NODE.address
    registration = found["InitConfiguration"]["nodeRegistration"]
    assert registration["imagePullPolicy"] == "Never"
    assert registration["name"] == NODE.name
    assert registration["criSocket"] == "unix:///run/containerd/containerd.sock"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pause_image_is_no_kubelet_flag_and_both_sides_say_systemd(version: str) -> None:
    text = init_text(version)
    assert "pod-infra-container-image" not in text
    assert documents(text)["KubeletConfiguration"]["cgroupDriver"] == "systemd"
    assert documents(text)["KubeProxyConfiguration"]["mode"] == "ipvs"


def test_the_interface_changes_at_1_31() -> None:
    assert kubeadm.api_version("1.30.14") == "kubeadm.k8s.io/v1beta3"
    assert kubeadm.api_version("v1.31.0") == "kubeadm.k8s.io/v1beta4"


def test_the_certificate_names_every_way_to_call_the_api_once() -> None:
    config = ClusterConfig(cert_sans=("10.0.24.31", "vip.example"))
    names = documents(init_text("1.30.14", config))["ClusterConfiguration"]["apiServer"]["certSANs"]
    assert names == ["10.0.24.31", "cp-1", "k8s-api", "localhost", "127.0.0.1", "vip.example"]


def test_trap_11_every_control_plane_is_in_the_certificate_without_being_listed() -> None:
    nodes = (ClusterNode("cp-1", "10.0.24.31", "cp"), ClusterNode("cp-2", "10.0.24.29", "cp"))
    worker = ClusterNode("w-1", "10.0.24.28", "worker")
    config = ClusterConfig(
        nodes=(*nodes, worker), endpoint=ApiEndpoint("external", Endpoint("lb.plant.example")), cert_sans=("api",)
    )
    names = documents(init_text("1.30.14", config))["ClusterConfiguration"]["apiServer"]["certSANs"]
    assert names == [
        *("lb.plant.example", "cp-1", "10.0.24.31", "cp-2", "10.0.24.29"),
        *("k8s-api", "localhost", "127.0.0.1", "api"),
    ]


@pytest.mark.parametrize(
    "value", ["1e3", "12345e10", "0x1f", "017", "1_000", "y", "true", "null", "10", "1.5", "~", ""]
)
def test_a_flag_s_value_stays_text_for_a_reader_of_another_yaml(value: str) -> None:
    config = ClusterConfig(extra_args=ExtraArgs(scheduler={"flag": (value,)}))
    line = next(line for line in init_text("1.30.14", config).splitlines() if line.strip().startswith("flag:"))
    assert line.strip() == f"flag: '{value}'"


def test_empty_taints_are_written_and_absent_ones_are_not() -> None:
    bare = documents(init_text("1.30.14", ClusterConfig(taints=())))
    assert bare["InitConfiguration"]["nodeRegistration"]["taints"] == []
    assert "taints" not in documents(init_text("1.30.14"))["InitConfiguration"]["nodeRegistration"]


@pytest.mark.parametrize(
    ("version", "kernel_release", "cgroups", "refused"),
    [
        ("1.31.14", "4.18.0-553.el8_10.x86_64", 2, False),
        ("1.32.13", "4.18.0-553.el8_10.x86_64", 2, True),
        ("1.32.13", "5.14.0-427.el9.x86_64", 2, False),
        ("1.33.13", "5.14.0-427.el9.x86_64", 2, True),
        ("1.33.13", "5.15.0-130-generic", 2, False),
        ("1.33.13", "6.1.0-37-cloud-amd64", 2, False),
        ("1.34.11", "5.14.0-427.el9.x86_64", 2, False),
        ("1.34.11", "6.1.0", 1, False),
        ("1.35.8", "6.1.0", 1, True),
        ("1.35.8", "6.1.0", 2, False),
    ],
)
def test_only_checks_that_are_wrong_about_a_machine_are_passed_over(
    version: str, kernel_release: str, cgroups: int, refused: bool
) -> None:
    found = kubeadm.ignored_preflight_errors(version, kernel=kernel_release, cgroup_version=cgroups)
    assert found == (("SystemVerification",) if refused else ())


@pytest.mark.parametrize(
    ("minor", "fails", "told"), [(30, False, False), (31, False, True), (35, False, True), (35, True, False)]
)
def test_the_kubelet_stays_on_cgroup_v1_by_choice_from_the_release_that_can_be_told(
    minor: int, fails: bool, told: bool
) -> None:
    chosen = KubeletSettings(fail_cgroup_v1=fails)
    settings = kubelet.node_settings(minor, kubelet.NodeShape(2, 2**32, 1), chosen, resolver_path="/etc/resolv.conf")
    assert settings.get("failCgroupV1", "not said") is (False if told else "not said")


@pytest.mark.parametrize(
    ("cpus", "memory_mebi", "system", "kube"),
    [
        (1, 1000, ("50m", "79Mi"), ("60m", "79Mi")),
        (2, 2048, ("50m", "104Mi"), ("70m", "104Mi")),
        (2, 2047, ("50m", "99Mi"), ("70m", "99Mi")),
        (2, 2100, ("50m", "104Mi"), ("70m", "104Mi")),
        (16, 65536, ("50m", "1374Mi"), ("210m", "1374Mi")),
        (128, 1048576, ("50m", "2048Mi"), ("500m", "2048Mi")),
    ],
)
def test_what_is_set_aside_follows_the_node_s_size(
    cpus: int, memory_mebi: int, system: tuple[str, str], kube: tuple[str, str]
) -> None:
    shape = kubelet.NodeShape(cpus, memory_mebi * 1024 * 1024, 2)
    found = kubelet.node_settings(30, shape, KubeletSettings(), resolver_path="/etc/resolv.conf")
    assert tuple(found["systemReserved"].values()) == system
    assert tuple(found["kubeReserved"].values()) == kube


def test_one_resource_that_is_set_aside_is_overridden_and_the_others_stay() -> None:
    chosen = KubeletSettings(system_reserved={"memory": "1Gi", "ephemeral-storage": "2Gi"})
    found = kubelet.node_settings(30, kubelet.NodeShape(2, 2**31, 2), chosen, resolver_path="/etc/resolv.conf")
    assert found["systemReserved"] == {"cpu": "50m", "memory": "1Gi", "ephemeral-storage": "2Gi"}
    assert found["kubeReserved"] == {"cpu": "70m", "memory": "104Mi"}


def test_a_flag_given_twice_is_there_twice_in_its_order_where_there_is_a_list() -> None:
    config = ClusterConfig(
        extra_args=ExtraArgs(api_server={"tls-sni-cert-key": ("b", "a"), "audit-log-maxage": ("3",)})
    )
    listed = documents(init_text("1.31.14", config))["ClusterConfiguration"]["apiServer"]["extraArgs"]
    assert [(item["name"], item["value"]) for item in listed] == [
        ("audit-log-maxage", "3"),
        ("tls-sni-cert-key", "b"),
        ("tls-sni-cert-key", "a"),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_kubelet_is_passed_a_flag_that_it_or_a_later_one_refuses(version: str) -> None:
    registration = documents(init_text(version))["InitConfiguration"]["nodeRegistration"]
    args = registration["kubeletExtraArgs"]
    names = {item["name"] for item in args} if isinstance(args, list) else set(args)
    assert names == {"node-ip"}
    units = kubelet.unit() + kubelet.drop_in()
    assert not [flag for flag in KUBELET_FLAGS_REFUSED if f"--{flag}" in units]


@pytest.mark.parametrize("version", VERSIONS)
def test_how_long_kubeadm_waits_is_said_where_its_interface_has_it(version: str) -> None:
    found = documents(init_text(version, ClusterConfig(timeouts=Timeouts(control_plane_seconds=900))))
    newer = kubeadm.minor_of(version) >= 31
    assert ("timeouts" in found["InitConfiguration"]) is newer
    assert ("timeoutForControlPlane" in found["ClusterConfiguration"]["apiServer"]) is not newer
    said = (
        found["InitConfiguration"]["timeouts"]["controlPlaneComponentHealthCheck"]
        if newer
        else found["ClusterConfiguration"]["apiServer"]["timeoutForControlPlane"]
    )
    assert said == "900s"


def test_patches_are_files_by_kubeadm_s_names_after_ours() -> None:
    patch = {"spec": {"priority": 1}}
    files = kubeadm.patch_files({"kubeletconfiguration": {"maxPods": 50}, "etcd": patch})
    names = [path.removeprefix(f"{kubeadm.PATCHES_DIR}/") for path in files]
    assert names == ["etcd1+strategic.yaml", "kubeletconfiguration1+strategic.yaml"]
    assert yaml.safe_load(files[f"{kubeadm.PATCHES_DIR}/{names[0]}"]) == patch
    assert f"{kubeadm.PATCHES_DIR}/{names[1]}" > kubeadm.KUBELET_PATCH_PATH


@pytest.mark.parametrize("version", RUNTIMES)
def test_every_schema_parses_and_names_the_sandbox_where_its_daemon_looks(version: str) -> None:
    settings = containerd.RuntimeSettings("registry.k8s.io/pause:3.9", root="/data/containerd")
    found = tomllib.loads(containerd.config(version, settings))
    assert found["version"] == containerd.schema_of(version)
    assert found["root"] == "/data/containerd"
    plugins = found["plugins"]
    if found["version"] == 2:
        cri = plugins["io.containerd.grpc.v1.cri"]
        assert (cri["sandbox_image"], cri["registry"]["config_path"]) == (settings.sandbox, containerd.REGISTRY_DIR)
        assert cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is True
        assert "imports" not in found, "a drop-in would replace the plugin's whole table here"
    else:
        images, runtime = plugins["io.containerd.cri.v1.images"], plugins["io.containerd.cri.v1.runtime"]
        assert images["pinned_images"]["sandbox"] == settings.sandbox
        assert runtime["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is True
        assert ("bin_dirs" in runtime["cni"]) == (version != "2.0.11")


@pytest.mark.parametrize(("version", "schema"), [("1.6.39", 2), ("1.7.0", 2), ("2.0.0", 3), ("2.2.7", 3), ("2.3.0", 4)])
def test_schema_by_release(version: str, schema: int) -> None:
    assert containerd.schema_of(version) == schema


def test_a_first_configuration_names_no_sandbox() -> None:
    for version in RUNTIMES:
        text = containerd.config(version, containerd.RuntimeSettings(None))
        assert containerd.sandbox_of(tomllib.loads(text)) is None
        assert containerd.is_ours(text.encode())


def test_a_value_cannot_break_out_of_its_string() -> None:
    strange = 'registry.k8s.io/pause:3.9"\nroot = "/evil'
    found = tomllib.loads(containerd.config("1.7.27", containerd.RuntimeSettings(strange)))
    assert found["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"] == strange
    assert found["root"] == "/var/lib/containerd"


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({}, resolver.OWN_PATH),
        ({"/etc/resolv.conf": ""}, resolver.OWN_PATH),
        ({"/etc/resolv.conf": "# nameserver 10.0.0.2\nsearch example\n"}, resolver.OWN_PATH),
        ({"/etc/resolv.conf": "nameserver 127.0.0.1\nnameserver ::1\n"}, resolver.OWN_PATH),
        ({"/etc/resolv.conf": "nameserver nonsense\n"}, resolver.OWN_PATH),
        ({"/etc/resolv.conf": "nameserver 10.0.0.2\n"}, "/etc/resolv.conf"),
        ({"/etc/resolv.conf": "nameserver fe80::1%eth0\n"}, "/etc/resolv.conf"),
        (
            {
                "/etc/resolv.conf": "nameserver 127.0.0.53\n",
                "/run/systemd/resolve/resolv.conf": "nameserver 10.0.0.2\n",
            },
            "/run/systemd/resolve/resolv.conf",
        ),
    ],
)
def test_pods_get_a_resolver_file_that_leads_somewhere_other_than_themselves(files: dict[str, str], path: str) -> None:
    chosen = resolver.choose(files, "10.0.24.31")
    assert chosen.path == path
    assert (chosen.content is not None) == (path == resolver.OWN_PATH)
    if chosen.content is not None:
        assert resolver.nameservers(chosen.content) == ("10.0.24.31",)


@pytest.mark.parametrize(
    ("line", "swap"),
    [
        ("UUID=2 none swap sw 0 0", True),
        ("/swapfile\tnone\tswap\tsw\t0\t0", True),
        ("  /dev/sda2   swap   swap   defaults  0 0", True),
        ("# UUID=2 none swap sw 0 0", False),
        ("#UUID=2 none swap sw 0 0", False),
        ("/dev/sdb1 /swap ext4 defaults 0 2", False),
        ("", False),
    ],
)
def test_swap_lines_are_told_by_their_third_field(line: str, swap: bool) -> None:
    assert kernel.is_swap_line(line) is swap


def test_fstab_keeps_every_other_byte() -> None:
    before = "UUID=1 / ext4 defaults 0 1\r\n\n/swapfile none swap sw 0 0\n# end without newline"
    after = kernel.fstab_without_swap(before)
    assert after == before.replace("/swapfile", "# /swapfile")
    assert kernel.fstab_without_swap(after) == after

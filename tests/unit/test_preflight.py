"""Each preflight check on facts that satisfy it and on facts that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer.bundle.digest import Digest
from installer.check import Finding
from installer.config import ClusterConfig
from installer.errors import InputError, PreflightError
from installer.facts import Address, KubernetesState, NodeFacts, Swap, gather
from installer.foundcontainerd import FoundContainerd
from installer.installed import Installed
from installer.node import DiskSpace
from installer.nodeimages import node_images
from installer.preflight import demand_fit, run_checks
from installer.preflight.disk import ETCD_BYTES, KUBELET_BYTES, folder_needs, needed_bytes
from installer.preflight.network import choose_address
from installer.preflight.subject import Subject
from installer.proxymode import decide
from installer.settings import ExtraArgs, KubeletSettings
from tests.fakes.debian import ADDRESS, debian
from tests.fakes.small_bundle import small_bundle

FACTS = gather(debian().node)
INDEX = small_bundle().index
RECORD = Installed(Digest.of(b""), INDEX.name, "1.30.14", "cp", "cp-1", ADDRESS, "/var/lib/containerd", "done", 0)


def subject(
    *,
    role: str = "cp",
    config: ClusterConfig | None = None,
    release: str = "1.30.14",
    cni: str = "none",
    **facts: Any,
) -> Subject:
    index = replace(INDEX, kubernetes=release, cni=cni)
    return Subject(replace(FACTS, **facts), index, role, config or ClusterConfig(), ADDRESS, joins=role == "worker")


def found(name: str, judged: Subject) -> Finding:
    return next(finding for finding in run_checks(judged) if finding.name == name)


def level(name: str, judged: Subject) -> str:
    return found(name, judged).level


def test_a_fit_node_has_no_problem_and_each_check_its_own_name() -> None:
    findings = run_checks(subject())
    assert [finding.name for finding in findings if finding.level != "ok"] == ["clock-source"]
    assert len({finding.name for finding in findings}) == len(findings)
    demand_fit(findings, "cp-1")


def test_problems_are_all_named_with_why_and_fix() -> None:
    findings = run_checks(subject(cpus=1, effective_uid=1000))
    with pytest.raises(PreflightError) as caught:
        demand_fit(findings, "cp-1")
    got = str(caught.value.got)
    assert got.startswith("2 problems\nroot: running as user 1000\n  why  ")
    assert "cpus: 1\n" in got
    assert caught.value.exit_code == 3
    assert all(finding.why and finding.fix for finding in findings if finding.level == "problem")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("root", {"effective_uid": 1}),
        ("systemd", {"systemd": False}),
        ("cpus", {"cpus": 1}),
        ("memory", {"memory_bytes": 1600 * 1024 * 1024}),
        ("hostname", {"hostname": "localhost"}),
        ("hostname", {"hostname": "my_node"}),
        ("clock", {"now_seconds": 1_600_000_000.0}),
        ("kernel", {"kernel": "2.6.32"}),
        ("cgroups", {"cgroup_version": 0}),
        ("kernel-modules", {"modules": {}}),
        ("ports", {"listening_ports": (22, 2379)}),
        ("address-plan", {"addresses": (Address("10.244.7.1", 24, "ens4"),)}),
        ("containerd", {"runtime": FoundContainerd("/usr/bin/containerd", "1.6.14")}),
        ("packages", {"packages": {"kubelet": "1.29.0"}}),
        ("cluster", {"kubernetes": KubernetesState(("/etc/kubernetes/kubelet.conf",))}),
        ("tools", {"tools": {}}),
    ],
)
def test_what_stops_a_control_plane(name: str, changes: dict[str, Any]) -> None:
    assert level(name, subject()) == "ok"
    assert level(name, subject(**changes)) == "problem"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("firewall", {"firewalls": ("ufw",)}),
        ("packages", {"packages": {"kubectl": "1.29.0"}}),
        ("tools-useful", {"tools": {tool: "/x" for tool in FACTS.tools if tool != "socat"} | {"socat": None}}),
    ],
)
def test_what_is_only_worth_a_warning(name: str, changes: dict[str, Any]) -> None:
    assert level(name, subject()) == "ok"
    assert level(name, subject(**changes)) == "warn"


def test_a_worker_needs_less() -> None:
    small: dict[str, Any] = {"cpus": 1, "memory_bytes": 1024**3, "listening_ports": (2379, 6443)}
    assert [level(name, subject(role="worker", **small)) for name in ("cpus", "memory", "ports")] == ["ok"] * 3
    assert level("memory", subject(role="worker", memory_bytes=512 * 1024**2)) == "warn"
    assert level("ports", subject(role="worker", listening_ports=(10250,))) == "problem"


def test_conntrack_is_needed_where_kubeadm_looks_for_it() -> None:
    without: dict[str, Any] = {"tools": FACTS.tools | {"conntrack": None}}
    assert level("tools", subject(**without)) == "problem"
    assert level("tools", subject(role="worker", **without)) == "ok"
    assert level("tools-useful", subject(role="worker", **without)) == "warn"
    assert level("tools", subject(release="1.32.1", **without)) == "ok"


@pytest.mark.parametrize(
    ("kubernetes", "kernel", "expected"),
    [
        ("1.31.0", "3.10.0-1160.el7", "problem"),
        ("1.31.0", "4.18.0-553.el8", "ok"),
        ("1.32.0", "4.18.0-553.el8", "warn"),
        ("1.32.0", "4.19.90", "ok"),
        ("1.33.1", "5.14.0-427.el9", "warn"),
        ("1.33.1", "5.15.0-100-generic", "ok"),
        ("1.33.1", "6.1.0", "ok"),
        ("1.34.0", "5.14.0-427.el9", "ok"),
    ],
)
def test_kernels_that_kubeadm_lists(kubernetes: str, kernel: str, expected: str) -> None:
    assert level("kernel", subject(release=kubernetes, kernel=kernel)) == expected


@pytest.mark.parametrize(("kubernetes", "expected"), [("1.30.1", "ok"), ("1.31.0", "warn"), ("1.35.0", "problem")])
def test_control_groups_of_version_1(kubernetes: str, expected: str) -> None:
    assert level("cgroups", subject(release=kubernetes, cgroup_version=1)) == expected


def test_control_groups_of_version_1_by_choice_are_a_warning() -> None:
    chosen = ClusterConfig(kubelet=KubeletSettings(fail_cgroup_v1=False))
    assert level("cgroups", subject(release="1.36.4", cgroup_version=1, config=chosen)) == "warn"


def test_a_repeated_flag_needs_a_release_that_has_a_list_for_it() -> None:
    twice = ClusterConfig(extra_args=ExtraArgs(api_server={"v": ("2",), "tls-sni-cert-key": ("a", "b")}))
    assert level("extra-args", subject(config=twice, release="1.31.0")) == "ok"
    judged = found("extra-args", subject(config=twice))
    assert (judged.level, judged.seen) == ("problem", "repeated: apiServer.tls-sni-cert-key")


def test_a_patch_that_kubeadm_would_pass_over_is_refused() -> None:
    config = ClusterConfig(patches={"corednsdeployment": {"spec": {"replicas": 3}}, "etcd": {"spec": {"priority": 1}}})
    assert level("patches", subject(config=config, release="1.30.14")) == "problem"
    assert level("patches", subject(config=config, release="1.31.0")) == "ok"


def test_modules_depend_on_the_proxy_mode_and_the_pod_network() -> None:
    without: dict[str, Any] = {
        "modules": {name: state for name, state in FACTS.modules.items() if name not in ("ip_vs_sh", "vxlan")}
    }
    assert level("kernel-modules", subject(**without)) == "ok"
    assert level("kernel-modules", subject(config=ClusterConfig(kube_proxy_mode="ipvs"), **without)) == "problem"
    assert level("kernel-modules", subject(cni="flannel", **without)) == "problem"
    assert level("kernel-modules", subject(release="1.36.4", **without)) == "ok"


@pytest.mark.parametrize(
    ("wanted", "minor", "lacking", "mode"),
    [
        ("auto", 28, "", "ipvs"),
        ("auto", 34, "", "ipvs"),
        ("auto", 35, "", "iptables"),
        ("auto", 30, "ip_vs_wrr", "iptables"),
        ("auto", 30, "nf_conntrack", "iptables"),
        ("ipvs", 36, "", "ipvs"),
        ("nftables", 33, "ip_vs", "nftables"),
    ],
)
def test_the_proxy_mode_is_decided_by_modules_and_release(wanted: str, minor: int, lacking: str, mode: str) -> None:
    modules = {name: state for name, state in FACTS.modules.items() if name != lacking}
    assert decide(wanted, minor, modules).name == mode
    if lacking and wanted == "auto":
        assert lacking in decide(wanted, minor, modules | {lacking: "missing"}).why


def test_ipvs_is_told_to_be_at_its_end_from_1_35_on() -> None:
    config = ClusterConfig(kube_proxy_mode="ipvs")
    assert level("kube-proxy", subject(config=config, release="1.34.4")) == "ok"
    assert level("kube-proxy", subject(config=config, release="1.35.8")) == "warn"


def test_nftables_needs_a_kernel_and_a_release() -> None:
    config = ClusterConfig(kube_proxy_mode="nftables")
    assert level("kube-proxy", subject(config=config, release="1.33.0")) == "ok"
    assert level("kube-proxy", subject(config=config, release="1.31.0")) == "warn"
    assert level("kube-proxy", subject(config=config, release="1.30.1")) == "problem"
    assert level("kube-proxy", subject(config=config, release="1.31.0", kernel="5.10.0")) == "problem"


def test_an_address_inside_the_clusters_own_networks_is_refused() -> None:
    assert level("address", subject()) == "ok"
    assert level("address", subject(config=ClusterConfig(pod_subnet="10.0.0.0/11"))) == "problem"
    assert level("address", subject(config=ClusterConfig(service_subnet="10.0.24.0/24"))) == "problem"


def test_swap_is_told_and_taken_care_of() -> None:
    area = Swap("/dev/zram0", "partition", 2_000_000_000)
    assert found("swap", subject(swaps=(area,))).seen == "2000.0 MB on /dev/zram0; will be turned off"


def test_the_same_install_once_more_is_welcome_and_nothing_else() -> None:
    left: dict[str, Any] = {
        "kubernetes": KubernetesState(("/etc/kubernetes/kubelet.conf",)),
        "listening_ports": (6443, 10250),
        "runtime": FoundContainerd("/usr/local/bin/containerd", "1.7.27"),
        "installed": RECORD,
    }
    assert not [finding for finding in run_checks(subject(**left)) if finding.level == "problem"]
    begun = left | {"installed": replace(RECORD, state="started")}
    assert found("cluster", subject(**begun)).seen == "this install was begun here"
    for other in (replace(RECORD, role="worker"), replace(RECORD, kubernetes="1.29.1")):
        assert level("cluster", subject(**(left | {"installed": other}))) == "problem"


def test_needs_are_added_up_where_things_land() -> None:
    judged = subject(config=ClusterConfig(containerd_root="/data/containerd"), role="worker")
    needs = folder_needs(judged)
    blobs = judged.index.descriptors()
    wanted = {digest for image in node_images(judged.index, "worker", ClusterConfig()) for digest in image.blobs()}
    images = sum(blobs[digest].size_bytes + (blobs[digest].unpacked_size_bytes or 0) for digest in wanted)
    assert needs["/data/containerd"] == images
    folders = {"/data/containerd", "/opt/cni/bin", "/usr/local/bin", "/usr/local/sbin", "/var/lib/kubelet"}
    assert set(needs) == folders | {"/etc", "/var/lib/airgap-bundle"}
    assert folder_needs(subject())["/var/lib/etcd"] == ETCD_BYTES


def test_file_systems_that_would_fill_up_are_named() -> None:
    root, data = DiskSpace("/", 10**12, 10**12, 1), DiskSpace("/var/lib/kubelet", 10**10, KUBELET_BYTES - 1, 1)
    disks = dict.fromkeys(FACTS.disks, root) | {"/var/lib/kubelet": data}
    judged = subject(disks=disks)
    assert set(needed_bytes(judged)) == {"/", "/var/lib/kubelet"}
    assert (level("disk /", judged), level("disk /var/lib/kubelet", judged)) == ("ok", "problem")
    nearly = replace(data, free_bytes=KUBELET_BYTES + 1)
    assert level("disk /var/lib/kubelet", subject(disks=disks | {"/var/lib/kubelet": nearly})) == "warn"
    assert level("disk", subject(disks=disks, installed=RECORD)) == "ok"


def with_addresses(*texts: str, installed: Installed | None = None) -> NodeFacts:
    return replace(FACTS, addresses=tuple(Address(text, 24, "ens3") for text in texts), installed=installed)


def test_the_only_address_is_chosen_and_one_asked_for_is_taken() -> None:
    config = ClusterConfig()
    assert choose_address(with_addresses("10.0.0.1"), config, None).address == "10.0.0.1"
    assert choose_address(with_addresses("10.0.0.1", "10.0.1.1"), config, "10.0.1.1").address == "10.0.1.1"
    again = replace(RECORD, address="10.0.1.1")
    assert choose_address(with_addresses("10.0.0.1", "10.0.1.1", installed=again), config, None).address == "10.0.1.1"


def test_an_address_of_the_other_family_is_no_candidate() -> None:
    both = with_addresses("10.0.0.1", "fd00::2")
    assert choose_address(both, ClusterConfig(), None).address == "10.0.0.1"
    six = ClusterConfig(pod_subnet="fd01::/56", service_subnet="fd02::/112")
    assert choose_address(both, six, "fd00:0::2").address == "fd00::2"


@pytest.mark.parametrize(
    ("there", "wanted", "message", "listed"),
    [
        (("10.0.0.1", "10.0.1.1"), None, "more than one address", "10.0.0.1  on ens3\n10.0.1.1  on ens3"),
        (("10.0.0.1",), "10.0.0.2", "not on this machine", "10.0.0.1  on ens3"),
        (("10.0.0.1",), "cp-1", "not on this machine", "10.0.0.1  on ens3"),
        ((), None, "no address", "none"),
    ],
)
def test_an_address_that_cannot_be_told_lists_the_candidates(
    there: tuple[str, ...], wanted: str | None, message: str, listed: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        choose_address(with_addresses(*there), ClusterConfig(), wanted)
    assert caught.value.got == listed


def test_a_file_that_the_configuration_refers_to_must_be_there() -> None:
    judged = subject(absent_files=("/etc/ssl/plant.pem",))
    assert level("named-files", judged) == "problem"
    assert "/etc/ssl/plant.pem" in found("named-files", judged).seen
    node = debian().node.with_files({"/etc/ssl/plant.pem": "pem"})
    assert gather(node, files=("/etc/ssl/plant.pem", "/etc/ssl/other.pem")).absent_files == ("/etc/ssl/other.pem",)


@pytest.mark.parametrize(
    ("version", "kubernetes", "expected"),
    [
        ("1.6.14", "1.30.14", "problem"),
        ("1.6.20", "1.30.14", "warn"),
        ("1.6.39", "1.30.14", "ok"),
        ("1.7.2", "1.30.14", "warn"),
        ("1.7.24", "1.33.13", "ok"),
        ("1.6.22", "1.32.13", "warn"),
        ("1.7.28", "1.35.8", "ok"),
        ("1.7.34", "1.36.4", "warn"),
        ("2.2.7", "1.36.4", "ok"),
        ("unknown", "1.30.14", "problem"),
    ],
)
def test_a_containerd_of_the_site_s_is_kept_if_kubernetes_can_use_it(
    version: str, kubernetes: str, expected: str
) -> None:
    found = FoundContainerd("/usr/bin/containerd", version, runc="/usr/sbin/runc")
    assert level("containerd", subject(release=kubernetes, runtime=found)) == expected


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"has_unit": False}, "systemd has no containerd.service"),
        ({"socket": "/run/site.sock"}, "the kubelet asks /run/containerd/containerd.sock"),
        ({"runc": None}, "there is no runc"),
    ],
)
def test_what_a_site_s_containerd_must_have(changes: dict[str, Any], why: str) -> None:
    site = FoundContainerd("/usr/bin/containerd", "1.7.24", runc="/usr/sbin/runc")
    judged = found("containerd", subject(runtime=replace(site, **changes)))
    assert (judged.level, why in judged.why) == ("problem", True)
    assert "the bundle brings its own" in judged.fix


def test_who_owns_containerd_is_asked_for_or_seen() -> None:
    site = FoundContainerd("/usr/bin/containerd", "1.7.24", runc="/usr/sbin/runc")
    for asked, there, expected in (
        ("auto", site, "ok"),
        ("site", site, "ok"),
        ("installer", site, "problem"),
        ("auto", None, "ok"),
        ("site", None, "problem"),
        ("installer", None, "ok"),
    ):
        judged = subject(config=ClusterConfig(containerd_owner=asked), runtime=there)
        assert level("containerd", judged) == expected, (asked, there)


def test_packages_of_a_containerd_that_stays_are_to_be_held() -> None:
    site: dict[str, Any] = {"runtime": FoundContainerd("/usr/bin/containerd", "1.7.24", runc="/usr/sbin/runc")}
    kept = found("packages", subject(packages={"containerd": "1.7.24~ds1-6"}, **site))
    assert (kept.level, kept.fix) == ("warn", "hold them: containerd")
    assert level("packages", subject(packages={"containerd.io": "1", "docker-ce": "2"}, **site)) == "warn"
    assert level("packages", subject(packages={"containerd": "1", "kubelet": "2"}, **site)) == "problem"
    assert level("packages", subject(packages={"cri-o": "1"}, **site)) == "problem"
    assert level("packages", subject(packages={"containerd": "1"})) == "problem"

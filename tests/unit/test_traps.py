"""What the field report and the guides stumbled over, by the number in the list of traps.

Each asserts on what is rendered, planned, judged or done, so that the trap cannot come back unseen. Traps of the
endpoint for several control planes, of joining and of a reset have their tests beside those parts.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
import yaml

from installer.bundle.digest import Digest
from installer.check import Finding
from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint, ClusterNode
from installer.errors import CommandError, InputError, StepError
from installer.execute import Phase, Plan
from installer.facts import NodeFacts, gather
from installer.installed import Installed
from installer.join import PATH as JOIN_PATH
from installer.join import JoinFile
from installer.node import DiskSpace
from installer.nodeimages import node_images
from installer.plan import build_plan
from installer.preflight import run_checks
from installer.preflight.disk import image_bytes
from installer.preflight.subject import Subject
from installer.proxymode import decide
from installer.render import containerd, fstab, kernel, kubeadm, kubelet
from installer.settings import KUBELET_FLAGS_REFUSED, DataDiskSettings, Endpoint
from installer.status import service_state
from installer.steps.fstab import KEPT
from installer.vip.proof import Proof, Seen
from tests.fakes.addons import FLANNEL
from tests.fakes.debian import ADDRESS, debian
from tests.fakes.disk import DEVICE, ROOT, UUID, Disk
from tests.fakes.machine import Machine, StoredName
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import PAUSE, small_bundle
from tests.fakes.systemd import Unit
from tests.unit.test_plan import carry_out, cp_plan, facts, join_file

MINORS = tuple(range(28, 37))
BUNDLE = small_bundle()
NODE = kubeadm.NodeIdentity("cp-1", ADDRESS)


def judged(name: str, found: NodeFacts, config: ClusterConfig | None = None, release: str = "1.30.14") -> Finding:
    """What one preflight check says of a first control plane."""
    index = replace(BUNDLE.index, kubernetes=release)
    subject = Subject(found, index, "cp", config or ClusterConfig(), ADDRESS, joins=False)
    return next(finding for finding in run_checks(subject) if finding.name == name)


def documents(minor: int, config: ClusterConfig | None = None) -> dict[str, dict[str, Any]]:
    """What kubeadm init is given."""
    credentials = kubeadm.Credentials("abcdef.0123456789abcdef", 900)
    mode = decide("auto", minor, {})
    text = kubeadm.init_config(
        config or ClusterConfig(), NODE, f"1.{minor}.0", proxy_mode=mode.name, credentials=credentials
    )
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def reboot(machine: Machine) -> None:
    """What a boot forgets and what it does by itself: modules, sysctls, swap, from their files alone."""
    node = machine.node
    node.with_files({"/proc/modules": "", "/proc/sys/net/ipv4/ip_forward": "0\n"})
    machine.load(*(node.read_text(kernel.MODULES_PATH) or "").splitlines()[1:])
    for line in (node.read_text(kernel.SYSCTL_PATH) or "").splitlines():
        if not line.startswith("#"):
            key, _, value = line.partition(" = ")
            node.with_files({"/proc/sys/" + key.replace(".", "/"): f"{value}\n"})


def test_trap_01_the_images_go_to_a_disk_of_their_own_and_each_mount_is_judged_for_itself() -> None:
    machine = debian()
    disk = Disk(machine.node, machine=True)
    config = ClusterConfig(data_disk=DataDiskSettings(DEVICE))
    found = gather(machine.node, data_disk=DEVICE)
    carry_out(machine, build_plan(BUNDLE, "cp", config, found, address=ADDRESS))
    ran = ["import" if "import" in words else words[0] for words in machine.node.ran]
    assert ran.index("mkfs.ext4") < ran.index("mount") < ran.index("import")
    assert (fstab.ours(disk.fstab) or "").split()[:2] == [f"UUID={UUID}", ROOT]
    assert ("mount", "-a", "-O", fstab.MARK) in machine.node.ran
    small = gather(debian().node)
    platform = small.platform
    assert platform is not None
    need_bytes = image_bytes(Subject(small, BUNDLE.index, "cp", ClusterConfig(), ADDRESS, joins=False), platform)
    full = small.disks | {ROOT: DiskSpace(ROOT, 10**9, need_bytes - 1, 10)}
    finding = judged(f"disk {ROOT}", replace(small, disks=full))
    assert finding.level == "problem"
    assert judged("disk /", replace(small, disks=full)).level == "ok"


def test_trap_02_forwarding_and_bridge_filtering_hold_now_and_after_a_reboot() -> None:
    machine = Machine()
    plan = cp_plan()
    kernel_phase = Plan((plan.phases[0],))
    carry_out(machine, kernel_phase)
    keys = ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables")
    assert [machine.node.read_text(f"/proc/sys/{key}") for key in keys] == ["1\n"] * 3
    listed = (machine.node.read_text(kernel.MODULES_PATH) or "").splitlines()
    assert "br_netfilter" in listed, "its keys are set once at boot, so it must be there by then"
    reboot(machine)
    assert {result.outcome for result in carry_out(machine, kernel_phase).values()} == {"as wanted"}
    machine.node.with_files({"/proc/sys/net/ipv4/ip_forward": "0\n"})
    assert carry_out(machine, kernel_phase)["kernel/sysctl"].outcome == "changed"


def test_trap_03_swap_is_off_and_no_fstab_line_unit_or_service_brings_it_back() -> None:
    machine = Machine(units={"dev-zram0.swap": Unit(), "zramswap.service": Unit(enabled=True)})
    before = machine.node.read_text(fstab.PATH)
    carry_out(machine, Plan((cp_plan().phases[0],)))
    assert kernel.active_swaps(machine.node.read_text("/proc/swaps") or "") == ()
    assert not any(kernel.is_swap_line(line) for line in (machine.node.read_text(fstab.PATH) or "").splitlines())
    assert machine.node.read_text(KEPT) == before
    assert ("systemctl", "mask", "--now", "dev-zram0.swap") in machine.node.ran
    assert ("systemctl", "disable", "--now", "zramswap.service") in machine.node.ran


@pytest.mark.parametrize("version", ["1.6.36", "1.7.28", "2.0.11", "2.2.7", "2.3.4"])
def test_trap_04_the_sandbox_image_is_under_the_name_that_this_containerd_reads(version: str) -> None:
    found = tomllib.loads(containerd.config(version, containerd.RuntimeSettings(PAUSE)))
    plugins = found["plugins"]
    if found["version"] == 2:
        assert plugins["io.containerd.grpc.v1.cri"]["sandbox_image"] == PAUSE
    else:
        assert plugins["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == PAUSE
        assert "sandbox_image" not in containerd.config(version, containerd.RuntimeSettings(PAUSE))


def test_trap_05_a_configuration_is_written_whole_and_the_old_one_comes_back_if_the_daemon_does_not() -> None:
    machine = Machine()
    theirs = 'version = 2\nroot = "/var/lib/containerd"\n[plugins."io.containerd.grpc.v1.cri".registry]\n'
    theirs += 'config_path = "/etc/containerd/certs.d"\n'
    machine.node.with_files({containerd.CONFIG_PATH: theirs})
    plan = cp_plan()
    number = [phase.name for phase in plan.phases].index("runtime")
    before = replace(plan.phases[number], steps=plan.phases[number].steps[:2])
    carry_out(machine, Plan((*plan.phases[:number], before)))
    machine.systemd.fail_restart_of = "containerd.service"
    with pytest.raises(CommandError):
        carry_out(machine, plan)
    assert machine.node.read_text(containerd.CONFIG_PATH) == theirs
    carry_out(machine, plan)
    written = machine.node.read_text(containerd.CONFIG_PATH) or ""
    assert written.count("config_path") == 1
    assert tomllib.loads(written)


def test_trap_06_a_kubelet_that_restarts_before_kubeadm_is_waiting_and_not_failed() -> None:
    node = FakeNode().script("systemctl is-active kubelet.service", "activating\n", code=3)
    assert service_state(node, "kubelet") == "waiting for kubeadm"
    node.with_files({"/var/lib/kubelet/config.yaml": "k"})
    assert service_state(node, "kubelet") == "activating"


def test_trap_07_a_package_of_the_system_or_another_minor_is_named_and_refused() -> None:
    found = gather(debian().node)
    packaged = judged("packages", replace(found, packages={"kubelet": "1.29.1-1.1", "kubeadm": "1.29.1-1.1"}))
    assert (packaged.level, packaged.seen) == ("problem", "kubeadm 1.29.1-1.1, kubelet 1.29.1-1.1")
    record = Installed(Digest.of(b""), "k8s", "1.28.15", "cp", "cp-1", ADDRESS, ROOT, "done", 0)
    jumped = judged("cluster", replace(found, installed=record))
    assert (jumped.level, "1.28.15 installed as cp" in jumped.seen) == ("problem", True)


PLANES = (ClusterNode("cp-1", ADDRESS, "cp"), ClusterNode("cp-2", "10.0.24.29", "cp"))
MOVING = ClusterConfig(nodes=PLANES, endpoint=ApiEndpoint("kube-vip", Endpoint("10.0.24.100")))


def test_trap_08_several_control_planes_need_no_address_that_moves() -> None:
    config = ClusterConfig(nodes=PLANES)
    assert config.endpoint_mode == "local"
    plan = build_plan(BUNDLE, "cp", config, facts(), address=ADDRESS)
    assert any(note.startswith("endpoint local: k8s-api:16443 is a HAProxy on every node") for note in plan.notes)
    assert "endpoint/config" in [step.id for step in plan.steps]
    assert judged("moving-address", gather(debian().node), config).level == "ok"


def test_trap_08_an_address_that_nobody_saw_move_is_refused_with_the_probe_and_the_default() -> None:
    found = judged("moving-address", gather(debian().node), MOVING)
    assert found.level == "problem"
    assert found.seen == "10.0.24.100 has not answered here from cp-2 10.0.24.29"
    assert found.why == "kube-vip moves it between cp-1, cp-2; many networks filter that"
    for words in ("on cp-2:  sudo ./install vip-probe hold", "vip-probe ask", "default, local", "unproven: true"):
        assert words in found.fix
    unproven = replace(MOVING, endpoint=replace(MOVING.endpoint, unproven=True))
    assert judged("moving-address", gather(debian().node), unproven).level == "warn"
    plan = build_plan(BUNDLE, "cp", unproven, facts(), address=ADDRESS)
    assert any("a proof is not demanded (endpoint.unproven)" in note for note in plan.notes)


def test_trap_08_an_address_that_another_control_plane_answered_for_is_accepted() -> None:
    node = debian().node
    answered = Seen("cp-2", "10.0.24.29", True, "02:00:00:00:00:29", 1_795_000_000)
    proof = Proof("10.0.24.100", "cp-1", ADDRESS, (answered,))
    proof.write(node)
    found = judged("moving-address", gather(node), MOVING)
    assert (found.level, found.seen.startswith("answered by cp-2 from 02:00:00:00:00:29")) == ("ok", True)
    for other, fact in (
        (replace(proof, address="10.0.24.200"), "the record is of 10.0.24.200; cluster.yaml says 10.0.24.100"),
        (replace(proof, name="cp-9"), "the record is of cp-9 10.0.24.31; this machine is cp-1 10.0.24.31"),
        (replace(proof, seen=(replace(answered, name="cp-9"),)), "answered by cp-9 10.0.24.29; the other control"),
        (proof.with_seen(replace(answered, answered=False)), "did not answer here while cp-2 10.0.24.29 held it"),
    ):
        other.write(node)
        refused = judged("moving-address", gather(node), MOVING)
        assert (refused.level, fact in refused.seen) == ("problem", True), refused.seen


def test_trap_09_a_service_is_proven_by_what_it_runs_after_it_read_its_configuration() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    pid = machine.units["containerd.service"].pid
    machine.node.symlink("/usr/bin/containerd", f"/proc/{pid}/exe")
    done = carry_out(machine, cp_plan())
    assert done["services/containerd"].outcome == "changed", "active, but not what was placed"
    assert PAUSE in machine.loaded_config


@pytest.mark.parametrize("minor", MINORS)
def test_trap_11_the_certificate_is_valid_for_every_way_this_node_and_the_endpoint_are_called(minor: int) -> None:
    config = ClusterConfig(endpoint=ApiEndpoint("external", Endpoint("api.plant.example")))
    names = documents(minor, config)["ClusterConfiguration"]["apiServer"]["certSANs"]
    assert {"api.plant.example", "cp-1", ADDRESS, "127.0.0.1", "localhost"} <= set(names)


def test_trap_12_a_joining_node_has_its_images_before_it_joins_and_pulls_nothing() -> None:
    machine, done = Machine(), []
    plan = build_plan(BUNDLE, "worker", ClusterConfig(), facts(), address=ADDRESS, join=join_file())
    for step in plan.steps:
        done.append(step.id)
        if step.id == "kubeadm/join":
            names = {str(image.reference) for image in node_images(BUNDLE.index, "worker", ClusterConfig())}
            assert names <= set(machine.images)
        carry_out(machine, Plan((Phase("one", (step,)),)))
    assert done.index("images/import") < done.index("kubeadm/join")
    document = yaml.safe_load(machine.kubeadm_configs[0])
    assert document["nodeRegistration"]["imagePullPolicy"] == "Never"


def test_trap_12_an_image_that_is_missing_on_one_node_is_named_there() -> None:
    machine = Machine()
    plan = build_plan(BUNDLE, "worker", ClusterConfig(), facts(), address=ADDRESS, join=join_file())
    carry_out(machine, plan)
    del machine.images["registry.k8s.io/kube-proxy:v1.30.14"]
    imports = next(step for step in plan.steps if step.id == "images/import")
    assert imports.check(machine.node).changes == ("import registry.k8s.io/kube-proxy:v1.30.14",)


def test_trap_14_a_runtime_that_wants_another_pause_image_stops_the_install_before_kubeadm() -> None:
    machine = Machine(kubeadm_pause="registry.k8s.io/pause:3.10")
    with pytest.raises(StepError, match="not the same everywhere") as caught:
        carry_out(machine, cp_plan())
    assert len((caught.value.got or "").splitlines()) == 4
    assert not machine.kubeadm_configs
    machine = Machine()
    carry_out(machine, cp_plan())
    machine.images[PAUSE] = StoredName("sha256:" + "0" * 64)
    sandbox = next(step for step in cp_plan().steps if step.id == "runtime/sandbox")
    assert not sandbox.check(machine.node).satisfied


def test_trap_16_an_expired_certificate_key_is_found_before_joining_with_how_to_renew_it() -> None:
    now_seconds = 1_795_000_000
    join = join_file(token_expires_seconds=now_seconds + 9, certificate_key_expires_seconds=now_seconds)
    join = JoinFile.from_text(join.to_text(), where="join.yaml")
    join.demand_usable("worker", now_seconds=now_seconds, where="join.yaml")
    with pytest.raises(InputError, match="the join file has expired") as caught:
        join.demand_usable("cp", now_seconds=now_seconds, where="join.yaml")
    assert "certificateKey" in str(caught.value.where)
    assert "airgap-bundle join-file" in str(caught.value.next_step)


def test_trap_21_coredns_caches_prefetches_and_keeps_denials_short_and_cluster_yaml_says_how() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    written = machine.cluster.configmaps["kube-system/coredns"]["Corefile"]
    for line in ("success 9984 300", "denial 9984 5", "prefetch 100 60s 15%", "class denial error", "lameduck 5s"):
        assert f"        {line}\n" in written
    config = ClusterConfig.from_text("dns: {cache: {denialSeconds: 2}, lameduckSeconds: 9}", where="cluster.yaml")
    carry_out(machine, cp_plan(config=config))
    written = machine.cluster.configmaps["kube-system/coredns"]["Corefile"]
    assert "        denial 9984 2\n" in written
    assert "        lameduck 9s\n" in written


@pytest.mark.parametrize("minor", MINORS)
def test_trap_23_no_minor_s_kubelet_is_given_a_flag_that_it_refuses(minor: int) -> None:
    registration = documents(minor)["InitConfiguration"]["nodeRegistration"]
    assert [name for name in _names(registration["kubeletExtraArgs"]) if name in KUBELET_FLAGS_REFUSED] == []
    assert "pod-infra-container-image" not in kubelet.unit() + kubelet.drop_in() + str(documents(minor))
    with pytest.raises(InputError) as caught:
        ClusterConfig.from_text("extraArgs: {kubelet: {pod-infra-container-image: x}}", where="cluster.yaml")
    assert "the bundle says which pause image" in str(caught.value.got)


@pytest.mark.parametrize("servers", ["", "nameserver 10.0.24.2\n"])
def test_trap_26_coredns_has_its_readiness_port_and_without_an_upstream_nothing_that_would_not_start(
    servers: str,
) -> None:
    machine = Machine()
    machine.node.with_files({"/etc/resolv.conf": servers})
    carry_out(machine, cp_plan())
    plugins = [line.split()[0] for line in machine.cluster.configmaps["kube-system/coredns"]["Corefile"].splitlines()]
    assert {"ready", "health", "reload", "kubernetes", "errors", "loadbalance"} <= set(plugins)
    assert ("forward" in plugins, "loop" in plugins) == (bool(servers), bool(servers))


def test_trap_28_a_value_that_is_higher_already_is_lowered_neither_now_nor_at_boot() -> None:
    machine = Machine()
    machine.load("br_netfilter")
    higher = {key: 2 * least for key, least in kernel.SYSCTL_MINIMUMS.items() if not key.startswith("net.bridge")}
    machine.node.with_files({"/proc/sys/" + key.replace(".", "/"): f"{value}\n" for key, value in higher.items()})
    carry_out(machine, Plan((cp_plan().phases[0],)))
    for key, value in higher.items():
        assert machine.node.read_text("/proc/sys/" + key.replace(".", "/")) == f"{value}\n"
        assert f"{key} =" not in (machine.node.read_text(kernel.SYSCTL_PATH) or "")
    written = [words[3].partition("=")[0] for words in machine.node.ran if words[:2] == ("sysctl", "-q")]
    assert all(key.startswith("net.bridge") for key in written)


def test_trap_31_the_proxy_mode_follows_the_modules_is_told_and_its_modules_stay() -> None:
    machine = Machine()
    plan = cp_plan()
    assert "kube-proxy mode ipvs: this kernel has its modules" in plan.notes
    carry_out(machine, plan)
    configuration = list(yaml.safe_load_all(machine.kubeadm_configs[0]))
    assert next(item for item in configuration if item["kind"] == "KubeProxyConfiguration")["mode"] == "ipvs"
    listed = (machine.node.read_text(kernel.MODULES_PATH) or "").splitlines()[1:]
    assert set(kernel.PROXY_MODULES["ipvs"]) <= set(listed)
    assert set(listed) <= {line.split()[0] for line in (machine.node.read_text("/proc/modules") or "").splitlines()}


def test_trap_31_without_the_modules_auto_is_iptables_and_a_wanted_ipvs_is_refused() -> None:
    without = facts(modules={"ip_vs": "missing"})
    plan = build_plan(BUNDLE, "cp", ClusterConfig(), without, address=ADDRESS)
    assert plan.notes[0].startswith("kube-proxy mode iptables: for ipvs this kernel lacks ip_vs")
    found = gather(debian().node)
    lacking = replace(found, modules=found.modules | {"ip_vs_sh": "missing"})
    wanted = judged("kernel-modules", lacking, ClusterConfig(kube_proxy_mode="ipvs"))
    assert (wanted.level, wanted.seen) == ("problem", "missing ip_vs_sh")
    assert judged("kernel-modules", lacking).level == "ok"


@pytest.mark.parametrize(
    ("own", "first", "level"), [(1500, 1500, "ok"), (1500, 9000, "warn"), (9000, 1500, "warn"), (0, 9000, "ok")]
)
def test_trap_32_a_node_whose_interface_takes_other_packets_than_the_first_is_told(
    own: int, first: int, level: str
) -> None:
    found = gather(debian().node)
    found = replace(found, addresses=tuple(replace(item, mtu_bytes=own) for item in found.addresses))
    index = replace(BUNDLE.index, kubernetes="1.30.14")
    subject = Subject(found, index, "worker", ClusterConfig(), ADDRESS, joins=True, cluster_mtu_bytes=first)
    finding = next(finding for finding in run_checks(subject) if finding.name == "mtu")
    assert finding.level == level
    assert ("packets larger than 1500 vanish" in finding.why) == (level == "warn")


def test_trap_32_the_join_file_says_what_the_first_interface_takes() -> None:
    machine = debian()
    carry_out(machine, build_plan(BUNDLE, "cp", ClusterConfig(), gather(machine.node), address=ADDRESS))
    text = machine.node.read_text(JOIN_PATH) or ""
    assert JoinFile.from_text(text, where=JOIN_PATH).mtu_bytes == 1500
    without = JoinFile.from_text(text.replace("mtu: 1500\n", ""), where=JOIN_PATH)
    assert without.mtu_bytes == 0
    assert "mtu" not in without.to_text()


def test_trap_34_that_a_network_ignores_policies_is_said_before_it_is_installed() -> None:
    assert "NetworkPolicy objects have no effect with flannel" in cp_plan(small_bundle(addons=(FLANNEL,))).notes


def _names(flags: list[dict[str, str]] | dict[str, str]) -> list[str]:
    return [item["name"] for item in flags] if isinstance(flags, list) else list(flags)

"""A whole install on a fake machine: every step ends as wanted, and a second install changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint, ClusterNode
from installer.errors import CommandError, InputError, StepError
from installer.execute import Executor, Phase, Plan, StepResult, look
from installer.facts import KubernetesState, NodeFacts, OsRelease
from installer.join import PATH, JoinFile
from installer.plan import build_plan
from installer.render import containerd, kubeadm
from installer.render.kernel import PROXY_MODULES
from installer.settings import Endpoint
from installer.steps import runtime
from installer.steps.kubeadm import BEGUN_MARK, CONFIG_PATH
from installer.steps.reset import leave_cluster
from tests.fakes.certificate import CA_HASH
from tests.fakes.machine import KERNEL, Machine, StoredName
from tests.fakes.small_bundle import PAUSE, SmallBundle, small_bundle, without_component
from tests.fakes.systemd import Unit

ADDRESS = "10.0.24.31"
CONFIG = ClusterConfig()
CLUSTER = ClusterConfig(endpoint=ApiEndpoint("direct", Endpoint(ADDRESS)), kube_proxy_mode="iptables")

NODES = tuple(ClusterNode(f"cp-{number}", f"10.0.24.3{number}", "cp") for number in (1, 2, 3))
LOCAL = ClusterConfig(nodes=NODES, endpoint=ApiEndpoint("local"), kube_proxy_mode="iptables")


def facts(**changes: Any) -> NodeFacts:
    found = NodeFacts(
        hostname="CP-1",
        machine="x86_64",
        kernel=KERNEL,
        os_release=OsRelease("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
        cgroup_version=2,
        systemd=True,
        effective_uid=0,
        now_seconds=1_795_000_000.0,
        clock_synchronised=False,
        cpus=2,
        memory_bytes=4 * 10**9,
        swaps=(),
        disks={},
        addresses=(),
        has_default_route=False,
        routes=(),
        hosts={},
        machine_id="",
        listening_ports=(),
        modules=dict.fromkeys(PROXY_MODULES["ipvs"], "available"),
        sysctls={},
        tools={},
        firewalls=(),
        packages={},
        runtime=None,
        kubernetes=KubernetesState(()),
        installed=None,
    )
    return replace(found, **changes)


def cp_plan(bundle: SmallBundle | None = None, config: ClusterConfig = CONFIG) -> Plan:
    return build_plan(bundle or small_bundle(), "cp", config, facts(), address=ADDRESS)


def join_file(**changes: Any) -> JoinFile:
    made = JoinFile("v1.30.14", CLUSTER, "abcdef.0123456789abcdef", 1_795_086_400, (CA_HASH,), "cd" * 32, 9)
    return replace(made, **changes)


def carry_out(machine: Machine, plan: Plan) -> dict[str, StepResult]:
    return {result.step_id: result for result in Executor(machine.node, lambda _event: None).run(plan)}


def test_control_plane_is_installed_and_a_second_install_changes_nothing() -> None:
    machine = Machine()
    first = carry_out(machine, cp_plan())
    assert {name for name, result in first.items() if result.outcome != "changed"} == {
        "images/replaced",
        "runtime/registries",
        "runtime/sandbox",
        "cluster/ready",
    }
    assert first["runtime/sandbox"].outcome == "proven"
    assert first["runtime/sandbox"].detail == f"{PAUSE} in 4 of 4 places"
    assert first["cluster/ready"].detail == "cp-1 is registered and waits for a pod network"

    files, ran = machine.node.files(), len(machine.node.ran)
    second = carry_out(machine, cp_plan())
    assert {result.outcome for result in second.values()} == {"as wanted", "proven"}
    assert machine.node.files() == files
    assert not [words for words in machine.changes if words in machine.node.ran[ran:] and words[0] != "modprobe"]


def test_dry_run_looks_only() -> None:
    machine = Machine()
    files = machine.node.files()
    planned = look(cp_plan(), machine.node)
    assert machine.node.files() == files
    assert machine.changes == []
    assert {item.step.id for item in planned if item.check.satisfied} == {"images/replaced", "runtime/registries"}
    assert all(item.check.changes for item in planned if not item.check.satisfied)


def test_every_image_of_the_role_is_imported_once_and_pinned_and_no_other() -> None:
    machine = Machine()
    carry_out(machine, build_plan(small_bundle(), "worker", CONFIG, facts(), address=ADDRESS, join=join_file()))
    names = {name for name in machine.images if "@" not in name}
    assert names == {
        "registry.k8s.io/coredns/coredns:v1.11.3",
        "registry.k8s.io/kube-proxy:v1.30.14",
        "registry.k8s.io/pause:3.9",
    }
    assert all("io.cri-containerd.pinned=pinned" in found.labels for found in machine.images.values())


def test_pause_is_imported_and_pinned_before_a_running_daemon_names_it() -> None:
    machine = Machine()
    named_while_absent: list[str] = []
    started = machine.systemd.started

    def watched(name: str) -> None:
        started(name)
        if name == "containerd.service" and PAUSE in machine.loaded_config and PAUSE not in machine.images:
            named_while_absent.append(name)

    machine.systemd.started = watched
    carry_out(machine, cp_plan())
    assert named_while_absent == []
    imports = [words for words in machine.node.ran if "import" in words]
    labels = [words for words in machine.node.ran if "label" in words]
    assert labels[0][-2] == PAUSE
    assert machine.node.ran.index(labels[0]) < machine.node.ran.index(
        imports[0], machine.node.ran.index(imports[0]) + 1
    )


def test_worker_joins_without_secrets_in_any_argv() -> None:
    machine, join = Machine(), join_file()
    done = carry_out(machine, build_plan(small_bundle(), "worker", CONFIG, facts(), address=ADDRESS, join=join))
    assert "cluster/join-file" not in done
    assert done["kubeadm/join"].detail == f"joined {ADDRESS}:6443"
    assert "certificateKey" not in machine.kubeadm_configs[0]
    assert not [word for words in machine.node.ran for word in words if join.token in word]
    assert machine.node.stat(CONFIG_PATH) is None


def test_further_control_plane_joins_with_the_certificate_key() -> None:
    machine = Machine()
    carry_out(machine, build_plan(small_bundle(), "cp", CONFIG, facts(), address="10.0.24.32", join=join_file()))
    assert f"certificateKey: '{'cd' * 32}'" in machine.kubeadm_configs[0].replace('"', "'") or (
        f"certificateKey: {'cd' * 32}" in machine.kubeadm_configs[0]
    )
    assert "advertiseAddress: 10.0.24.32" in machine.kubeadm_configs[0]


def test_join_file_is_private_and_carries_what_the_cluster_says() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    found = machine.node.stat(PATH)
    assert found is not None
    assert found.mode == 0o600
    join = JoinFile.from_text(machine.node.read_text(PATH) or "", where=PATH)
    assert join.ca_cert_hashes == (CA_HASH,)
    assert str(join.endpoint) == f"{ADDRESS}:6443"
    assert join.token_expires_seconds == int(machine.node.clock_seconds) + 24 * 3600
    assert join.certificate_key_expires_seconds == int(machine.node.clock_seconds) + 2 * 3600
    everything = [word for words in machine.node.ran for word in words]
    assert not [word for word in everything if join.token in word or str(join.certificate_key) in word]
    left = {path for path, data in machine.node.files().items() if join.token.encode() in data}
    assert left == {PATH}


def test_join_file_is_renewed_when_its_token_has_ended_and_only_then() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    old = machine.node.read_bytes(PATH)
    machine.node.clock_seconds += 25 * 3600
    done = carry_out(machine, cp_plan())
    assert {name for name, result in done.items() if result.outcome == "changed"} == {"cluster/join-file"}
    assert machine.node.read_bytes(PATH) != old


_GAVE_UP = "error execution phase wait-control-plane: could not initialize a Kubernetes cluster"


def test_a_kubeadm_that_gave_up_before_its_time_is_asked_to_go_on_waiting() -> None:
    """That of 1.30 waits four minutes, whatever it is told."""
    config = replace(CONFIG, timeouts=replace(CONFIG.timeouts, control_plane_seconds=1200))
    machine = Machine(fail_kubeadm_once=True, kubeadm_failure=_GAVE_UP)
    done = carry_out(machine, cp_plan(config=config))
    assert done["kubeadm/init"].outcome == "changed"
    attempts = [words for words in machine.node.ran if words[1:2] == ("init",) and "--config" in words]
    assert ["--ignore-preflight-errors" in words[-1] for words in attempts[:2]] == [False, True]


def test_a_join_that_ends_at_an_answer_that_is_late_goes_on() -> None:
    late = "error execution phase kubelet-start: error uploading crisocket: context deadline exceeded"
    machine = Machine(fail_kubeadm_once=True, kubeadm_failure=late)
    done = carry_out(machine, build_plan(small_bundle(), "worker", CONFIG, facts(), address=ADDRESS, join=join_file()))
    assert done["kubeadm/join"].outcome == "changed"


_PROMOTED = (
    "error execution phase control-plane-join/etcd: error creating local etcd static pod manifest file: etcdserver: "
    "can only promote a learner member\nTo see the stack trace of this error execute with --v=5 or higher\n"
)


def _joining(role: str = "cp") -> Plan:
    return build_plan(small_bundle(), role, CONFIG, facts(), address=ADDRESS, join=join_file())


def test_a_join_whose_etcd_member_was_promoted_without_its_hearing_of_it_goes_on() -> None:
    """The answer came late; kubeadm asks again, is told the member is no learner any more, and takes that for a no."""
    machine = Machine(fail_kubeadm_once=True, kubeadm_failure=_PROMOTED)
    assert carry_out(machine, _joining())["kubeadm/join"].outcome == "changed"


def test_a_join_goes_on_although_the_node_of_the_first_attempt_is_ready() -> None:
    """kubeadm refuses to join where a Ready node has the name: its kubelet is stopped until the API knows."""
    machine = Machine(fail_kubeadm_once=True, fail_kubeadm_late=True, kubeadm_failure=_PROMOTED, ready="True")
    done = carry_out(machine, _joining())
    assert done["kubeadm/join"].outcome == "changed"
    assert machine.units["kubelet.service"].pid != 0, "kubeadm starts it again"


def test_a_ready_node_of_the_same_name_elsewhere_is_not_joined_over() -> None:
    machine = Machine(ready="True", registered_at_seconds=0.0)
    machine.units["kubelet.service"] = Unit(stopped_at_seconds=float("inf"))  # another machine's reports
    with pytest.raises(CommandError, match="kubeadm failed") as caught:
        carry_out(machine, _joining("worker"))
    assert "already exists in the cluster" in (caught.value.got or "")
    assert not [words for words in machine.node.ran if words[:2] == ("systemctl", "stop")]


def test_a_kubeadm_whose_time_is_up_is_not_asked_again() -> None:
    machine = Machine(fail_kubeadm_once=True, kubeadm_failure=_GAVE_UP)
    with pytest.raises(CommandError):
        carry_out(machine, cp_plan())


def test_kubeadm_that_stopped_half_way_goes_on_over_its_own_leftovers() -> None:
    machine = Machine(fail_kubeadm_once=True)
    with pytest.raises(CommandError, match="kubeadm failed"):
        carry_out(machine, cp_plan())
    assert machine.node.stat(BEGUN_MARK) is not None
    assert machine.node.stat(CONFIG_PATH) is None, "the secrets are gone even when kubeadm fails"
    done = carry_out(machine, cp_plan())
    assert done["kubeadm/init"].outcome == "changed"
    assert machine.node.stat(BEGUN_MARK) is None
    again = [words for words in machine.node.ran if words[1] == "init"][1]
    assert "FileAvailable--etc-kubernetes-pki-ca.crt" in again[-1]


def test_someone_elses_cluster_is_not_initialised_over() -> None:
    machine = Machine()
    machine.node.with_files({"/etc/kubernetes/pki/ca.crt": "theirs"})
    with pytest.raises(CommandError, match="kubeadm failed"):
        carry_out(machine, cp_plan())


def test_a_kubeadm_that_wants_another_pause_image_stops_the_install_with_all_four_answers() -> None:
    machine = Machine(kubeadm_pause="registry.k8s.io/pause:3.10")
    with pytest.raises(StepError) as caught:
        carry_out(machine, cp_plan())
    assert (caught.value.got or "").splitlines() == [
        "kubeadm config images list  registry.k8s.io/pause:3.10",
        f"containerd config dump      {PAUSE}",
        f"CRI status                  {PAUSE}",
        f"image store                 {PAUSE}",
    ]
    assert not machine.kubeadm_configs, "kubeadm must not run"


def test_interrupted_between_configuration_and_restart_the_daemon_restarts_next_time() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    machine.node.with_files({runtime.RESTART_MARK: ""})
    machine.loaded_config = ""
    done = carry_out(machine, cp_plan())
    assert {name for name, result in done.items() if result.outcome == "changed"} == {"runtime/config"}
    assert PAUSE in machine.loaded_config


def test_a_daemon_that_does_not_start_gets_its_old_configuration_back() -> None:
    machine = Machine()
    theirs = 'version = 2\nroot = "/var/lib/containerd"\n'
    machine.node.with_files({containerd.CONFIG_PATH: theirs})
    plan = cp_plan()
    carry_out(machine, Plan((*plan.phases[:2], replace(plan.phases[2], steps=plan.phases[2].steps[:2]))))
    machine.systemd.fail_restart_of = "containerd.service"
    with pytest.raises(CommandError):
        carry_out(machine, plan)
    assert machine.node.read_text(containerd.CONFIG_PATH) == theirs
    assert machine.loaded_config == theirs
    carry_out(machine, plan)
    assert machine.node.read_text(runtime.KEPT_CONFIG) == theirs
    assert PAUSE in machine.loaded_config


def test_an_image_that_is_there_under_another_digest_is_imported_again() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    wrong = "registry.k8s.io/etcd:3.5.15-0"
    machine.images[wrong] = StoredName("sha256:" + "0" * 64)
    done = carry_out(machine, cp_plan())
    assert done["images/import"].detail.startswith("1 image,")
    assert machine.images[wrong].digest != "sha256:" + "0" * 64


def test_an_image_without_all_its_content_is_imported_again_and_an_unpinned_one_only_pinned() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    machine.images["registry.k8s.io/etcd:3.5.15-0"].whole = False
    machine.images["registry.k8s.io/kube-proxy:v1.30.14"].labels = []
    imports = len([words for words in machine.node.ran if "import" in words])
    carry_out(machine, cp_plan())
    assert len([words for words in machine.node.ran if "import" in words]) == imports + 1
    assert machine.images["registry.k8s.io/etcd:3.5.15-0"].whole
    assert "io.cri-containerd.pinned=pinned" in machine.images["registry.k8s.io/kube-proxy:v1.30.14"].labels


def test_a_changed_binary_is_placed_again() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    machine.node.write_file("/usr/local/bin/ctr", b"tampered", mode=0o755)
    machine.node.write_file("/usr/local/bin/kubectl", b"#!kubectl 1.30.14\n", mode=0o700)
    done = carry_out(machine, cp_plan())
    changed = {name for name, result in done.items() if result.outcome == "changed"}
    assert changed == {"files/containerd", "files/kubectl"}
    assert machine.node.read_bytes("/usr/local/bin/ctr") == b"ctr"


def test_a_node_that_never_registers_fails_with_what_the_cluster_says() -> None:
    machine = Machine(registers_in_seconds=1e9)
    with pytest.raises(StepError) as caught:
        carry_out(machine, cp_plan())
    assert "NotFound" in (caught.value.got or "")


def test_a_slow_node_is_waited_for() -> None:
    machine = Machine(registers_in_seconds=200, ready="True")
    ready = carry_out(machine, cp_plan())["cluster/ready"]
    assert (ready.outcome, ready.detail) == ("changed", "cp-1 is Ready")


def test_not_ready_for_another_reason_than_the_network_is_a_failure() -> None:
    machine = Machine(ready_message="PLEG is not healthy")
    with pytest.raises(StepError, match="cluster/ready"):
        carry_out(machine, cp_plan())


def test_leaving_leaves_no_cluster_and_the_node_can_be_installed_again() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    carry_out(machine, Plan((Phase("reset", leave_cluster()),)))
    assert machine.node.stat(PATH) is None
    assert machine.node.stat(kubeadm.ADMIN_KUBECONFIG) is None
    assert {result.outcome for result in carry_out(machine, Plan((Phase("reset", leave_cluster()),))).values()} == {
        "as wanted"
    }
    done = carry_out(machine, cp_plan())
    assert {name for name, result in done.items() if result.outcome == "changed"} == {
        "kubeadm/node-settings",
        "kubeadm/init",
        "dns/coredns",
        "cluster/join-file",
    }


def test_plan_refuses_what_cannot_become_a_node() -> None:
    with pytest.raises(InputError, match="a worker joins"):
        build_plan(small_bundle(), "worker", CONFIG, facts(), address=ADDRESS)
    with pytest.raises(InputError, match="another platform"):
        build_plan(small_bundle(), "cp", CONFIG, facts(machine="aarch64"), address=ADDRESS)
    with pytest.raises(InputError, match="no containerd"):
        cp_plan(without_component(small_bundle(), "containerd"))

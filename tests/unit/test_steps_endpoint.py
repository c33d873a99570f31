"""The local endpoint: the hosts file keeps every other line, and HAProxy answers before kubeadm asks. Traps 8, 9."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from installer.agreement import settled
from installer.config import ClusterConfig
from installer.endpoint import ApiEndpoint
from installer.errors import InputError, StepError
from installer.execute import Phase, Plan
from installer.facts import Address
from installer.plan import build_plan
from installer.render import haproxy, hosts, kube_vip
from installer.settings import Endpoint
from installer.steps.endpoint import BRIDGE, EndpointServed, NoBridge
from tests.fakes.machine import Machine
from tests.fakes.small_bundle import small_bundle
from tests.unit.test_plan import ADDRESS, LOCAL, NODES, carry_out, cp_plan, facts, join_file

SOCKET = "/run/containerd/containerd.sock"
ENTRY = (("127.0.0.1", "k8s-api"),)
LINES = st.lists(st.binary(max_size=20).filter(lambda line: b"airgap-bundle" not in line), max_size=6)


def joining(role: str = "worker") -> Plan:
    return build_plan(small_bundle(), role, LOCAL, facts(), address="10.0.24.32", join=join_file(cluster=LOCAL))


@given(LINES, LINES)
def test_every_line_outside_the_block_stays_byte_for_byte(before: list[bytes], after: list[bytes]) -> None:
    head, tail = b"".join(line + b"\n" for line in before), b"\n".join(after)
    first = hosts.with_block(head, ENTRY) + tail
    changed = hosts.with_block(first, (("10.0.0.9", "other"),))
    assert changed.startswith(head)
    assert changed.endswith(hosts.END + b"\n" + tail)
    assert hosts.with_block(changed, ENTRY) == first


def test_a_block_is_added_once_and_a_cut_one_is_mended() -> None:
    text = hosts.with_block(b"127.0.0.1 localhost", ENTRY)
    assert text.startswith(b"127.0.0.1 localhost\n# airgap-bundle begin")
    assert hosts.with_block(text, ENTRY) == text
    cut = text.replace(hosts.END + b"\n", b"") + b"10.0.0.1 mine\n"
    assert hosts.with_block(cut, ENTRY).endswith(b"127.0.0.1\tk8s-api\n10.0.0.1 mine\n")


def test_the_first_control_plane_lets_the_kubelet_serve_its_endpoint() -> None:
    machine = Machine()
    done = carry_out(machine, cp_plan(config=LOCAL))
    assert done["endpoint/served"].detail == "listening on 127.0.0.1:16443"
    assert "endpoint/before-join" not in done
    assert "controlPlaneEndpoint: k8s-api:16443" in machine.kubeadm_configs[0]
    assert {result.outcome for result in carry_out(machine, cp_plan(config=LOCAL)).values()} == {"as wanted", "proven"}


@pytest.mark.parametrize("role", ["cp", "worker"])
def test_a_joining_node_reaches_the_api_before_its_kubelet_and_after(role: str) -> None:
    machine = Machine()
    done = carry_out(machine, joining(role))
    assert done["endpoint/before-join"].detail == "listening on 127.0.0.1:16443, by containerd alone"
    assert done["kubeadm/join"].detail == "joined k8s-api:16443"
    assert machine.containers == {}
    assert {result.outcome for result in carry_out(machine, joining(role)).values()} == {"as wanted", "proven"}


def test_a_join_that_failed_leaves_a_haproxy_that_the_next_one_uses() -> None:
    machine = Machine(fail_kubeadm_once=True)
    with pytest.raises(Exception, match="kubeadm failed"):
        carry_out(machine, joining())
    assert machine.containers == {BRIDGE: True}
    assert carry_out(machine, joining())["endpoint/before-join"].outcome == "as wanted"
    assert machine.containers == {}


def test_a_container_without_a_task_is_in_nobodys_way() -> None:
    machine = Machine(fail_kubeadm_once=True)
    with pytest.raises(Exception, match="kubeadm failed"):
        carry_out(machine, joining())
    machine.containers[BRIDGE] = False  # as after a reboot
    machine.listen()
    assert carry_out(machine, joining())["endpoint/before-join"].outcome == "changed"


def test_trap_9_a_port_that_nobody_listens_on_is_a_failure_whatever_runs() -> None:
    machine = Machine()
    step = EndpointServed(16443, SOCKET, 60)
    carry_out(machine, cp_plan())
    began = machine.node.now_seconds()
    with pytest.raises(StepError, match="endpoint/served"):
        carry_out(machine, Plan((Phase("endpoint", (step,)),)))
    assert 60 <= machine.node.now_seconds() - began < 70


def test_reset_takes_the_haproxy_of_a_failed_join_away() -> None:
    machine = Machine(fail_kubeadm_once=True)
    with pytest.raises(Exception, match="kubeadm failed"):
        carry_out(machine, joining())
    step = NoBridge(SOCKET)
    assert not step.check(machine.node).satisfied
    step.apply(machine.node)
    assert step.check(machine.node).satisfied


def test_another_configuration_is_another_pod_and_no_container_of_it_is_privileged() -> None:
    one, other = (haproxy.config(LOCAL.control_planes[:count], 16443) for count in (2, 3))
    assert haproxy.pod("x:1", one, 16443) != haproxy.pod("x:1", other, 16443)
    spec = yaml.safe_load(haproxy.pod("x:1", one, 16443))["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    (container,) = spec["containers"]
    assert container["imagePullPolicy"] == "Never"
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in container["securityContext"]


def test_a_bundle_without_the_image_says_so() -> None:
    bundle = small_bundle()
    images = tuple(image for image in bundle.index.images if image.purpose != "haproxy")
    object.__setattr__(bundle.index, "images", images)
    with pytest.raises(InputError, match="no image of haproxy"):
        build_plan(bundle, "cp", LOCAL, facts(), address=ADDRESS)


MOVING = ClusterConfig(nodes=NODES, endpoint=ApiEndpoint("kube-vip", Endpoint("10.0.24.100")))


def test_kube_vip_starts_with_the_rights_of_before_the_cluster_and_ends_with_admin_s() -> None:
    machine = Machine()
    first: list[str] = []
    script = machine._init_or_join

    def watched(words: tuple[str, ...], document: dict[str, Any]) -> Any:
        first.append(machine.node.read_text(kube_vip.MANIFEST_PATH) or "")
        return script(words, document)

    machine._init_or_join = watched  # type: ignore[method-assign]
    done = carry_out(machine, cp_plan(config=MOVING))
    assert "path: /etc/kubernetes/super-admin.conf" in first[0]
    assert "path: /etc/kubernetes/admin.conf" in (machine.node.read_text(kube_vip.MANIFEST_PATH) or "")
    assert done["endpoint/pod-rights"].outcome == "changed"
    assert "controlPlaneEndpoint: 10.0.24.100:6443" in machine.kubeadm_configs[0]
    assert {result.outcome for result in carry_out(machine, cp_plan(config=MOVING)).values()} == {"as wanted", "proven"}


def test_kube_vip_is_on_control_planes_only_and_uses_the_interface_of_the_node_s_address() -> None:
    addresses = (Address("10.0.99.1", 24, "eth0"), Address("10.0.24.32", 24, "bond0"))
    cluster = settled(MOVING, address=ADDRESS, proxy_mode="iptables")
    for role, there in (("cp", True), ("worker", False)):
        machine = Machine()
        plan = build_plan(
            small_bundle(),
            role,
            cluster,
            facts(addresses=addresses),
            address="10.0.24.32",
            join=join_file(cluster=cluster),
        )
        carry_out(machine, plan)
        text = machine.node.read_text(kube_vip.MANIFEST_PATH)
        assert (text is not None) is there
        assert text is None or ("value: bond0" in text and "super-admin" not in text)

"""What is read from certificates and from the cluster, and what only this node's kubelet is told."""

from __future__ import annotations

import base64
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from installer.certificates import ca_cert_hashes
from installer.errors import FormatError, StepError
from installer.join import PATH
from installer.render import kubeadm as render
from installer.render import resolver
from installer.render.kubelet import NodeShape
from installer.steps.cluster import NodeReady
from installer.steps.kubeadm import KubeletNodeSettings, new_token
from tests.fakes.certificate import CA_HASH, CA_PEM, EC_HASH, EC_PEM
from tests.fakes.machine import Machine
from tests.fakes.node import FakeNode
from tests.unit.test_plan import carry_out, cp_plan

READY = NodeReady("cp-1", render.ADMIN_KUBECONFIG, 60)
ASKED = ["/usr/local/bin/kubectl", "--kubeconfig", render.ADMIN_KUBECONFIG, "get", "node", "cp-1", "-o", "json"]


@pytest.mark.parametrize(("pem", "hashes"), [(CA_PEM, (CA_HASH,)), (EC_PEM, (EC_HASH,))])
def test_the_ca_hash_is_openssl_s(pem: str, hashes: tuple[str, ...]) -> None:
    assert ca_cert_hashes(pem, where="ca.crt") == hashes


def test_several_certificates_give_several_hashes() -> None:
    assert ca_cert_hashes(f"# rotated\n{CA_PEM}\n{EC_PEM}", where="ca.crt") == (CA_HASH, EC_HASH)


@pytest.mark.parametrize("pem", ["", "no certificate", CA_PEM[:400], CA_PEM.replace("MIID", "AAAA")])
def test_what_is_no_certificate_is_refused(pem: str) -> None:
    with pytest.raises(FormatError, match="not a certificate"):
        ca_cert_hashes(pem, where="ca.crt")


@given(st.binary(max_size=200))
def test_any_bytes_give_hashes_or_a_format_error(data: bytes) -> None:
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(data).decode()}\n-----END CERTIFICATE-----\n"
    try:
        assert ca_cert_hashes(pem, where="ca.crt")
    except FormatError as error:
        assert error.where == "ca.crt"


def test_tokens_have_kubeadm_s_form_and_differ() -> None:
    made = {new_token() for _ in range(50)}
    assert len(made) == 50
    assert all(len(token) == 23 and token[6] == "." and token.replace(".", "").isalnum() for token in made)


@pytest.mark.parametrize(
    ("condition", "satisfied", "detail"),
    [
        ({"status": "True", "message": ""}, True, "cp-1 is Ready"),
        (
            {"status": "False", "message": "container runtime network not ready: cni plugin not initialized"},
            True,
            "cp-1 is registered and waits for a pod network",
        ),
        ({"status": "False", "message": "PLEG is not healthy"}, False, "Ready is False: PLEG is not healthy"),
        (
            {"status": "Unknown", "message": "Kubelet stopped posting"},
            False,
            "Ready is Unknown: Kubelet stopped posting",
        ),
    ],
)
def test_ready_as_far_as_it_can_be(condition: dict[str, str], satisfied: bool, detail: str) -> None:
    document = {"status": {"conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready"} | condition]}}
    found = READY.check(FakeNode().script(ASKED, json.dumps(document)))
    assert (found.satisfied, found.detail) == (satisfied, detail)


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"status": {}}', '{"status": {"conditions": []}}'])
def test_a_node_without_conditions_is_not_ready(answer: str) -> None:
    assert not READY.check(FakeNode().script(ASKED, answer)).satisfied


def test_an_api_that_does_not_answer_is_waited_for_and_then_told() -> None:
    node = FakeNode().script(ASKED, "", code=1, stderr="The connection to the server was refused")
    began = node.now_seconds()
    assert READY.apply(node) == "The connection to the server was refused"
    assert 60 <= node.now_seconds() - began < 70


def test_a_join_file_readable_by_others_or_of_another_cluster_is_made_anew() -> None:
    machine = Machine()
    carry_out(machine, cp_plan())
    good = machine.node.read_bytes(PATH) or b""
    for data, mode in ((good, 0o644), (good.replace(CA_HASH.encode(), EC_HASH.encode()), 0o600), (b"junk: [", 0o600)):
        machine.node.write_file(PATH, data, mode=mode)
        done = carry_out(machine, cp_plan())
        assert {name for name, result in done.items() if result.outcome == "changed"} == {"cluster/join-file"}


def test_a_cluster_that_does_not_say_when_its_token_ends_gives_no_join_file() -> None:
    machine = Machine()
    machine._kubectl_secret = lambda name: ""  # type: ignore[method-assign]
    with pytest.raises(StepError, match="does not say when a token ends"):
        carry_out(machine, cp_plan())
    assert machine.node.stat(PATH) is None


SHAPE = NodeShape(2, 2**32, 2)


def _patch(node: FakeNode) -> dict[str, object]:
    found = yaml.safe_load(node.read_text(render.KUBELET_PATCH_PATH) or "")
    assert isinstance(found, dict)
    return found


def test_a_node_without_any_resolver_file_gets_one_of_ours() -> None:
    node, step = FakeNode(), KubeletNodeSettings("10.0.24.31", 30, SHAPE)
    assert len(step.check(node).changes) == 2
    step.apply(node)
    assert _patch(node)["resolvConf"] == resolver.OWN_PATH
    assert _patch(node)["systemReserved"] == {"cpu": "50m", "memory": "145Mi"}
    assert step.check(node).satisfied
    node.remove(resolver.OWN_PATH)
    assert not step.check(node).satisfied


def test_the_resolver_file_stays_as_it_was_chosen_as_long_as_it_is_there() -> None:
    node, step = FakeNode(), KubeletNodeSettings("10.0.24.31", 30, SHAPE)
    node.with_files({"/etc/resolv.conf": "nameserver 10.0.0.2\n"})
    step.apply(node)
    assert _patch(node)["resolvConf"] == "/etc/resolv.conf"
    node.with_files({"/etc/resolv.conf": ""})
    assert step.check(node).satisfied, "the running kubelet uses it"
    node.remove("/etc/resolv.conf")
    assert not step.check(node).satisfied


def test_patches_of_the_operator_lie_beside_ours_and_go_when_they_are_no_longer_wanted() -> None:
    node = FakeNode().with_files({"/etc/resolv.conf": "nameserver 10.0.0.2\n"})
    patched = KubeletNodeSettings("10.0.24.31", 30, SHAPE, patches={"etcd": {"spec": {"priority": 1}}})
    path = f"{render.PATCHES_DIR}/etcd1+strategic.yaml"
    assert f"write {path}" in patched.check(node).changes
    patched.apply(node)
    assert patched.check(node).satisfied
    assert yaml.safe_load(node.read_text(path) or "") == {"spec": {"priority": 1}}
    bare = KubeletNodeSettings("10.0.24.31", 30, SHAPE)
    assert bare.check(node).changes == (f"remove {path}",)
    bare.apply(node)
    assert bare.check(node).satisfied
    assert node.list_dir(render.PATCHES_DIR) == ("kubeletconfiguration0+merge.yaml",)

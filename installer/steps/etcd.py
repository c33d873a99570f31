"""The etcd member that a failed join left, removed before the next one. Asked with the certificates that join left."""

from __future__ import annotations

from dataclasses import dataclass

from installer import probes
from installer.etcd import CLIENT_PORT, PEER_PORT, Verdict, find_ghost, read_members
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.settings import Endpoint
from installer.steps.kubeadm import BEGUN_MARK, MANIFESTS_DIR

ETCDCTL = "/usr/local/bin/etcdctl"
PKI = "/etc/kubernetes/pki/etcd"
CERTIFICATES = (f"{PKI}/ca.crt", f"{PKI}/healthcheck-client.crt", f"{PKI}/healthcheck-client.key")
DATA = "/var/lib/etcd/member"
_MANIFEST = f"{MANIFESTS_DIR}/etcd.yaml"
_REMOVE_TIMEOUT_SECONDS = 120.0
_STOP_SECONDS = 120.0
_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class NoGhostMember:
    """No member in etcd that an earlier attempt of this node announced and never finished.

    ``addresses`` are the other control planes', which are asked.
    """

    name: str
    address: str
    addresses: tuple[str, ...]
    id: str = "etcd/no-ghost"
    title: str = "no etcd member left by a join that failed"

    def check(self, view: NodeView) -> CheckResult:
        """Only after an attempt that did not end is there anything to find, and only then are there certificates."""
        if view.stat(BEGUN_MARK) is None:
            return CheckResult(True, "no earlier attempt")
        verdict = self._verdict(view)
        if verdict is None:
            return CheckResult(True, "etcd cannot be asked; kubeadm will")
        if verdict.ghost is not None:
            return CheckResult(False, verdict.why, (f"remove etcd member {verdict.ghost}", f"remove {DATA}"))
        if not verdict.is_listed and view.stat(DATA) is not None:
            return CheckResult(False, "data of a member that is none any more", (f"remove {DATA}",))
        return CheckResult(True, verdict.why)

    def apply(self, node: Node) -> str:
        """Stops this node's etcd, removes its data, and the member last: cut off before, the next run finds it."""
        verdict = self._verdict(node)
        node.remove(_MANIFEST)
        self._wait_for_end(node)
        node.remove_tree(DATA)
        if verdict is None or verdict.ghost is None:
            return f"removed {DATA}"
        argv = [*self._etcdctl(), "member", "remove", verdict.ghost.hex_id]
        node.run(argv, timeout_seconds=_REMOVE_TIMEOUT_SECONDS)
        return f"removed etcd member {verdict.ghost}, left by a join that failed"

    def _etcdctl(self) -> tuple[str, ...]:
        endpoints = ",".join(f"https://{Endpoint(address, CLIENT_PORT)}" for address in self.addresses)
        authority, certificate, key = CERTIFICATES
        secured = ("--cacert", authority, "--cert", certificate, "--key", key)
        return (ETCDCTL, "--endpoints", endpoints, *secured)

    def _verdict(self, view: NodeView) -> Verdict | None:
        if not self.addresses or any(view.stat(path) is None for path in CERTIFICATES):
            return None
        said = view.query([*self._etcdctl(), "member", "list", "-w", "json"])
        if not said.ok:
            return None
        peer_url = f"https://{Endpoint(self.address, PEER_PORT)}"
        return find_ghost(read_members(said.stdout), name=self.name, peer_url=peer_url)

    def _wait_for_end(self, node: Node) -> None:
        ends_seconds = node.now_seconds() + _STOP_SECONDS
        while CLIENT_PORT in probes.listening_ports(node) and node.now_seconds() < ends_seconds:
            node.sleep(_POLL_SECONDS)

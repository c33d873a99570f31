"""Steps that ask the cluster: the join file for further nodes, and this node's readiness."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass

from installer import probes
from installer.agreement import settled, shared_document
from installer.certificates import ca_cert_hashes
from installer.config import ClusterConfig
from installer.errors import InputError, StepError
from installer.execute import CheckResult
from installer.join import PATH, JoinFile, parse_time, spoken_time
from installer.node import CommandResult, Node, NodeView
from installer.render import kubeadm as render
from installer.steps.kubeadm import CONFIG_PATH, KUBEADM, new_token, run_with_config
from installer.steps.waiting import wait_for

KUBECTL = "/usr/local/bin/kubectl"
CA_PATH = "/etc/kubernetes/pki/ca.crt"
_MARGIN_SECONDS = 120.0
_NETWORK_MISSING = ("cni plugin not initialized", "networkready=false", "network plugin is not ready")
"""What the kubelet's Ready condition says while nothing but a pod network is missing."""


@dataclass(frozen=True)
class WriteJoinFile:
    """``join.yaml`` with a fresh token and certificate key, as long as the one there cannot be used any more."""

    config: ClusterConfig
    node: render.NodeIdentity
    kubernetes: str
    proxy_mode: str
    id: str = "cluster/join-file"
    title: str = f"{PATH} for joining nodes"

    def check(self, view: NodeView) -> CheckResult:
        """A join file of this very cluster is there, private, and its token has not ended."""
        text, found = view.read_text(PATH), view.stat(PATH)
        if text is None or found is None:
            return CheckResult(False, "none yet", (f"write {PATH}",))
        try:
            join = JoinFile.from_text(text, where=PATH)
        except InputError as error:
            return CheckResult(False, error.message, (f"write {PATH}",))
        if join.token_expires_seconds <= view.now_seconds():
            return CheckResult(False, "its token has ended", (f"renew {PATH}",))
        pem = view.read_text(CA_PATH)
        ours = pem is not None and join.ca_cert_hashes == ca_cert_hashes(pem, where=CA_PATH)
        if not ours or found.mode & 0o777 != 0o600:
            return CheckResult(False, "of another cluster, or readable by others", (f"write {PATH}",))
        if shared_document(join.cluster) != shared_document(self._cluster):
            return CheckResult(False, "of an earlier cluster.yaml", (f"write {PATH}",))
        return CheckResult(True, f"valid until {spoken_time(join.token_expires_seconds)}")

    def apply(self, node: Node) -> str:
        """Has kubeadm make the token and lay down the certificates, reads back when each ends, writes the file."""
        credentials = render.Credentials(new_token(), self.config.token_ttl_seconds, secrets.token_hex(32))
        config = render.init_config(
            self.config, self.node, self.kubernetes, proxy_mode=self.proxy_mode, credentials=credentials
        )
        patience_seconds = self.config.timeouts.api_call_seconds * 5 + _MARGIN_SECONDS
        hidden = (credentials.token, credentials.certificate_key or "")
        token_create = [KUBEADM, "token", "create", "--config", CONFIG_PATH]
        upload = [KUBEADM, "init", "phase", "upload-certs", "--upload-certs", "--skip-certificate-key-print"]
        for argv in (token_create, [*upload, "--config", CONFIG_PATH]):
            run_with_config(node, argv, config, secrets_=hidden, timeout_seconds=patience_seconds)
        join = self._read_back(node, credentials)
        node.write_file(PATH, join.to_text().encode(), mode=0o600)
        return f"valid until {spoken_time(join.token_expires_seconds)}"

    @property
    def _cluster(self) -> ClusterConfig:
        return settled(self.config, address=self.node.address, proxy_mode=self.proxy_mode)

    def _read_back(self, node: Node, credentials: render.Credentials) -> JoinFile:
        token_id = credentials.token.partition(".")[0]
        owner = _get(node, "secret", "kubeadm-certs", "{.metadata.ownerReferences[0].name}")
        return JoinFile(
            kubernetes=f"v{self.kubernetes}",
            cluster=self._cluster,
            token=credentials.token,
            token_expires_seconds=_expiry(node, f"bootstrap-token-{token_id}"),
            ca_cert_hashes=ca_cert_hashes(node.read_text(CA_PATH) or "", where=CA_PATH),
            certificate_key=credentials.certificate_key,
            certificate_key_expires_seconds=_expiry(node, owner),
            mtu_bytes=next((row[3] for row in probes.addresses(node) if row[0] == self.node.address), 0),
        )


@dataclass(frozen=True)
class NodeReady:
    """This node is registered and Ready; without ``has_network``, as far as it can be before there is a pod network.

    ``has_network`` says that the bundle brings the cluster's pod network.
    """

    name: str
    kubeconfig: str
    timeout_seconds: float
    has_network: bool = False
    id: str = "cluster/ready"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"node {self.name} registered and Ready"

    def check(self, view: NodeView) -> CheckResult:
        """The API knows the node, and its kubelet says Ready, or misses only a pod network that others bring."""
        said = _get_node(view, self.kubeconfig, self.name)
        if not said.ok:
            return CheckResult(False, _last_line(said), (self.title,))
        status, message = _ready_condition(said.stdout)
        if status == "True":
            return CheckResult(True, f"{self.name} is Ready")
        if not self.has_network and any(sign in message.lower() for sign in _NETWORK_MISSING):
            return CheckResult(True, f"{self.name} is registered and waits for a pod network")
        return CheckResult(False, f"Ready is {status or 'not said yet'}: {message}"[:400], (self.title,))

    def apply(self, node: Node) -> str:
        """Waits; whatever is still missing is what the check says afterwards."""
        return wait_for(self.check, node, self.timeout_seconds)


@dataclass(frozen=True)
class NodeRegistered:
    """The API knows this node: there is something that the pods of a pod network can run on."""

    name: str
    kubeconfig: str
    timeout_seconds: float
    id: str = "cluster/registered"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"node {self.name} registered"

    def check(self, view: NodeView) -> CheckResult:
        """The API has the Node object."""
        said = _get_node(view, self.kubeconfig, self.name)
        return CheckResult(True, self.name) if said.ok else CheckResult(False, _last_line(said), (self.title,))

    def apply(self, node: Node) -> str:
        """Waits; whatever is still missing is what the check says afterwards."""
        return wait_for(self.check, node, self.timeout_seconds)


@dataclass(frozen=True)
class KubeProxyAsMade:
    """kube-proxy is in the cluster or not, as ``wanted``: only where a pod network can do its work is that a choice."""

    wanted: bool
    id: str = "cluster/kube-proxy"

    @property
    def title(self) -> str:
        """What is wanted."""
        return "kube-proxy leads to Services" if self.wanted else "no kube-proxy: the pod network leads to Services"

    def check(self, view: NodeView) -> CheckResult:
        """Whether the cluster has its configuration, by which kubeadm itself tells."""
        argv = [KUBECTL, "--kubeconfig", render.ADMIN_KUBECONFIG, "get", "configmap", "kube-proxy", "-n", "kube-system"]
        said = view.query([*argv, "--ignore-not-found", "-o", "name"])
        if not said.ok:
            return CheckResult(False, _last_line(said), (self.title,))
        return CheckResult(bool(said.stdout.strip()) == self.wanted, "there" if said.stdout.strip() else "none")

    def apply(self, node: Node) -> str:
        """Nothing can be done here: only ``kubeadm init`` makes it, and without it nothing leads to Services."""
        there = self.check(node).detail
        raise StepError(
            "the cluster was made with another kubeProxy.mode",
            where="cluster.yaml, kubeProxy.mode",
            wanted=self.title,
            got=f"kube-proxy: {there}",
            next_step="set kubeProxy.mode back to what it was; an install does not change it in a running cluster",
        )


def _get_node(view: NodeView, kubeconfig: str, name: str) -> CommandResult:
    return view.query([KUBECTL, "--kubeconfig", kubeconfig, "get", "node", name, "-o", "json"])


def _last_line(said: CommandResult) -> str:
    reason = said.stderr.strip().splitlines()
    return reason[-1][:300] if reason else "the API does not answer"


def _ready_condition(text: str) -> tuple[str, str]:
    """Status and message of the node's Ready condition."""
    try:
        conditions = json.loads(text)["status"]["conditions"]
        ready = next(condition for condition in conditions if condition["type"] == "Ready")
        return str(ready["status"]), str(ready.get("message", ""))
    except (ValueError, KeyError, TypeError, StopIteration):
        return "", "no Ready condition"


def _get(node: NodeView, kind: str, name: str, jsonpath: str) -> str:
    """One field of an object in kube-system."""
    argv = [KUBECTL, "--kubeconfig", render.ADMIN_KUBECONFIG, "get", kind, name]
    said = node.query([*argv, "-n", "kube-system", "-o", f"jsonpath={jsonpath}"]).demand()
    return said.stdout.strip()


def _expiry(node: NodeView, token_secret: str) -> int:
    """When a bootstrap token's secret says that it ends, as Unix time."""
    encoded = _get(node, "secret", token_secret, "{.data.expiration}")
    try:
        return parse_time(base64.b64decode(encoded).decode("ascii"))
    except (ValueError, InputError):
        raise StepError(
            "the cluster does not say when a token ends",
            where=f"secret kube-system/{token_secret}, expiration",
            wanted="a time in UTC",
            got=encoded[:100] or "nothing",
            next_step="run the same command again",
        ) from None

"""kubeadm: what is true of this node alone, ``init`` and ``join``. Secrets go through files of mode 0600, never argv.

A mark on disk says that a run has begun and has not ended: it is how "finished" is told from "stopped half way", and
it lets the next run go on over what the stopped one left, which kubeadm alone would refuse.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from installer.config import ClusterConfig
from installer.errors import CommandError
from installer.execute import CheckResult
from installer.join import JoinFile
from installer.node import Node, NodeView
from installer.render import kubeadm as render
from installer.render import kubelet, resolver
from installer.settings import KubeletSettings, Timeouts
from installer.steps import patches
from installer.steps.judged import judged
from installer.steps.textfile import is_written

KUBEADM = "/usr/local/bin/kubeadm"
SECRETS_DIR = "/run/airgap-bundle/secrets"
"""In memory, 0700, there only while kubeadm runs; removed as a tree, which keeps no copy in the journal."""
CONFIG_PATH = f"{SECRETS_DIR}/kubeadm.yaml"
BEGUN_MARK = "/var/lib/airgap-bundle/kubeadm-begun"
KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"
MANIFESTS_DIR = "/etc/kubernetes/manifests"
_STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_CONTROL_PLANE_PATHS = tuple(f"{MANIFESTS_DIR}/{name}.yaml" for name in _STATIC_PODS)
_MARGIN_SECONDS = 900.0
_STOP_TIMEOUT_SECONDS = 120.0
_INIT_TOKEN_TTL_SECONDS = 900
"""kubeadm makes a token in any case; this one nobody learns of, so it ends soon. Joining ones come afterwards."""

_GAVE_UP_EARLY = (
    "error execution phase wait-control-plane",
    "context deadline exceeded",
    "Client.Timeout exceeded",
    "etcdserver: can only promote a learner member\n",
)
"""Where kubeadm ends although time is left, and another attempt goes on from what the first one has started.

1.30 waits four minutes for the control plane, whatever its configuration says: it reads ``timeoutForControlPlane`` only
to migrate it. A join ends at the first answer that takes the API more than ten seconds. The last one says that etcd has
promoted this node's member already and its answer to that came too late; a new attempt sees it among the members.
"""
_ALREADY_READY = 'and status "Ready" already exists in the cluster'
"""What a further attempt says of the node that the one before it made; kubeadm joins no Ready node."""
_BETWEEN_ATTEMPTS_SECONDS = 10.0

_OWN_LEFTOVERS = (
    *("FileAvailable--etc-kubernetes-" + name for name in ("kubelet.conf", "bootstrap-kubelet.conf", "pki-ca.crt")),
    *(f"FileAvailable--etc-kubernetes-manifests-{name}.yaml" for name in _STATIC_PODS),
    "DirAvailable--var-lib-etcd",
    *(f"Port-{port}" for port in (2379, 2380, 6443, 10250, 10257, 10259)),
)
"""Checks that a second attempt fails because of the first."""


@dataclass(frozen=True)
class KubeletNodeSettings:
    """What this node's kubelet must be told and no other's: a resolver file that is there and leads somewhere, what
    is set aside by the node's size. And the operator's own ``patches``, which kubeadm reads from the same folder.
    """

    address: str
    minor: int
    shape: kubelet.NodeShape
    settings: KubeletSettings = field(default_factory=KubeletSettings)
    patches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    id: str = "kubeadm/node-settings"
    title: str = "this node's kubelet settings, with a resolver file that exists"

    def check(self, view: NodeView) -> CheckResult:
        """The patch names a resolver file that is there; once chosen it stays, as a running kubelet uses it."""
        for path in (*resolver.CANDIDATES, resolver.OWN_PATH):
            if self._is_there(view, path) and not patches.pending(view, self._files(path)):
                return CheckResult(True, f"resolver file {path}")
        chosen = self._choose(view)
        changes = list(patches.pending(view, self._files(chosen.path)))
        if chosen.content is not None:
            changes.append(f"write {chosen.path}")
        return CheckResult(False, "no settings yet", tuple(changes))

    def apply(self, node: Node) -> str:
        """Writes the patches kubeadm applies, and our resolver file where the node has no usable one."""
        chosen = self._choose(node)
        if chosen.content is not None:
            node.write_file(chosen.path, chosen.content.encode())
        patches.bring(node, self._files(chosen.path))
        return f"resolver file {chosen.path}"

    def _files(self, resolver_path: str) -> dict[str, str]:
        own = kubelet.node_settings(self.minor, self.shape, self.settings, resolver_path=resolver_path)
        return {render.KUBELET_PATCH_PATH: render.kubelet_patch(own)} | render.patch_files(self.patches)

    def _is_there(self, view: NodeView, path: str) -> bool:
        if path == resolver.OWN_PATH:
            return is_written(view, path, resolver.own_file(self.address))
        return view.read_bytes(path) is not None

    def _choose(self, view: NodeView) -> resolver.Resolver:
        return resolver.choose({path: view.read_text(path) for path in resolver.CANDIDATES}, self.address)


@dataclass(frozen=True)
class KubeadmInit:
    """The first control-plane node, initialised."""

    config: ClusterConfig
    node: render.NodeIdentity
    kubernetes: str
    proxy_mode: str
    ignored_errors: tuple[str, ...] = ()
    kubelets: Mapping[str, Any] = field(default_factory=dict)
    id: str = "kubeadm/init"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"control plane v{self.kubernetes} initialised at {render.endpoint_of(self.config, self.node)}"

    def check(self, view: NodeView) -> CheckResult:
        """A run has ended well: its files are there and no mark of a begun one is."""
        wanted = (render.ADMIN_KUBECONFIG, render.KUBELET_KUBECONFIG, KUBELET_CONFIG, *_CONTROL_PLANE_PATHS)
        return _check_done(view, wanted, "kubeadm init")

    def apply(self, node: Node) -> str:
        """Runs ``kubeadm init``; every image is there already, so nothing is pulled."""
        token = new_token()
        config = render.init_config(
            self.config,
            self.node,
            self.kubernetes,
            proxy_mode=self.proxy_mode,
            credentials=render.Credentials(token, _INIT_TOKEN_TTL_SECONDS),
            ignored_errors=self.ignored_errors,
            kubelets=self.kubelets,
        )
        argv = [KUBEADM, "init", "--config", CONFIG_PATH, "--skip-token-print", "--skip-certificate-key-print"]
        timeouts = self.config.timeouts
        _run(node, argv, config, (token,), timeouts, patience_seconds=timeouts.control_plane_seconds)
        return f"v{self.kubernetes} at {render.endpoint_of(self.config, self.node)}"


@dataclass(frozen=True)
class KubeadmJoin:
    """A worker or a further control-plane node, joined."""

    config: ClusterConfig
    node: render.NodeIdentity
    join: JoinFile
    role: str
    ignored_errors: tuple[str, ...] = ()
    id: str = "kubeadm/join"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"joined {self.join.endpoint} as {'control plane' if self.role == 'cp' else 'worker'}"

    def check(self, view: NodeView) -> CheckResult:
        """A run has ended well: its files are there and no mark of a begun one is."""
        wanted = (render.KUBELET_KUBECONFIG, KUBELET_CONFIG, *(_CONTROL_PLANE_PATHS if self.role == "cp" else ()))
        return _check_done(view, wanted, f"kubeadm join {self.join.endpoint}")

    def apply(self, node: Node) -> str:
        """Runs ``kubeadm join``."""
        config = render.join_config(self.config, self.node, self.join, self.role, ignored_errors=self.ignored_errors)
        argv = [KUBEADM, "join", "--config", CONFIG_PATH]
        timeouts = self.config.timeouts
        _run(node, argv, config, self.join.secrets, timeouts, patience_seconds=timeouts.tls_bootstrap_seconds)
        return f"joined {self.join.endpoint}"


def new_token() -> str:
    """A bootstrap token from the system's randomness: six characters that name it, sixteen that are secret."""
    return f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"


def run_with_config(
    node: Node, argv: list[str], config: str, *, secrets_: tuple[str, ...], timeout_seconds: float
) -> None:
    """Runs kubeadm with ``config`` at ``CONFIG_PATH`` (0600), which is gone again whatever happens."""
    node.remove_tree(SECRETS_DIR)
    node.make_dir(SECRETS_DIR, mode=0o700)
    try:
        node.write_file(CONFIG_PATH, config.encode(), mode=0o600)
        node.run(argv, timeout_seconds=timeout_seconds, secrets=secrets_)
    finally:
        node.remove_tree(SECRETS_DIR)


def _check_done(view: NodeView, wanted: tuple[str, ...], change: str) -> CheckResult:
    missing = [path for path in wanted if view.stat(path) is None]
    if view.stat(BEGUN_MARK) is not None:
        return CheckResult(False, "an earlier run stopped half way", (f"{change}, again",))
    return judged([change] if missing else [], "done before")


def _run(
    node: Node, argv: list[str], config: str, secrets_: tuple[str, ...], timeouts: Timeouts, *, patience_seconds: int
) -> None:
    """Attempts until one ends well, or ends for another reason than having given up early."""
    ends_seconds = node.now_seconds() + patience_seconds
    while True:
        try:
            return _run_once(node, argv, config, secrets_=secrets_, timeouts=timeouts)
        except CommandError as error:
            said = error.got or ""
            returns = _ALREADY_READY in said and node.stat(render.KUBELET_KUBECONFIG) is not None
            gave_up = returns or any(sign in said for sign in _GAVE_UP_EARLY)
            if not gave_up or node.now_seconds() >= ends_seconds:
                raise
            if returns:
                _stop_reporting(node)


def _stop_reporting(node: Node) -> None:
    """Lets the API see that this node is not Ready, which takes it most of a minute; kubeadm starts the kubelet again.

    The pods go on: the etcd member and the API server of the attempt before stay up.
    """
    node.run(["systemctl", "stop", "kubelet.service"], timeout_seconds=_STOP_TIMEOUT_SECONDS)
    node.sleep(_BETWEEN_ATTEMPTS_SECONDS)


def _run_once(node: Node, argv: list[str], config: str, *, secrets_: tuple[str, ...], timeouts: Timeouts) -> None:
    """One attempt, marked as begun until it has ended well; an attempt after a stopped one passes over its files."""
    if node.stat(BEGUN_MARK) is not None:
        argv = [*argv, f"--ignore-preflight-errors={','.join(_OWN_LEFTOVERS)}"]
    node.write_file(BEGUN_MARK, b"")
    run_with_config(node, argv, config, secrets_=secrets_, timeout_seconds=_patience_seconds(timeouts))
    node.remove(BEGUN_MARK)


def _patience_seconds(timeouts: Timeouts) -> float:
    """Longer than everything kubeadm itself may wait for, so that its own message is the one that is seen."""
    waits = (
        timeouts.control_plane_seconds,
        timeouts.kubelet_seconds,
        timeouts.etcd_call_seconds,
        timeouts.tls_bootstrap_seconds,
        timeouts.discovery_seconds,
    )
    return _MARGIN_SECONDS + sum(waits)

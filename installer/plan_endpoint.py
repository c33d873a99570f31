"""The part of a plan that gives a node its way to the API: nothing for most modes, static pods for two. Pure."""

from __future__ import annotations

from installer.bundle.index import BundleIndex
from installer.config import ClusterConfig
from installer.endpoint import LOCAL_ADDRESS, LOCAL_NAME
from installer.errors import InputError
from installer.execute import Step
from installer.facts import NodeFacts
from installer.render import haproxy, kube_vip
from installer.render.kubeadm import NodeIdentity
from installer.steps.endpoint import EndpointBeforeKubelet, EndpointName, EndpointServed
from installer.steps.textfile import TextFile

_POD_RESTART_SECONDS = 300
"""A pod whose port was taken when it first started is started again by the kubelet at the latest after this."""
_TAKE_OVER_SECONDS = 30.0
"""The kubelet sees the file, ends the pod, starts it again, and its lease is renewed."""
_Steps = tuple[Step, ...]


def endpoint_steps(
    index: BundleIndex,
    config: ClusterConfig,
    facts: NodeFacts,
    node: NodeIdentity,
    *,
    role: str,
    joins: bool,
    minor: int,
) -> tuple[_Steps, _Steps]:
    """What the endpoint needs on this node before kubeadm runs, and after it has."""
    if config.endpoint_mode == "local":
        return _local(index, config, node, joins=joins)
    if config.endpoint_mode == "kube-vip" and role == "cp":
        return _kube_vip(index, config, facts, node, joins=joins, minor=minor)
    return (), ()


def _local(index: BundleIndex, config: ClusterConfig, node: NodeIdentity, *, joins: bool) -> tuple[_Steps, _Steps]:
    port, image = config.endpoint.port, _image(index, "haproxy")
    text = haproxy.config(config.control_planes, port)
    before: _Steps = (
        EndpointName(LOCAL_NAME, LOCAL_ADDRESS),
        TextFile("endpoint/config", haproxy.CONFIG_PATH, text),
        TextFile("endpoint/pod", haproxy.MANIFEST_PATH, haproxy.pod(image, text, port)),
    )
    if joins:
        before = (*before, EndpointBeforeKubelet(image, port, node.cri_socket))
    patience_seconds = config.timeouts.kubelet_seconds + _POD_RESTART_SECONDS
    return before, (EndpointServed(port, node.cri_socket, patience_seconds),)


def _kube_vip(
    index: BundleIndex, config: ClusterConfig, facts: NodeFacts, node: NodeIdentity, *, joins: bool, minor: int
) -> tuple[_Steps, _Steps]:
    """On the first control plane the pod starts with the rights that are there before the cluster is."""
    image, address = _image(index, "kube-vip"), config.endpoint.address
    if address is None:
        raise InputError("kube-vip has no address", where="cluster.yaml, endpoint.address", wanted="an address")
    own = next((item.interface for item in facts.addresses if item.address == node.address), None)
    interface = config.endpoint.interface or own
    path, pod = kube_vip.MANIFEST_PATH, kube_vip.pod(image, address.host, interface)
    if joins or minor < kube_vip.FIRST_MINOR_WITH_SUPER_ADMIN:
        return (TextFile("endpoint/pod", path, pod),), ()
    first = kube_vip.pod(image, address.host, interface, kubeconfig=kube_vip.FIRST_KUBECONFIG)
    settled = TextFile("endpoint/pod-rights", path, pod, settle_seconds=_TAKE_OVER_SECONDS)
    return (TextFile("endpoint/pod", path, first, accepted=(pod,)),), (settled,)


def _image(index: BundleIndex, purpose: str) -> str:
    for image in index.images:
        if image.purpose == purpose:
            return image.names()[0]
    raise InputError(
        f"the bundle has no image of {purpose}",
        where=index.name,
        wanted=f"{purpose}, which this cluster's endpoint runs",
        next_step="build the bundle again: newer ones carry it; or choose another endpoint.mode in cluster.yaml",
    )

"""``mini``: real formats and a real container runtime around stand-ins for Kubernetes itself; seconds to make."""

from __future__ import annotations

from pathlib import Path

from tests.lab import debian
from tests.lab.cache import key_of
from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles import CRICTL, ENDPOINT_IMAGES, ETCD, IMAGES, KUBERNETES, cilium, pieces
from tests.lab.profiles.compiled import HELM
from tests.lab.registry import running_registry
from tests.lab.release_tree import ReleaseTree, archive
from tests.lab.toolchain import GoBuild, build_key, built

STAND_INS = GoBuild(
    "standins",
    {name: f"./{name}" for name in ("kubeadm", "kubelet", "kubectl", "crictl", "etcdctl", "helm")},
    {
        "airgap-bundle/tests/lab/go/standins/internal/release.Version": f"v{KUBERNETES}",
        "main.crictlVersion": CRICTL,
        "main.etcdVersion": ETCD,
        "main.helmVersion": HELM,
    },
)
_ARCHITECTURES = ("amd64", "arm64")
_TINY = "a tiny image that runs nothing"


def inputs() -> list[str]:
    """What the profile is made from, for the key of its tree."""
    packages = debian.candidates(pieces.RUNTIME_PACKAGES)
    return [repr(packages), build_key(STAND_INS), key_of(cilium.CHART), repr(cilium.version())]


def make(out: Path) -> None:
    """Fills ``out`` with the tree."""
    tree = ReleaseTree(out, "mini", KUBERNETES)
    programs = built(STAND_INS)
    for name in ("kubeadm", "kubelet", "kubectl"):
        tree.add_file(name, KUBERNETES, (programs / name).read_bytes(), "a strict stand-in, not Kubernetes")
    crictl = archive({"crictl": programs / "crictl"})
    tree.add_file("crictl", CRICTL, crictl, "a stand-in that asks the real container runtime")
    clients = {f"etcd-v{ETCD}-linux-amd64/{name}": programs / "etcdctl" for name in ("etcdctl", "etcdutl")}
    tree.add_file("etcdctl", ETCD, archive(clients), "a stand-in that only tells its version")
    helm = archive({"linux-amd64/helm": programs / "helm"})
    tree.add_file("helm", HELM, helm, "a strict stand-in that knows the lab's charts only")
    pieces.add_debian_containerd(tree)
    pieces.add_debian_runc_and_plugins(tree)
    with running_registry(out / "registry", read_only=False) as address:
        for name, tag in IMAGES.items():
            made = "a working pause, ours" if name == "pause" else _TINY
            parts = _image(name, tag, is_oci=name.startswith("coredns"))
            tree.add_image(address, f"registry.k8s.io/{name}:{tag}", parts, made)
        for name, reference in ENDPOINT_IMAGES.items():
            tag = reference.rpartition(":")[2]
            tree.add_image(address, reference, _image(name, tag), _TINY)
        _add_pod_network(tree, address)
    tree.finish()


def _add_pod_network(tree: ReleaseTree, address: str) -> None:
    known = cilium.version()
    served = cilium.references(known)
    images = {name: _image(name, str(reference.tag), is_oci=True) for name, reference in served.items()}
    for name, reference in served.items():
        tree.add_image(address, str(reference.tagged), images[name], _TINY)
    pinned = cilium.pinned(served, images)
    chart = cilium.packed_chart(known.version, pinned)
    tree.add_chart("cni", cilium.NAME, known.version, chart, cilium.CHART_MADE, images=pinned.values())


def _image(name: str, tag: str, *, is_oci: bool = False) -> ImageParts:
    """A tiny image for both architectures; one of the OCI kind has attestations, too."""
    layers = {}
    for architecture in _ARCHITECTURES:
        text = f"stand-in of the test lab for {name}:{tag} on {architecture}\n".encode()
        contents: dict[str, Path | bytes | str] = {"stand-in.txt": text}
        if name == "pause" and architecture == "amd64":
            contents["pause"] = pieces.pause()
        layers[architecture] = [layer(contents)]
    config = ImageConfig(entrypoint=(f"/{name.rpartition('/')[2]}",), user="65535:65535" if name == "pause" else "")
    return image(layers, config, flavour="oci" if is_oci else "docker", attested=is_oci)

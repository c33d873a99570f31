"""``mini``: real formats and a real container runtime around stand-ins for Kubernetes itself; seconds to make."""

from __future__ import annotations

from pathlib import Path

from tests.lab import debian
from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles import CRICTL, ENDPOINT_IMAGES, ETCD, IMAGES, KUBERNETES, pieces
from tests.lab.registry import running_registry
from tests.lab.release_tree import ReleaseTree, archive
from tests.lab.toolchain import GoBuild, build_key, built

STAND_INS = GoBuild(
    "standins",
    {name: f"./{name}" for name in ("kubeadm", "kubelet", "kubectl", "crictl", "etcdctl")},
    {
        "airgap-bundle/tests/lab/go/standins/internal/release.Version": f"v{KUBERNETES}",
        "main.crictlVersion": CRICTL,
        "main.etcdVersion": ETCD,
    },
)
_ARCHITECTURES = ("amd64", "arm64")


def inputs() -> list[str]:
    """What the profile is made from, for the key of its tree."""
    packages = debian.candidates(pieces.RUNTIME_PACKAGES)
    return [repr(packages), build_key(STAND_INS)]


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
    pieces.add_debian_containerd(tree)
    pieces.add_debian_runc_and_plugins(tree)
    with running_registry(out / "registry", read_only=False) as address:
        for name, tag in IMAGES.items():
            made = "a working pause, ours" if name == "pause" else "a tiny image that runs nothing"
            tree.add_image(address, f"registry.k8s.io/{name}:{tag}", _image(name, tag), made)
        for name, reference in ENDPOINT_IMAGES.items():
            tag = reference.rpartition(":")[2]
            tree.add_image(address, reference, _image(name, tag), "a tiny image that runs nothing")
    tree.finish()


def _image(name: str, tag: str) -> ImageParts:
    """A tiny image for both architectures; CoreDNS' is of the OCI kind, with attestations."""
    layers = {}
    for architecture in _ARCHITECTURES:
        text = f"stand-in of the test lab for {name}:{tag} on {architecture}\n".encode()
        contents: dict[str, Path | bytes | str] = {"stand-in.txt": text}
        if name == "pause" and architecture == "amd64":
            contents["pause"] = pieces.pause()
        layers[architecture] = [layer(contents)]
    is_oci = name.startswith("coredns")
    config = ImageConfig(entrypoint=(f"/{name.rpartition('/')[2]}",), user="65535:65535" if name == "pause" else "")
    return image(layers, config, flavour="oci" if is_oci else "docker", attested=is_oci)

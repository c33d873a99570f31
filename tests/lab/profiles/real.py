"""``real``: Kubernetes and what it runs on, compiled from upstream's own source, in images of the real names.

``real-flannel`` (``has_network``) has helm, a pod network and add-ons beside it. Those take as
long again to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.lab import debian
from tests.lab.cache import key_of
from tests.lab.images import ImageConfig, ImageParts, image, layer
from tests.lab.profiles import (
    CRICTL,
    ENDPOINT_IMAGES,
    ETCD,
    IMAGES,
    KUBERNETES,
    flannel,
    haproxy,
    localpath,
    metrics,
    nodecache,
    pieces,
)
from tests.lab.profiles.compiled import BUILDS, CONTAINERD, CONTAINERD_RUNC, ETCD_PREFIX, FLANNEL, HELM, NETWORK_BUILDS
from tests.lab.progress import say, timed
from tests.lab.registry import running_registry
from tests.lab.release_tree import ReleaseTree, archive
from tests.lab.toolchain import GoBuild, build_key, built

_COMPILED = "compiled from upstream's source"
_MADE_OTHERWISE = {
    "flannel": flannel.PLUGIN_MADE,
    nodecache.PROGRAM: nodecache.MADE,
    metrics.APPROVER: metrics.APPROVER_MADE,
    "busybox": "Debian's busybox, alone in an image",
}
_GIVEN = "a release binary that was given"
_CONTAINERD_SANDBOX = "registry.k8s.io/pause:3.10"


def given_binaries(folder: Path | None) -> dict[str, Path]:
    """The release binaries in ``folder`` by program name; those that are not there are compiled."""
    names = [name for build in (*BUILDS, *NETWORK_BUILDS) for name in build.programs]
    given = {name: folder / name for name in names if folder is not None and (folder / name).is_file()}
    if folder is not None:
        say("binaries", f"from {folder}: {', '.join(given) or 'none'}")
    return given


def _builds(*, has_network: bool) -> tuple[GoBuild, ...]:
    return (*BUILDS, *NETWORK_BUILDS) if has_network else BUILDS


def inputs(given: Mapping[str, Path], *, has_network: bool) -> list[str]:
    """What the profile is made from, for the key of its tree."""
    packages = debian.candidates(
        [*pieces.RUNTIME_PACKAGES, *pieces.IPTABLES_PACKAGES, *pieces.SHELL_PACKAGES, *haproxy.PACKAGES]
    )
    return [
        repr(packages),
        *(build_key(build) for build in _builds(has_network=has_network)),
        *(key_of(name, path) for name, path in given.items()),
    ]


def make(out: Path, given: Mapping[str, Path], *, has_network: bool) -> None:
    """Fills ``out`` with the tree."""
    programs = dict(given)
    for build in _builds(has_network=has_network):
        if not set(build.programs) <= set(given):
            programs |= {name: built(build) / name for name in build.programs if name not in given}

    def made(name: str) -> str:
        return _GIVEN if name in given else _MADE_OTHERWISE.get(name, _COMPILED)

    tree = ReleaseTree(out, "real-flannel" if has_network else "real", KUBERNETES)
    with timed("release", "release files"):
        _add_files(tree, programs, made)
        if has_network:
            tree.add_file("helm", HELM, archive({"linux-amd64/helm": programs["helm"]}), made("helm"))
            tree.add_chart("cni", "flannel", f"v{FLANNEL}", flannel.packed_chart(), flannel.CHART_MADE)
            for chart in metrics.charts():
                tree.add_chart("addon", *chart)
    networks = _networks(programs) if has_network else []
    count = len(IMAGES) + len(networks) + len(ENDPOINT_IMAGES)
    with timed("images", f"{count} images"), running_registry(out / "registry", read_only=False) as address:
        for name, tag in IMAGES.items():
            program = name.rpartition("/")[2]
            how = "ours, a few lines of C" if name == "pause" else made(program)
            tree.add_image(address, f"registry.k8s.io/{name}:{tag}", _image(program, programs), how)
        for reference, program, parts in networks:
            tree.add_image(address, reference, parts, made(program))
        tree.add_image(address, ENDPOINT_IMAGES["haproxy"], _haproxy(), "Debian's package with its libraries")
        tree.add_image(address, ENDPOINT_IMAGES["kube-vip"], _stand_in("kube-vip"), "a tiny image that runs nothing")
    tree.finish()


def _networks(programs: Mapping[str, Path]) -> list[tuple[str, str, ImageParts]]:
    return [
        *flannel.images(programs),
        nodecache.image_of(programs),
        *localpath.images(programs),
        *metrics.images(programs),
    ]


def _add_files(tree: ReleaseTree, programs: Mapping[str, Path], made: Callable[[str], str]) -> None:
    for name in ("kubeadm", "kubelet", "kubectl"):
        tree.add_file(name, KUBERNETES, programs[name].read_bytes(), made(name))
    clients = archive({f"{ETCD_PREFIX}/{name}": programs[name] for name in ("etcdctl", "etcdutl")})
    tree.add_file("etcdctl", ETCD, clients, made("etcdctl"))
    containerd = {f"bin/{name}": programs[name] for name in ("containerd", "containerd-shim-runc-v2", "ctr")}
    facts = {"config_schema": 3, "sandbox": _CONTAINERD_SANDBOX, "runc": CONTAINERD_RUNC}
    tree.add_containerd(CONTAINERD, archive(containerd), made("containerd"), facts)
    pieces.add_debian_runc_and_plugins(tree)
    tree.add_file("crictl", CRICTL, archive({"crictl": programs["crictl"]}), made("crictl"))


def _image(program: str, programs: Mapping[str, Path]) -> ImageParts:
    if program == "pause":
        config = ImageConfig(entrypoint=("/pause",), user="65535:65535")
        return image({"amd64": [layer({"pause": pieces.pause()})]}, config)
    if program == "coredns":
        config = ImageConfig(entrypoint=("/coredns",))
        return image({"amd64": [layer({"coredns": programs[program]})]}, config, flavour="oci", attested=True)
    binary = layer({f"usr/local/bin/{name}": programs[name] for name in _programs_of(program)})
    layers = [pieces.iptables_userland(), binary] if program == "kube-proxy" else [binary]
    return image({"amd64": layers}, ImageConfig(entrypoint=(f"/usr/local/bin/{program}",)))


def _haproxy() -> ImageParts:
    config = ImageConfig(entrypoint=("haproxy",), user=haproxy.USER)
    return image({"amd64": [haproxy.userland()]}, config, flavour="oci", attested=True)


def _stand_in(name: str) -> ImageParts:
    text = f"stand-in of the test lab for {name}\n".encode()
    return image({"amd64": [layer({"stand-in.txt": text})]}, ImageConfig(entrypoint=(f"/{name}",)))


def _programs_of(image_name: str) -> tuple[str, ...]:
    return ("etcd", "etcdctl", "etcdutl") if image_name == "etcd" else (image_name,)

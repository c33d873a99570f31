"""The pieces that more than one profile serves: Debian's runtime, iptables and shell, and our pause."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.lab import debian
from tests.lab.cache import cached, key_of
from tests.lab.commands import run
from tests.lab.images import Layer, layer, tree_layer
from tests.lab.release_tree import ReleaseTree, archive

RUNTIME_PACKAGES = ("containerd", "containernetworking-plugins", "runc")
IPTABLES_PACKAGES = (
    "conntrack",
    "ipset",
    "iptables",
    "libc6",
    "libip4tc2",
    "libip6tc2",
    "libipset13",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libxtables12",
    "netbase",
)
"""What kube-proxy and flannel call, the libraries of that, and netbase, from which ipset learns what ``tcp`` is."""
SHELL_PACKAGES = ("busybox-static",)
_NOT_IN_IMAGES = ("usr/share", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/audit")
_IPTABLES_LINKS = {
    f"usr/sbin/{name}": "xtables-nft-multi"
    for family in ("iptables", "ip6tables")
    for name in (family, f"{family}-save", f"{family}-restore")
}
_PAUSE_SOURCE = Path(__file__).parents[1] / "pause" / "pause.c"
_SANDBOX = re.compile(r'sandbox_image = "([^"]+)"')


def debian_version(package: str) -> str:
    """The upstream version of one of :data:`RUNTIME_PACKAGES`."""
    return debian.upstream_version(debian.candidates(RUNTIME_PACKAGES)[package])


def add_debian_containerd(tree: ReleaseTree) -> None:
    """Debian's containerd, packed as its project packs a release."""
    programs = debian.unpacked(RUNTIME_PACKAGES) / "usr" / "bin"
    sandbox = _SANDBOX.search(run([str(programs / "containerd"), "config", "default"]))
    facts: dict[str, Any] = {
        "config_schema": 2,
        "sandbox": sandbox[1] if sandbox else "",
        "runc": debian_version("runc"),
    }
    names = ("containerd", "containerd-shim-runc-v2", "ctr")
    data = archive({f"bin/{name}": programs / name for name in names})
    tree.add_containerd(debian_version("containerd"), data, "Debian's package, packed as a release", facts)


def add_debian_runc_and_plugins(tree: ReleaseTree) -> None:
    """Debian's runc and CNI plugins, packed as their projects pack a release."""
    root = debian.unpacked(RUNTIME_PACKAGES)
    tree.add_file("runc", debian_version("runc"), (root / "usr/sbin/runc").read_bytes(), "Debian's package")
    plugins = sorted((root / "usr/lib/cni").iterdir())
    data = archive({f"./{path.name}": path for path in plugins})
    version = debian_version("containernetworking-plugins")
    tree.add_file("cni-plugins", version, data, "Debian's package, packed as a release")


def iptables_userland() -> Layer:
    """iptables (as nftables, which is what the lab's machines use) and conntrack with their libraries."""
    root = debian.unpacked(IPTABLES_PACKAGES)
    return tree_layer(root, leave_out=_NOT_IN_IMAGES, links=_IPTABLES_LINKS)


def shell(*applets: str) -> Layer:
    """Debian's busybox, and links of the names that are called."""
    busybox = debian.unpacked(SHELL_PACKAGES) / "bin" / "busybox"
    return layer({"bin/busybox": busybox, **{f"bin/{name}": "busybox" for name in applets}})


def pause() -> Path:
    """The ``pause`` program: static, a few lines of C."""
    return cached("pause", key_of(_PAUSE_SOURCE), _compile_pause) / "pause"


def _compile_pause(out: Path) -> None:
    run(["gcc", "-static", "-Os", "-s", "-o", str(out / "pause"), str(_PAUSE_SOURCE)])

"""Checks of what the bundle's add-ons need of a machine and do not bring: programs, kernel modules, systemd's units."""

from __future__ import annotations

from collections.abc import Iterator

from installer.bundle.addon import BundledAddon
from installer.bundle.roles import ROLES
from installer.facts import NodeFacts
from installer.preflight.finding import Finding, Subject, ok, problem

_DISTRIBUTIONS = {
    "Debian and Ubuntu": ("debian", "ubuntu"),
    "RHEL and its kin": (
        "rhel",
        "centos",
        "rocky",
        "almalinux",
        "ol",
        "fedora",
        "amzn",
        "openEuler",
        "anolis",
        "kylin",
    ),
    "SUSE": ("sles", "opensuse-leap", "opensuse-tumbleweed"),
}
"""Those that name their packages alike, with their ids in ``/etc/os-release``."""
_ISCSI = ("open-iscsi", "iscsi-initiator-utils", "open-iscsi")
_NFS = ("nfs-common", "nfs-utils", "nfs-client")
_PACKAGES = {
    "cryptsetup": ("cryptsetup", "cryptsetup", "cryptsetup"),
    "dmsetup": ("dmsetup", "device-mapper", "device-mapper"),
    "iscsiadm": _ISCSI,
    "iscsid.service": _ISCSI,
    "iscsid.socket": _ISCSI,
    "lvm": ("lvm2", "lvm2", "lvm2"),
    "mount.nfs": _NFS,
    "mount.nfs4": _NFS,
    "multipath": ("multipath-tools", "device-mapper-multipath", "multipath-tools"),
    "nft": ("nftables", "nftables", "nftables"),
    "wg": ("wireguard-tools", "wireguard-tools", "wireguard-tools"),
}
"""The package that brings a program or unit, in the order of :data:`_DISTRIBUTIONS`."""


def addon_hosts(subject: Subject) -> Iterator[Finding]:
    """For each add-on whose pods run on this node: whether they find what they need."""
    for addon in subject.index.addons:
        if addon.host and subject.role in addon.roles:
            yield _judged(addon, subject.facts)


def _judged(addon: BundledAddon, facts: NodeFacts) -> Finding:
    name, host = f"addon-{addon.name}", addon.host
    absent = [tool for tool in host.commands if facts.tools.get(tool) is None]
    absent += [unit for unit in host.units if facts.units.get(unit, "missing") == "missing"]
    modules = [module for module in host.modules if facts.modules.get(module, "missing") == "missing"]
    stopped = [unit for unit in host.units if facts.units.get(unit) == "inactive"]
    if not (absent or modules or stopped):
        return ok(name, ", ".join((*host.commands, *host.modules, *host.units)))
    seen = [f"missing {', '.join((*absent, *modules))}"] if absent or modules else []
    seen += [f"not running: {', '.join(stopped)}"] if stopped else []
    fixes = [*_packages(absent, facts.os_release.id)]
    if modules:
        fixes.append(f"the kernel's module package with {', '.join(modules)}, or the kernel it is for")
    fix = f"install {'; '.join(fixes)}" if fixes else ""
    if stopped:
        fix = "; then ".join(part for part in (fix, f"systemctl enable --now {' '.join(stopped)}") if part)
    every = "every node" if addon.roles == ROLES else f"every node of role {', '.join(addon.roles)}"
    return problem(name, "; ".join(seen), f"{addon.name} {addon.version} does not work without, on {every}", fix)


def _packages(absent: list[str], distribution: str) -> Iterator[str]:
    """What to install, each once: packages where they are known, by this distribution's name or by all of them."""
    families = list(_DISTRIBUTIONS)
    here = next((number for number, family in enumerate(families) if distribution in _DISTRIBUTIONS[family]), None)
    told = {}
    for name in absent:
        packages = _PACKAGES.get(name)
        if packages is None:
            told[f"the package with {name}"] = True
        elif here is not None:
            told[packages[here]] = True
        else:
            named = (f"{package} ({family})" for package, family in zip(packages, families, strict=True))
            told[", ".join(named)] = True
    yield from told


CHECKS = (addon_hosts,)

"""Which package of a distribution brings a program or a unit of systemd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    "apparmor_parser": ("apparmor", "apparmor-parser", "apparmor-parser"),
    "blkid": ("util-linux", "util-linux", "util-linux"),
    "conntrack": ("conntrack", "conntrack-tools", "conntrack-tools"),
    "cp": ("coreutils", "coreutils", "coreutils"),
    "cryptsetup": ("cryptsetup", "cryptsetup", "cryptsetup"),
    "dmsetup": ("dmsetup", "device-mapper", "device-mapper"),
    "ebtables": ("ebtables", "iptables-ebtables", "ebtables"),
    "ethtool": ("ethtool", "ethtool", "ethtool"),
    "findmnt": ("util-linux", "util-linux", "util-linux"),
    "ip": ("iproute2", "iproute", "iproute2"),
    "ipset": ("ipset", "ipset", "ipset"),
    "iptables": ("iptables", "iptables-nft", "iptables"),
    "iscsiadm": _ISCSI,
    "iscsid.service": _ISCSI,
    "iscsid.socket": _ISCSI,
    "losetup": ("mount", "util-linux", "util-linux"),
    "lsblk": ("util-linux", "util-linux", "util-linux"),
    "lvm": ("lvm2", "lvm2", "lvm2"),
    "mkfs.ext4": ("e2fsprogs", "e2fsprogs", "e2fsprogs"),
    "mkfs.xfs": ("xfsprogs", "xfsprogs", "xfsprogs"),
    "modprobe": ("kmod", "kmod", "kmod"),
    "mount": ("mount", "util-linux", "util-linux"),
    "mount.nfs": _NFS,
    "mount.nfs4": _NFS,
    "multipath": ("multipath-tools", "device-mapper-multipath", "multipath-tools"),
    "nft": ("nftables", "nftables", "nftables"),
    "nsenter": ("util-linux", "util-linux", "util-linux"),
    "socat": ("socat", "socat", "socat"),
    "sysctl": ("procps", "procps-ng", "procps"),
    "systemctl": ("systemd", "systemd", "systemd"),
    "tc": ("iproute2", "iproute-tc", "iproute2"),
    "touch": ("coreutils", "coreutils", "coreutils"),
    "umount": ("mount", "util-linux", "util-linux"),
    "wg": ("wireguard-tools", "wireguard-tools", "wireguard-tools"),
}
"""The package that brings a program or unit, in the order of :data:`_DISTRIBUTIONS`."""


def packages_with(absent: Iterable[str], distribution: str) -> Iterator[str]:
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

"""The table of read-only commands: the only programs a :class:`~installer.node.NodeView` may start.

A row is an argv pattern. ``*`` stands for one word that does not begin with ``-``; at the end ``*...`` stands for any
number of such words and ``...`` for any further words. The first word is compared with the program's base name, so an
absolute path matches too. A row belongs here only if no further words can make the program change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

_CTR_AT = ("ctr", "-a", "*", "-n", "k8s.io")
_ETCDCTL = ("etcdctl", "--endpoints", "*", "--cacert", "*", "--cert", "*", "--key", "*")
_CRICTL = ("crictl", "--runtime-endpoint", "*")
_HELM = ("helm", "--kubeconfig", "*")
_HELM_RENDERS = ("--kube-version", "*", "--include-crds", "--skip-tests")
_HELM_STATES = ("--deployed", "--failed", "--pending", "--superseded", "--uninstalled", "--uninstalling")
_PACKET_FILTERS = tuple(f"{ip}tables{kind}" for ip in ("ip", "ip6") for kind in ("", "-legacy", "-nft"))

READ_ONLY: tuple[tuple[str, ...], ...] = (
    ("blkid", "-p", "-o", "export", "*"),
    ("containerd", "--version"),
    ("containerd", "config", "default"),
    ("containerd", "config", "dump"),
    ("containerd", "--config", "*", "config", "dump"),
    ("crictl", "--version"),
    (*_CRICTL, "images", "..."),
    (*_CRICTL, "info", "..."),
    (*_CRICTL, "inspecti", "..."),
    (*_CRICTL, "inspectp", "*"),
    (*_CRICTL, "pods", "..."),
    (*_CRICTL, "ps", "..."),
    (*_CRICTL, "version"),
    ("ctr", "--version"),
    ("ctr", "version"),
    ("ctr", "-n", "k8s.io", "containers", "ls", "..."),
    ("ctr", "-n", "k8s.io", "images", "check", "..."),
    ("ctr", "-n", "k8s.io", "images", "ls", "..."),
    ("ctr", "-a", "*", "namespaces", "ls", "-q"),
    ("ctr", "-a", "*", "-n", "*", "containers", "ls", "-q"),
    ("ctr", "-a", "*", "-n", "*", "images", "ls", "-q"),
    (*_CTR_AT, "containers", "ls", "--quiet"),
    (*_CTR_AT, "images", "check", "..."),
    (*_CTR_AT, "images", "ls", "..."),
    (*_CTR_AT, "tasks", "ls", "--quiet"),
    ("dpkg-query", "-W", "-f", "*", "*..."),
    (*_ETCDCTL, "member", "list", "-w", "json"),
    ("findmnt", "..."),
    (*_HELM, "get", "values", "*", "--namespace", "*", "-o", "json"),
    (*_HELM, "list", "--all-namespaces", *_HELM_STATES, "-o", "json"),
    ("helm", "template", "*", "*", "--namespace", "*", "--values", "*", *_HELM_RENDERS),
    (*_HELM, "list", "--namespace", "*", "--filter", "*", *_HELM_STATES, "-o", "json"),
    ("ip", "-j", "addr", "show", "..."),
    ("ip", "-j", "-d", "link", "show"),
    ("ip", "-j", "link", "show", "..."),
    ("ip", "-j", "neigh", "show", "*"),
    ("ip", "-j", "route", "get", "*"),
    ("ip", "-j", "route", "show", "..."),
    ("ip", "-j", "-6", "route", "show", "..."),
    ("iptables", "--version"),
    *((f"{program}-save",) for program in _PACKET_FILTERS),
    ("iptables-save", "--version"),
    ("ipset", "list", "-n"),
    ("journalctl", "-q", "--no-pager", "-o", "cat", "-n", "*", "-k"),
    ("journalctl", "-q", "--no-pager", "-o", "cat", "-n", "*", "-u", "*"),
    ("kubeadm", "certs", "check-expiration", "..."),
    ("kubeadm", "config", "images", "list", "..."),
    ("kubeadm", "config", "validate", "..."),
    ("kubeadm", "version", "..."),
    ("kubectl", "--kubeconfig", "*", "get", "..."),
    ("kubectl", "--kubeconfig", "*", "version", "..."),
    ("kubectl", "version", "--client", "..."),
    ("kubelet", "--version"),
    ("lsblk", "-J", "-b", "-p", "-o", "*", "*"),
    ("modinfo", "..."),
    ("modprobe", "--show-depends", "*"),
    ("nft", "list", "tables"),
    ("rpm", "-q", "--qf", "*", "*..."),
    ("runc", "--version"),
    ("ss", "-Hltnp", "sport", "=", "*"),
    ("swapon", "--show"),
    ("swapon", "--show", "--noheadings", "--raw"),
    ("systemctl", "is-active", "*"),
    ("systemctl", "is-enabled", "*"),
    ("systemctl", "is-system-running"),
    ("systemctl", "list-units", "..."),
    ("systemctl", "show", "..."),
    ("timedatectl", "show", "..."),
    ("uname", "-m"),
    ("uname", "-r"),
    ("wipefs", "-n", "-p", "*"),
)


def is_read_only(argv: Sequence[str]) -> bool:
    """Whether ``argv`` matches a row of the table."""
    if not argv:
        return False
    words = (PurePosixPath(argv[0]).name, *argv[1:])
    return any(_matches(row, words) for row in READ_ONLY)


def demand_read_only(argv: Sequence[str]) -> None:
    """Raises :class:`ValueError` (a mistake in this program, not on the node) unless ``argv`` is in the table."""
    if not is_read_only(argv):
        raise ValueError(f"not in the table of read-only commands: {' '.join(argv)}")


def _matches(row: tuple[str, ...], words: tuple[str, ...]) -> bool:
    if row[-1] in ("...", "*..."):
        *fixed, rest = row
        further = words[len(fixed) :]
        if rest == "*..." and any(word.startswith("-") for word in further):
            return False
        row, words = tuple(fixed), words[: len(fixed)]
    return len(row) == len(words) and all(_same(wanted, word) for wanted, word in zip(row, words, strict=True))


def _same(wanted: str, word: str) -> bool:
    return word == wanted or (wanted == "*" and not word.startswith("-"))

"""HAProxy out of Debian's packages: the program with its libraries, for an image and for tests on loopback."""

from __future__ import annotations

from pathlib import Path

from tests.lab import debian
from tests.lab.images import Layer, tree_layer

PACKAGES = (
    "haproxy",
    "libc6",
    "libcap2",
    "libcrypt1",
    "libgcc-s1",
    "libgcrypt20",
    "libgpg-error0",
    "liblua5.3-0",
    "liblz4-1",
    "liblzma5",
    "libopentracing-c-wrapper0",
    "libopentracing1",
    "libpcre2-8-0",
    "libssl3",
    "libstdc++6",
    "libsystemd0",
    "libzstd1",
)
USER = "99:99"
"""As the image of the real name has it."""
_LEFT_OUT = ("etc", "usr/share", "usr/lib/systemd", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/audit")
_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")


def tree() -> Path:
    """The folder with the packages laid over each other."""
    return debian.unpacked(PACKAGES)


def userland() -> Layer:
    """Everything HAProxy needs to run where nothing else is."""
    return tree_layer(tree(), leave_out=_LEFT_OUT, links={})


def command() -> list[str]:
    """The program as this machine can run it, with its own loader and libraries."""
    root = tree()
    libraries = ":".join(str(root / folder) for folder in _LIBRARIES)
    return [str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries, str(root / "usr/sbin/haproxy")]

"""The programs in the lab's kube-proxy image do there what kube-proxy asks of them, in a namespace of their own."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.lab import debian
from tests.lab.profiles.pieces import IPTABLES_PACKAGES

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace and chroot need root")


def test_ipset_knows_the_protocols_of_services() -> None:
    """Without /etc/protocols it refuses ``tcp``, services have no address, and CoreDNS never becomes ready."""
    root = debian.unpacked(IPTABLES_PACKAGES)
    script = (
        "ipset create KUBE-CLUSTER-IP hash:ip,port && ipset add KUBE-CLUSTER-IP 10.96.0.1,tcp:443 && "
        "ipset add KUBE-CLUSTER-IP 10.96.0.10,udp:53 && ipset list KUBE-CLUSTER-IP"
    )
    calls = script.replace("ipset ", f"chroot {root} /usr/sbin/ipset ")
    done = subprocess.run(["unshare", "--net", "sh", "-c", calls], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"10.96.0.1,tcp:443", "10.96.0.10,udp:53"} <= set(done.stdout.splitlines())

"""What add-ons need of a machine: found there, or named with its package; asked only where the add-on runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from installer.addons import host_needs
from installer.bundle.addon import BundledAddon
from installer.bundle.hostneeds import HostNeeds
from installer.check import Finding
from installer.config import ClusterConfig
from installer.facts import NodeFacts, OsRelease, gather
from installer.preflight import run_checks
from installer.preflight.host import addon_hosts
from installer.preflight.subject import Subject
from tests.fakes.addons import FLANNEL, METRICS
from tests.fakes.debian import ADDRESS, debian
from tests.fakes.node import FakeNode
from tests.fakes.small_bundle import small_bundle

NEEDS = HostNeeds(("iscsiadm", "jq"), ("iscsi-tcp",), ("iscsid.service",))
LONGHORN = replace(METRICS, name="longhorn", version="1.8.1", host=NEEDS, roles=("worker",))
SHOW = "systemctl show -p LoadState -p ActiveState iscsid.service"


def node(load: str = "not-found", active: str = "inactive", *, socket: bool = False) -> FakeNode:
    made = debian().node
    made.script(SHOW, f"LoadState={load}\nActiveState={active}\n")
    return made.script("systemctl is-active iscsid.socket", "", code=0 if socket else 3)


def judged(facts: NodeFacts, *addons: BundledAddon, role: str = "worker") -> list[Finding]:
    index = replace(small_bundle().index, addons=addons or (FLANNEL, LONGHORN))
    return list(addon_hosts(Subject(facts, index, role, ClusterConfig(), ADDRESS, joins=True)))


def test_what_is_missing_is_named_with_the_package_of_this_distribution() -> None:
    (found,) = judged(gather(node(), needs=NEEDS))
    assert (found.name, found.level) == ("addon longhorn", "problem")
    assert found.seen == "missing iscsiadm, jq, iscsid.service, iscsi-tcp"
    assert found.why == "longhorn 1.8.1 does not work without, on every node of role worker"
    assert found.fix == (
        "install open-iscsi; the package with jq; the kernel's module package with iscsi-tcp, or the kernel it is for"
    )


@pytest.mark.parametrize(
    ("distribution", "package"),
    [
        ("ubuntu", "install open-iscsi"),
        ("rocky", "install iscsi-initiator-utils"),
        ("openEuler", "install iscsi-initiator-utils"),
        ("sles", "install open-iscsi"),
        ("void", "install open-iscsi (Debian and Ubuntu), iscsi-initiator-utils (RHEL and its kin), open-iscsi (SUSE)"),
    ],
)
def test_a_package_has_the_name_it_has_there(distribution: str, package: str) -> None:
    facts = replace(gather(node(), needs=NEEDS), os_release=OsRelease(distribution, "1", distribution))
    (found,) = judged(facts, replace(LONGHORN, host=HostNeeds(("iscsiadm",), (), ("iscsid.service",))))
    assert found.fix == package


@pytest.mark.parametrize(
    ("states", "level"),
    [
        ({"load": "loaded", "active": "active"}, "ok"),
        ({"load": "loaded", "active": "activating"}, "ok"),
        ({"load": "loaded", "socket": True}, "ok"),
        ({"load": "loaded"}, "problem"),
        ({"load": "masked"}, "problem"),
    ],
)
def test_a_unit_runs_or_is_started_when_called(states: dict[str, Any], level: str) -> None:
    (found,) = judged(gather(node(**states), needs=NEEDS), replace(LONGHORN, host=HostNeeds(units=NEEDS.units)))
    assert found.level == level
    if states == {"load": "loaded"}:
        assert (found.seen, found.fix) == (
            "not running: iscsid.service",
            "systemctl enable --now iscsid.service",
        )


def test_what_is_there_is_said_in_a_line() -> None:
    made = node("loaded", "active")
    made.programs |= {"iscsiadm", "jq"}
    release = made.read_text("/proc/sys/kernel/osrelease") or ""
    made.with_files({f"/lib/modules/{release.strip()}/modules.dep": "kernel/drivers/scsi/iscsi_tcp.ko.xz: a\n"})
    assert judged(gather(made, needs=NEEDS)) == [
        Finding("addon longhorn", "ok", "iscsiadm, jq, iscsi-tcp, iscsid.service")
    ]


def test_only_nodes_that_run_the_add_on_are_asked() -> None:
    facts = gather(node(), needs=NEEDS)
    assert judged(facts, role="cp") == []
    (found,) = judged(facts, replace(LONGHORN, roles=("cp", "worker")), role="cp")
    assert found.why.endswith("on every node")
    index = replace(small_bundle().index, addons=(FLANNEL, LONGHORN))
    assert (host_needs(index, "worker"), host_needs(index, "cp")) == (NEEDS, HostNeeds())


def test_trap_30_an_add_on_without_its_host_programs_is_refused_before_the_install() -> None:
    index = replace(small_bundle().index, addons=(LONGHORN,))
    facts = gather(node(), needs=host_needs(index, "worker"))
    findings = run_checks(Subject(facts, index, "worker", ClusterConfig(), ADDRESS, joins=True))
    (found,) = (finding for finding in findings if finding.name == "addon longhorn")
    assert found.level == "problem"
    assert "open-iscsi" in found.fix

"""Checks as values: their names, how an operator chooses among them, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from installer import doctor
from installer.check import LEVELS, Check, Choice, Finding, check, named, ok, problem, warn
from installer.checktext import finding_lines, fit_line, list_lines, summary
from installer.cli import cli
from installer.errors import InputError
from installer.kernelstate import KernelState, Table, kernel_state
from installer.preflight import AREAS, CHECKS, run_checks
from installer.preflight.subject import Subject
from tests.fakes.debian import debian
from tests.fakes.node import FakeNode
from tests.unit.test_preflight import found, subject

STATE = kernel_state(debian().node)


def state(**changes: Any) -> Subject:
    return subject(kernel_state=replace(STATE, **changes))


def test_every_check_has_a_name_of_its_own_and_says_what_it_reads_and_why() -> None:
    names = [item.name for item in CHECKS]
    assert len(names) == len(set(names)) == sum(len(checks) for _area, checks in AREAS)
    for item in CHECKS:
        assert len(item.reason) > 20 and item.reason.endswith("."), item.name
        assert "`" not in item.reason, f"{item.name}: the reason is read by people"


def test_a_check_answers_by_its_own_name_only() -> None:
    @check("one", reads="nothing")
    def one(_subject: int) -> Finding:
        """A reason."""
        return ok("another", "")

    with pytest.raises(ValueError, match="the check one answers as another"):
        one(1)
    with pytest.raises(ValueError, match="a check needs"):
        Check("Bad name", "nothing", "A reason.", lambda _subject: ())


def test_findings_come_worst_first_and_what_is_ignored_stays_in_sight() -> None:
    bad = subject(cpus=1, memory_bytes=1, clock_synchronised=False)
    findings = run_checks(bad, Choice(ignore=("cpus", "clock-source")))
    levels = [LEVELS.index(finding.level) for finding in findings]
    assert levels == sorted(levels)
    by_name = {finding.name: finding.level for finding in findings}
    assert (by_name["memory"], by_name["cpus"], by_name["clock-source"]) == ("problem", "ignored", "ignored")
    assert by_name["hostname"] == "ok", "what is well is not touched by --ignore"
    assert summary(findings).endswith("1 problem, 0 warnings, 2 ignored")
    assert any(line.startswith("  ignored  cpus ") for line in finding_lines(findings))


def test_ignoring_one_of_several_answers_ignores_the_check() -> None:
    finding = Finding("disk /var", "problem", "0 MB free", "full", "make room")
    several: Check[None] = Check(
        "disk", "mounts", "Full disks.", lambda _subject: (finding, replace(finding, name="disk /opt"))
    )
    assert {item.level for item in Choice(ignore=("disk",)).run([several], None)} == {"ignored"}


def test_only_makes_just_those() -> None:
    assert {finding.name for finding in run_checks(subject(), Choice(only=("swap", "mtu")))} == {"swap", "mtu"}


@pytest.mark.parametrize(
    ("choice", "where", "message"),
    [
        (Choice(only=("swpa",)), "--only swpa", "there is no such check"),
        (Choice(ignore=("conntrak",)), "--ignore conntrak", "there is no such check"),
        (Choice(ignore=("root",)), "--ignore root", "the check root cannot be ignored"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(choice: Choice, where: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        choice.demand_known(CHECKS)
    assert caught.value.where == where
    if "conntrak" in where:
        assert "conntrack" in str(caught.value.wanted), "the likely one is named"


def test_explain_says_everything_of_one_and_lists_all() -> None:
    said = CliRunner().invoke(cli, ["explain", "conntrack"]).output
    assert said.startswith("conntrack\n\n  Every connection to a Service is an entry")
    assert "reads   /proc/sys/net/netfilter" in said
    assert "ignore  --ignore conntrack" in said
    assert "ignore  no: " in CliRunner().invoke(cli, ["explain", "root"]).output
    listed = CliRunner().invoke(cli, ["explain"]).output
    assert all(f"  {item.name} " in listed for item in CHECKS)
    assert all(f"  {item.name} " in listed for item in doctor.CHECKS)
    assert max(map(len, list_lines([("Before", AREAS), ("After", doctor.AREAS)]))) <= 80
    with pytest.raises(InputError, match="there is no such check"):
        named(CHECKS, "nothing", "explain nothing")


def test_the_last_word_of_a_preflight() -> None:
    assert fit_line([ok("a", "")], "cp") == "ready      fit to become a control plane; nothing was changed"
    assert "a worker, with 1 warning;" in fit_line([warn("a", "", "")], "worker")


def test_warnings_are_folded_with_their_fix_below() -> None:
    lines = finding_lines([warn("a-name", "seen", "why " * 20, "the fix " * 20), problem("b", "", "", "")])
    assert lines[0].startswith("  warn  a-name         seen; why ")
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1] == "    fix  " + "the fix " * 20, "what can be pasted stays whole"


@pytest.mark.parametrize(
    ("name", "changes", "level"),
    [
        ("tasks", {"tasks": Table(900, 1000)}, "problem"),
        ("tasks", {"tasks": Table(100_000, 130_000)}, "warn"),
        ("tasks", {"tasks": Table(100, 32768)}, "warn"),
        ("tasks", {"tasks": Table(100, 4194304)}, "ok"),
        ("tasks", {"tasks": Table()}, "ok"),
        ("open-files", {"files": Table(80, 100)}, "warn"),
        ("open-files", {"files": Table(79, 100)}, "ok"),
        ("conntrack", {"conntrack": Table(95, 100)}, "problem"),
        ("conntrack", {"conntrack": Table(75, 100)}, "warn"),
        ("conntrack", {"conntrack": Table(74, 100)}, "ok"),
        ("neighbours", {"neighbours": Table(820, 1024)}, "warn"),
        ("neighbours", {"neighbours": Table(1, 256)}, "warn"),
        ("neighbours", {"neighbours": Table(1, 1024)}, "ok"),
        ("tcp-tw-recycle", {"tw_recycle": True}, "problem"),
        ("tcp-tw-recycle", {}, "ok"),
        ("selinux", {"selinux": "enforcing"}, "problem"),
        ("selinux", {"selinux": "enforcing", "container_policy": True}, "warn"),
        ("selinux", {"selinux": "permissive"}, "ok"),
        ("selinux", {}, "ok"),
    ],
)
def test_what_fills_and_what_guards(name: str, changes: dict[str, Any], level: str) -> None:
    finding = found(name, state(**changes))
    assert finding.level == level
    if level == "problem":
        assert finding.why and finding.fix


@pytest.mark.parametrize(
    ("kernel", "version", "parameters", "level"),
    [
        ("4.2.0-42-generic", 1, (), "problem"),
        ("4.2.0-42-generic", 1, ("quiet", "cgroup.memory=nokmem"), "ok"),
        ("4.3.0", 1, (), "ok"),
        ("4.2.0", 2, (), "ok"),
    ],
)
def test_kernels_whose_control_groups_leak(kernel: str, version: int, parameters: tuple[str, ...], level: str) -> None:
    told = replace(STATE, parameters=parameters)
    assert found("cgroup-leak", subject(kernel=kernel, cgroup_version=version, kernel_state=told)).level == level


def test_a_guard_of_programs_is_named() -> None:
    assert found("fapolicyd", subject(units={"fapolicyd.service": "active"})).level == "problem"
    assert found("fapolicyd", subject(units={"fapolicyd.service": "inactive"})).level == "ok"
    guarded = replace(STATE, apparmor=True)
    assert found("apparmor", subject(tools={}, kernel_state=guarded)).level == "warn"
    assert found("apparmor", subject(tools={"apparmor_parser": "/sbin/x"}, kernel_state=guarded)).level == "ok"


def test_who_listens_on_a_port_is_said() -> None:
    taken = found("ports", subject(listening_ports=(6443, 10250), listeners={6443: "haproxy (812)"}))
    assert taken.level == "problem"
    assert taken.seen == "taken: 6443 (kube-apiserver), 10250 (kubelet)"
    assert taken.why == "haproxy (812) listens there"


def test_another_network_s_configuration_is_in_the_way() -> None:
    assert found("old-network", subject(network_configurations=("10-calico.conflist",))).level == "problem"
    assert found("old-network", subject(network_configurations=("87-podman-bridge.conflist",))).level == "warn"
    assert found("old-network", subject()).level == "ok"


def test_missing_programs_are_named_by_the_distribution_s_packages() -> None:
    tools = {name: path for name, path in subject().facts.tools.items() if name not in ("conntrack", "ebtables")}
    assert found("tools", subject(tools=tools)).fix == "from the distribution's own medium: conntrack"
    red_hat = replace(subject().facts.os_release, id="rocky")
    assert found("tools", subject(tools=tools, os_release=red_hat)).fix.endswith("medium: conntrack-tools")
    assert "iptables-ebtables" in found("tools-useful", subject(tools=tools, os_release=red_hat)).fix


def test_the_kernel_s_state_is_read_from_its_files() -> None:
    node = FakeNode()
    node.with_files(
        {
            "/proc/loadavg": "0.10 0.20 0.30 2/345 678\n",
            "/proc/sys/kernel/pid_max": "4194304\n",
            "/proc/sys/kernel/threads-max": "126000\n",
            "/proc/sys/fs/file-nr": "1024\t0\t9223372036854775807\n",
            "/proc/sys/net/netfilter/nf_conntrack_count": "12\n",
            "/proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
            "/proc/net/stat/arp_cache": "entries  allocs\n0000001f  00000020\n0000001f  00000020\n",
            "/proc/sys/net/ipv4/neigh/default/gc_thresh3": "1024\n",
            "/proc/sys/net/ipv4/tcp_tw_recycle": "1\n",
            "/proc/cmdline": "BOOT_IMAGE=/vmlinuz quiet cgroup.memory=nokmem\n",
            "/sys/fs/selinux/enforce": "1",
            "/usr/share/selinux/packages/container.pp.bz2": "",
            "/sys/module/apparmor/parameters/enabled": "Y\n",
        }
    )
    assert kernel_state(node) == KernelState(
        tasks=Table(345, 126000),
        files=Table(1024, 9223372036854775807),
        conntrack=Table(12, 262144),
        neighbours=Table(31, 1024),
        tw_recycle=True,
        parameters=("BOOT_IMAGE=/vmlinuz", "quiet", "cgroup.memory=nokmem"),
        selinux="enforcing",
        container_policy=True,
        apparmor=True,
    )


def test_a_kernel_that_says_nothing_has_nothing_that_is_full() -> None:
    node = FakeNode()
    node.with_files({"/proc/loadavg": "rubbish\n", "/proc/net/stat/arp_cache": "entries\nzz\n"})
    assert kernel_state(node) == KernelState()
    assert Table().share == 0

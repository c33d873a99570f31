"""Modules, sysctls and swap: live and for the next boot, never lowering anything."""

from __future__ import annotations

import pytest

from installer.errors import StepError
from installer.execute import Executor, Phase, Plan, Step, StepResult
from installer.render import kernel as render
from installer.render.fstab import PATH as FSTAB
from installer.steps.fstab import KEPT as FSTAB_KEPT
from installer.steps.kernel import KernelModules, KernelSysctls, SwapOff
from tests.fakes.machine import KERNEL, Machine
from tests.fakes.systemd import Unit


def carry_out(machine: Machine, *steps: Step) -> StepResult:
    return Executor(machine.node, lambda _event: None).run(Plan((Phase("kernel", steps),)))[-1]


def text(machine: Machine, path: str) -> str:
    return machine.node.read_text(path) or ""


@pytest.mark.parametrize(
    ("mode", "more"), [("ipvs", render.PROXY_MODULES["ipvs"]), ("iptables", ()), (None, render.PROXY_MODULES["ipvs"])]
)
def test_every_module_is_listed_by_name_for_the_boot(mode: str | None, more: tuple[str, ...]) -> None:
    machine = Machine()
    carry_out(machine, KernelModules(mode))
    listed = text(machine, render.MODULES_PATH).splitlines()[1:]
    assert len(listed) == len(set(listed))
    assert set(listed) == {*render.REQUIRED_MODULES, *render.OPTIONAL_MODULES, *more}
    assert set(listed) == {line.split()[0] for line in text(machine, "/proc/modules").splitlines()}


def test_a_mode_whose_modules_the_kernel_lacks_is_refused_by_name() -> None:
    machine = Machine()
    with pytest.raises(StepError, match="no module nf_tables"):
        carry_out(machine, KernelModules("nftables"))


def test_modules_the_kernel_does_not_have_are_not_listed() -> None:
    machine = Machine()
    modules = "kernel/net/bridge/br_netfilter.ko.xz:\nkernel/fs/overlayfs/overlay.ko.xz:\n"
    machine.node.with_files({f"/lib/modules/{KERNEL}/modules.dep": modules})
    carry_out(machine, KernelModules())
    assert text(machine, render.MODULES_PATH).splitlines()[1:] == ["overlay", "br_netfilter"]
    assert carry_out(machine, KernelModules()).outcome == "as wanted"


def test_built_in_modules_need_no_list() -> None:
    machine = Machine()
    machine.node.with_files(
        {
            f"/lib/modules/{KERNEL}/modules.dep": "",
            "/proc/filesystems": "nodev\toverlay\n",
            "/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
        }
    )
    assert carry_out(machine, KernelModules()).outcome == "changed"
    assert text(machine, render.MODULES_PATH).splitlines()[1:] == []
    assert not [words for words in machine.node.ran if words[0] == "modprobe"]


def test_a_kernel_without_br_netfilter_is_refused_by_name() -> None:
    machine = Machine()
    machine.node.with_files({f"/lib/modules/{KERNEL}/modules.dep": "kernel/fs/overlay.ko:\n"})
    with pytest.raises(StepError, match="no module br_netfilter"):
        carry_out(machine, KernelModules())


def test_after_a_reboot_that_lost_a_module_it_is_loaded_again() -> None:
    machine = Machine()
    carry_out(machine, KernelModules())
    machine.node.with_files({"/proc/modules": ""})
    assert carry_out(machine, KernelModules()).outcome == "changed"
    assert "br_netfilter" in text(machine, "/proc/modules")


def test_a_higher_sysctl_is_neither_lowered_now_nor_at_the_next_boot() -> None:
    machine = Machine()
    machine.load("br_netfilter")
    carry_out(machine, KernelSysctls())
    assert text(machine, "/proc/sys/fs/inotify/max_user_watches") == "1048576\n"
    kept = text(machine, render.SYSCTL_PATH)
    assert "max_user_watches" not in kept
    assert "net.ipv4.ip_forward = 1" in kept
    assert carry_out(machine, KernelSysctls()).outcome == "as wanted"


def test_the_bridge_keys_need_their_module_first() -> None:
    machine = Machine()
    found = KernelSysctls().check(machine.node)
    assert "net.bridge.bridge-nf-call-iptables absent -> 1" in found.changes
    carry_out(machine, KernelModules(), KernelSysctls())
    assert text(machine, "/proc/sys/net/bridge/bridge-nf-call-iptables") == "1\n"


def test_a_sysctl_lost_at_reboot_is_set_again_and_the_neighbour_limits_go_up_from_the_top() -> None:
    machine = Machine()
    carry_out(machine, KernelModules(), KernelSysctls())
    machine.node.with_files({"/proc/sys/net/ipv4/ip_forward": "0\n"})
    assert carry_out(machine, KernelSysctls()).outcome == "changed"
    order = [words[3].partition("=")[0][-1] for words in machine.node.ran if words[-1].startswith("net.ipv4.neigh")]
    assert order == ["3", "2", "1"]


def test_swap_is_off_now_and_stays_off_and_the_old_fstab_is_kept() -> None:
    machine = Machine()
    before = text(machine, FSTAB)
    carry_out(machine, SwapOff())
    assert render.active_swaps(text(machine, "/proc/swaps")) == ()
    assert text(machine, FSTAB) == before.replace("UUID=2", "# UUID=2")
    assert text(machine, FSTAB_KEPT) == before
    assert carry_out(machine, SwapOff()).outcome == "as wanted"


def test_the_kept_fstab_is_the_first_one() -> None:
    machine = Machine()
    carry_out(machine, SwapOff())
    kept = text(machine, FSTAB_KEPT)
    machine.node.with_files({FSTAB: "/swapfile none swap sw 0 0\n"})
    carry_out(machine, SwapOff())
    assert text(machine, FSTAB_KEPT) == kept


def test_a_swap_unit_of_zram_is_masked() -> None:
    machine = Machine(units={"dev-zram0.swap": Unit()})
    carry_out(machine, SwapOff())
    assert ("systemctl", "mask", "--now", "dev-zram0.swap") in machine.node.ran
    assert carry_out(machine, SwapOff()).outcome == "as wanted"


def test_a_service_that_makes_swap_at_every_boot_is_disabled() -> None:
    machine = Machine(units={"zramswap.service": Unit(enabled=True)})
    carry_out(machine, SwapOff())
    assert ("systemctl", "disable", "--now", "zramswap.service") in machine.node.ran

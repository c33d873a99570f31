"""Checks of what the bundle's add-ons need of a machine and do not bring: programs, kernel modules, systemd's units."""

from __future__ import annotations

from collections.abc import Iterator

from installer.bundle.addon import BundledAddon
from installer.bundle.roles import ROLES
from installer.check import Finding, check, ok, problem
from installer.facts import NodeFacts
from installer.preflight.ospackages import packages_with
from installer.preflight.subject import Subject


@check("addon", reads="programs on PATH, /proc/modules, systemctl show")
def addon_hosts(subject: Subject) -> Iterator[Finding]:
    """Some add-ons need of their machines what no container brings: Longhorn, for one, an iSCSI daemon.

    Every node that their pods can run on is looked at.
    """
    for addon in subject.index.addons:
        if addon.host and subject.role in addon.roles:
            yield _judged(addon, subject.facts)


def _judged(addon: BundledAddon, facts: NodeFacts) -> Finding:
    name, host = f"addon {addon.name}", addon.host
    absent = [tool for tool in host.commands if facts.tools.get(tool) is None]
    absent += [unit for unit in host.units if facts.units.get(unit, "missing") == "missing"]
    modules = [module for module in host.modules if facts.modules.get(module, "missing") == "missing"]
    stopped = [unit for unit in host.units if facts.units.get(unit) == "inactive"]
    if not (absent or modules or stopped):
        return ok(name, ", ".join((*host.commands, *host.modules, *host.units)))
    seen = [f"missing {', '.join((*absent, *modules))}"] if absent or modules else []
    seen += [f"not running: {', '.join(stopped)}"] if stopped else []
    fixes = [*packages_with(absent, facts.os_release.id)]
    if modules:
        fixes.append(f"the kernel's module package with {', '.join(modules)}, or the kernel it is for")
    fix = f"install {'; '.join(fixes)}" if fixes else ""
    if stopped:
        fix = "; then ".join(part for part in (fix, f"systemctl enable --now {' '.join(stopped)}") if part)
    every = "every node" if addon.roles == ROLES else f"every node of role {', '.join(addon.roles)}"
    return problem(name, "; ".join(seen), f"{addon.name} {addon.version} does not work without, on {every}", fix)


CHECKS = (addon_hosts,)

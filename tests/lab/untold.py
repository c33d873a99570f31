"""That nobody was told a secret: not a log, a journal, a process or a file that others may read."""

from __future__ import annotations

from collections.abc import Iterable

from tests.lab.machine import Machine
from tests.lab.proof import ProofError

_WANTED = "/root/.untold"
# What is in images and on the medium was there before; the kernel's own trees are looked at by themselves.
_FILES = (
    "find / -xdev -type f -size -80M -not -path '/var/lib/containerd/*' -not -path '/proc/*' -not -path '/sys/*'"
    f" -not -path '/usr/*' -not -path {_WANTED}"
)


def prove_untold(machine: Machine, secrets: Iterable[str], carried: str) -> str:
    """None of ``secrets`` can be read by anybody but root; ``carried`` is the operator's own copy of a file with them.

    Says which files hold one, as some must: what finds nothing anywhere proves nothing.
    """
    machine.write(_WANTED, "".join(f"{secret}\n" for secret in secrets).encode())
    grep = f"-exec grep -lasF -f {_WANTED} {{}} +"
    told = machine.must(f"{_FILES} -perm /077 -not -path {carried} {grep} || true").split()
    held = machine.must(f"{_FILES} {grep} || true").split()
    journal = machine.must(f"journalctl --no-pager -a -o cat | grep -cF -f {_WANTED} || true").strip()
    running = machine.must(f"cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | grep -caF -f {_WANTED} || true").strip()
    machine.must(f"rm {_WANTED}")
    if told or journal != "0" or running != "0":
        got = f"files {told}, {journal} lines of the journal, {running} processes"
        raise ProofError(f"{machine.name}: a secret can be read", wanted="in private files only", got=got)
    if not held:
        raise ProofError(f"{machine.name}: the secrets are nowhere, so nothing was proven")
    return f"secrets are in {', '.join(held)}, which nobody else reads; no log, journal or process has one"

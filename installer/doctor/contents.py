"""Checks of what was installed: the sandbox image, pins, files, and certificates."""

from __future__ import annotations

from collections.abc import Iterator

from installer.check import Finding, check, ok, problem, warn
from installer.doctor.health import Health
from installer.join import spoken_time
from installer.wording import count

_DAY_SECONDS = 24 * 3600
_SOON_DAYS = 60
_NOW_DAYS = 7
_AGAIN = "sudo ./install --role … again, from the medium: it puts back what differs"


@check("pause", reads="kubeadm config images list, containerd config dump")
def pause(health: Health) -> Finding:
    """containerd starts every pod from its sandbox image, and must be told the very one that is in the store.

    Where the two differ, containerd tries to pull the other one and no pod starts: ContainerCreating for ever.
    """
    if health.installed is None or health.sandbox_wanted is None:
        return ok("pause", health.sandbox or "none configured")
    if health.sandbox is None:
        return problem("pause", "containerd does not say", "its configuration cannot be read", "containerd config dump")
    if health.sandbox != health.sandbox_wanted:
        why = f"kubeadm and the bundle have {health.sandbox_wanted}; no new pod starts"
        return problem("pause", f"containerd is told {health.sandbox}", why, _AGAIN)
    return ok("pause", health.sandbox)


@check("images", reads="ctr images ls, ctr images check")
def images(health: Health) -> Finding:
    """Every image of the bundle is whole and pinned; one that is not pinned goes when the disk fills.

    On an isolated node it cannot come back.
    """
    there = [item for item in health.items if item.kind == "image"]
    strayed = [item for item in there if item.state != "as installed"]
    if not strayed:
        return ok("images", f"{count(len(there), 'name')}, all whole and pinned")
    shown = ", ".join(f"{item.name} ({item.got or 'gone'})" for item in strayed[:5])
    seen = f"{len(strayed)} of {len(there)}: {shown}{', …' if len(strayed) > 5 else ''}"
    return problem("images", seen, "what is removed or broken cannot be pulled here", _AGAIN)


@check("drift", reads="the journal of the install, and everything it names")
def drift(health: Health) -> Finding:
    """Files, units and kernel settings are as they were installed. `status` names each one that is not."""
    there = [item for item in health.items if item.kind != "image"]
    strayed = [item for item in there if item.state != "as installed"]
    if not strayed:
        return ok("drift", f"{count(len(there), 'thing')} as installed")
    shown = ", ".join(f"{item.kind} {item.name}" for item in strayed[:5])
    seen = f"{len(strayed)} of {len(there)} changed: {shown}{', …' if len(strayed) > 5 else ''}"
    return warn("drift", seen, "somebody, or an upgrade of the system, has changed them", _AGAIN)


@check("certificates", reads="/etc/kubernetes/pki, /var/lib/kubelet/pki")
def certificates(health: Health) -> Iterator[Finding]:
    """Certificates end: those of a control plane after a year, its authorities after ten.

    Once one has ended the API refuses whoever shows it, and on an isolated site nobody notices before.
    """
    now = health.facts.now_seconds
    fine = 0
    for path, validity in sorted(health.certificates.items()):
        name = f"certificates {path.rpartition('/')[2]}"
        renew = "kubeadm certs renew all, then restart the control plane's pods"
        fix = renew if path.startswith("/etc/kubernetes") else "systemctl restart kubelet: it asks for a new one"
        if validity is None:
            yield problem(name, "cannot be read", f"{path} is no certificate", "put it back from a copy")
        elif now < validity.begins_seconds:
            why = f"this machine's clock says {spoken_time(now)}"
            seen = f"valid only from {spoken_time(validity.begins_seconds)}"
            yield problem(name, seen, why, "set the clock: date -u -s 'YYYY-MM-DD HH:MM'")
        elif now >= validity.ends_seconds:
            why = "whoever shows it is refused"
            yield problem(name, f"ended {spoken_time(validity.ends_seconds)}", why, fix)
        elif (days := (validity.ends_seconds - now) / _DAY_SECONDS) < _SOON_DAYS:
            seen = f"ends {spoken_time(validity.ends_seconds)}, in {count(int(days), 'day')}"
            make = problem if days < _NOW_DAYS else warn
            yield make(name, seen, "after that whoever shows it is refused", fix)
        else:
            fine += 1
    if fine or not health.certificates:
        yield ok("certificates", f"{count(fine, 'certificate')} with {_SOON_DAYS} days and more")


CHECKS = (pause, images, drift, certificates)

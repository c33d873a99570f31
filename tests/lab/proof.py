"""What must hold on an installed node, read with stock commands and not through the installer that is on trial."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from installer.errors import OperatorError
from tests.lab.machine import Machine
from tests.lab.switch import Switch

PIN_LABEL = "io.cri-containerd.pinned=pinned"
CTR = "ctr -n k8s.io"
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
_DAEMONS = ("desiredNumberScheduled", "numberReady")
_REPLICAS = ("replicas", "readyReplicas")


class ProofError(OperatorError):
    """Something that must hold does not."""

    family = "proof"


@dataclass(frozen=True)
class StoredImage:
    """A row of ``ctr images ls``: the name, the digest it leads to, and whether it is pinned."""

    name: str
    digest: str
    pinned: bool


def stored_images(machine: Machine) -> tuple[StoredImage, ...]:
    """Every name in the node's image store that a person or a pod would use (not the CRI's own by-id names)."""
    rows = (line.split() for line in machine.must(f"{CTR} images ls").splitlines()[1:])
    return tuple(
        StoredImage(row[0], row[2], PIN_LABEL in row[-1].split(",")) for row in rows if not row[0].startswith("sha256:")
    )


def prove_pinned(machine: Machine, used: Iterable[str] = ()) -> str:
    """Every image in the store is pinned, and those that pods ``used`` are in it under the names they used."""
    images = stored_images(machine)
    missing = sorted(set(used) - {image.name for image in images})
    _demand(not missing, f"{machine.name}: used but not in the store: {', '.join(missing)}")
    loose = [image.name for image in images if not image.pinned]
    _demand(bool(images), f"{machine.name} has no images at all")
    _demand(not loose, f"{machine.name}: not pinned: {', '.join(loose)}")
    return f"{len({image.digest for image in images})} images under {len(images)} names, all pinned"


def workload_images(machine: Machine, namespace: str) -> set[str]:
    """The images that the DaemonSets and Deployments of ``namespace`` name; each of these is ready, and there are some.

    The names are those by which the runtime looks them up: with a digest, the tag says nothing.
    """
    names = set()
    for kind, fields in (("daemonsets", _DAEMONS), ("deployments", _REPLICAS)):
        for item in json.loads(machine.must(f"{KUBECTL} get {kind} -n {namespace} -o json"))["items"]:
            wanted, ready = (item.get("status", {}).get(field, 0) for field in fields)
            _demand(wanted == ready, f"{kind} {item['metadata']['name']}: {ready} of {wanted} pods ready")
            names |= {looked_up(image) for image in _images_of(item["spec"]["template"]["spec"])}
    _demand(bool(names), f"{machine.name}: no workload in {namespace}")
    return names


def looked_up(image: str) -> str:
    """``repository@digest`` of ``repository:tag@digest``; any other name as it is."""
    name, at, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}" if at else image


def _images_of(pod: Mapping[str, Any]) -> list[str]:
    return [container["image"] for container in [*pod.get("initContainers", []), *pod["containers"]]]


def pause_answers(machine: Machine, kubernetes: str) -> Mapping[str, str]:
    """The sandbox image as four places of the node name it."""
    listed = machine.must(["kubeadm", "config", "images", "list", "--kubernetes-version", f"v{kubernetes}"])
    dumped = machine.must(["containerd", "config", "dump"])
    return {
        "kubeadm config images list": _only(line for line in listed.split() if "/pause:" in line),
        "containerd config dump": _sandbox_in(dumped),
        "CRI": _sandbox_used(machine),
        "image store": pause_reference(machine),
    }


def pause_reference(machine: Machine) -> str:
    """The sandbox image the store has."""
    return _only(image.name for image in stored_images(machine) if "/pause:" in image.name and "@" not in image.name)


def prove_pause(machine: Machine, kubernetes: str) -> str:
    """All four places name the same sandbox image."""
    answers = pause_answers(machine, kubernetes)
    _demand(len(set(answers.values())) == 1, f"{machine.name}: not one sandbox image: {answers}")
    return f"{next(iter(answers.values()))} in {len(answers)} of {len(answers)} places"


def prove_no_pull(machine: Machine, reference: str) -> str:
    """The node cannot pull: the one test that would notice a way out."""
    done = machine.run(f"{CTR} images pull {reference}", timeout_seconds=300)
    _demand(done.code != 0, f"{machine.name} pulled {reference}: it has a way out")
    return f"ctr images pull {reference} fails: {_last_line(done.stderr)}"


def prove_silence(switch: Switch, machines: tuple[Machine, ...]) -> str:
    """No frame left the lab's networks, though the switch did see traffic."""
    stray = switch.stray()
    _demand(not stray, "packets left: " + ", ".join(f"{count} x {where}" for where, count in stray.items()))
    _demand(switch.frames() > 0, "the switch saw no frame at all, so it proves nothing")
    tried = [(machine.name, machine.attempts()) for machine in machines]
    told = [
        f"{name} tried {made.without_route} without a route and {made.look_ups} name look-ups" for name, made in tried
    ]
    return f"0 packets left ({switch.frames()} seen); " + "; ".join(told)


def prove_already_present(machine: Machine, namespaces: Iterable[str]) -> str:
    """Every ``Pulled`` event says the image was there already, and nothing was ever ``Pulling``.

    Each of ``namespaces`` must have such an event, or nothing is proven of its pods.
    """
    events = json.loads(machine.must(f"{KUBECTL} get events -A -o json"))["items"]
    pulled = [event for event in events if event.get("reason") == "Pulled"]
    attempts = pull_attempts((event.get("reason", ""), event.get("message", "")) for event in events)
    _demand(not attempts, f"images were pulled: {attempts}")
    silent = set(namespaces) - {event["metadata"]["namespace"] for event in pulled}
    _demand(not silent, f"no Pulled event in {', '.join(sorted(silent))}, so nothing is proven of it")
    return f"{len(pulled)} Pulled events, all already present on the machine; none Pulling"


def pull_attempts(events: Iterable[tuple[str, str]]) -> list[str]:
    """The messages of events (reason, message) that tell of a pull. A container that is started again is none."""
    return [
        message
        for reason, message in events
        if reason in ("Pulling", "ErrImagePull", "ErrImageNeverPull")
        or (reason == "Pulled" and "already present on machine" not in message)
        or (reason in ("BackOff", "Failed") and "image" in message.lower())
    ]


def _sandbox_in(config: str) -> str:
    """The sandbox image in containerd's effective configuration: ``sandbox_image`` (schema 2), ``sandbox`` (3)."""
    for line in config.splitlines():
        key, _, value = line.strip().partition("=")
        if key.strip() in ("sandbox_image", "sandbox"):
            return value.strip().strip("'\"")
    return "names none"


def _sandbox_used(machine: Machine) -> str:
    """What the CRI makes sandboxes from: its status says so (containerd 1.x), or the sandboxes it has made do (2.x)."""
    info = json.loads(machine.must(["crictl", "info", "-o", "json"]))
    named = info.get("config", {}).get("sandboxImage")
    if named:
        return str(named)
    rows = machine.must([*CTR.split(), "containers", "ls", 'labels."io.cri-containerd.kind"==sandbox']).splitlines()[1:]
    return _only({row.split()[1] for row in rows})


def _only(names: Iterable[str]) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else f"{len(found)} names: {found}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:160] if lines else "no reason given"


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProofError(otherwise)

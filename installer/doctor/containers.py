"""The node's containers as the CRI shows them, and what an exit code says."""

from __future__ import annotations

import json
from dataclasses import dataclass

from installer.node import NodeView

CRICTL = "/usr/local/bin/crictl"
_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    4: "SIGILL: an instruction this processor lacks",
    6: "SIGABRT: the program gave up",
    7: "SIGBUS",
    9: "SIGKILL: out of memory, a failed liveness probe, or somebody",
    11: "SIGSEGV: a fault in the program",
    15: "SIGTERM: told to stop",
}
_CODES = {
    0: "ended well",
    1: "the program failed; its log says why",
    2: "wrong arguments, or the program failed",
    126: "the file cannot be run: its mode, or noexec",
    127: "no such program in the image",
    128: "it could not be started at all",
    255: "the program failed with a code out of range",
}


@dataclass(frozen=True)
class Container:
    """The newest container of that name in a pod; ``attempts`` counts those before it."""

    pod: str
    name: str
    state: str
    exit_code: int
    reason: str
    attempts: int


def decoded(code: int) -> str:
    """What an exit code means: ``137``, ``SIGKILL: out of memory, …``."""
    if code in _CODES:
        return _CODES[code]
    if 128 < code < 255:
        return _SIGNALS.get(code - 128, f"ended by signal {code - 128}")
    if 64 <= code <= 78:
        return "the program's own code for a wrong use or environment (sysexits)"
    return "the program's own code; its log says why"


def containers(view: NodeView, endpoint: str) -> tuple[Container, ...] | None:
    """The newest container of each name in each pod; ``None`` where the CRI does not answer."""
    said = view.query([CRICTL, "--runtime-endpoint", endpoint, "ps", "-a", "-o", "json"])
    try:
        rows = json.loads(said.stdout)["containers"] if said.ok else None
    except (ValueError, KeyError, TypeError):
        rows = None
    if not isinstance(rows, list):
        return None
    newest: dict[tuple[str, str], Container] = {}
    for row in rows:
        found = _container(row)
        before = newest.get((found.pod, found.name))
        if before is None or found.attempts >= before.attempts:
            newest[found.pod, found.name] = found
    return tuple(newest[key] for key in sorted(newest))


def _container(row: dict[str, object]) -> Container:
    labels, metadata = row.get("labels"), row.get("metadata")
    labels = labels if isinstance(labels, dict) else {}
    metadata = metadata if isinstance(metadata, dict) else {}
    pod = f"{labels.get('io.kubernetes.pod.namespace', '')}/{labels.get('io.kubernetes.pod.name', '')}"
    return Container(
        pod=pod,
        name=str(metadata.get("name", "")),
        state=str(row.get("state", "")).removeprefix("CONTAINER_").lower(),
        exit_code=_number(row.get("exitCode")),
        reason=str(row.get("reason", "")),
        attempts=_number(metadata.get("attempt")),
    )


def _number(value: object) -> int:
    return int(value) if isinstance(value, (int, str)) and str(value).lstrip("-").isdecimal() else 0

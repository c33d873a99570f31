"""Helm's record of a release: what is installed, in which state, with which values; and how an upgrade is asked for.

Helm keeps one secret per revision, labelled with its status. A run that was killed leaves its newest revision
``pending-…``, and every later run refuses to go on because of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from installer.bundle.addon import BundledAddon
from installer.errors import StepError
from installer.node import NodeView
from installer.render.kubeadm import ADMIN_KUBECONFIG

HELM = "/usr/local/bin/helm"
_HELM = (HELM, "--kubeconfig", ADMIN_KUBECONFIG)
_EVERY_STATE = ("--deployed", "--failed", "--pending", "--superseded", "--uninstalled", "--uninstalling")
"""Spelled out, because Helm 3 shows only some states by default and Helm 4 knows no ``--all`` any more."""
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")
ENDED = ("uninstalling", "uninstalled")


@dataclass(frozen=True)
class Release:
    """The newest revision of a release: Helm's ``status`` of it and its ``chart``, as ``flannel-v0.28.9``."""

    status: str
    chart: str

    def is_of(self, addon: BundledAddon) -> bool:
        """Whether the chart is the add-on's version, whichever way the ``v`` is written."""
        version = addon.version.removeprefix("v")
        return self.chart.endswith((f"-{version}", f"-v{version}"))


def read_release(view: NodeView, addon: BundledAddon) -> Release | None:
    """The release on the cluster, or ``None``; :class:`CommandError` when Helm cannot ask the cluster."""
    where = ("--namespace", addon.namespace, "--filter", f"^{addon.name}$")
    said = view.query([*_HELM, "list", *where, *_EVERY_STATE, "-o", "json"]).demand()
    try:
        for release in json.loads(said.stdout):
            if release["name"] == addon.name:
                return Release(str(release["status"]), str(release["chart"]))
    except (ValueError, KeyError, TypeError):
        raise StepError(
            "Helm's list of releases cannot be read", where=addon.name, wanted="JSON", got=said.stdout[:300]
        ) from None
    return None


def has_values(view: NodeView, addon: BundledAddon, values: dict[str, Any]) -> bool:
    """Whether the release was installed with exactly these values."""
    said = view.query([*_HELM, "get", "values", addon.name, "--namespace", addon.namespace, "-o", "json"])
    try:
        return said.ok and _plain(json.loads(said.stdout) or {}) == _plain(values)
    except ValueError:
        return False


def upgrade(addon: BundledAddon, chart_path: str, values_path: str, timeout_seconds: int) -> list[str]:
    """The command that installs or upgrades.

    Without ``--wait``: it would hold up the first install until pods run that have no node yet. ``--reset-values``,
    or else an empty values file would mean the values of last time.
    """
    what = ("upgrade", "--install", addon.name, chart_path, "--namespace", addon.namespace)
    return [*_HELM, *what, "--values", values_path, "--reset-values", "--timeout", f"{timeout_seconds}s"]


def template(addon: BundledAddon, chart_path: str, values_path: str, kubernetes: str) -> list[str]:
    """The command that shows what an install would make, as the builder renders it; it asks no cluster."""
    what = ("template", addon.name, chart_path, "--namespace", addon.namespace, "--values", values_path)
    return [HELM, *what, "--kube-version", f"v{kubernetes}", "--include-crds", "--skip-tests"]


def uninstall(name: str, namespace: str) -> list[str]:
    """The command that takes a release away, or ends what was begun to be, and its record."""
    return [*_HELM, "uninstall", name, "--namespace", namespace]


def namespaces_of(view: NodeView, name: str) -> tuple[str, ...]:
    """Where the cluster has a release of this name, in whatever state; :class:`CommandError` if it cannot be asked."""
    said = view.query([*_HELM, "list", "--all-namespaces", *_EVERY_STATE, "-o", "json"]).demand()
    try:
        return tuple(str(found["namespace"]) for found in json.loads(said.stdout) if found["name"] == name)
    except (ValueError, KeyError, TypeError):
        raise StepError("Helm's list of releases cannot be read", wanted="JSON", got=said.stdout[:300]) from None


def _plain(values: Any) -> str:
    """Values as comparable text: ``1.0`` and ``1`` are one number to Helm, ``1`` and ``true`` are two things."""
    return json.dumps(_whole(values), sort_keys=True)


def _whole(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _whole(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_whole(value) for value in values]
    return int(values) if isinstance(values, float) and values.is_integer() else values

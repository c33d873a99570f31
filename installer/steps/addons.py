"""Installing an add-on: its namespace and Helm release on the cluster.

Its chart and values are on this node before (:mod:`installer.steps.charts`); that it works is a step of its own
(:mod:`installer.steps.workloads`), after all of this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from installer.bundle.addon import BundledAddon
from installer.errors import CommandError, StepError
from installer.execute import CheckResult, Step
from installer.node import Node, NodeView
from installer.render.kubeadm import ADMIN_KUBECONFIG
from installer.steps import helm
from installer.steps.charts import chart_path, values_path
from installer.steps.cluster import KUBECTL
from installer.steps.judged import judged
from installer.steps.workloads import WorkloadsReady

PLUGINS_DIR = "/opt/cni/bin"
_KUBECTL = (KUBECTL, "--kubeconfig", ADMIN_KUBECONFIG)
_KUBECTL_TIMEOUT_SECONDS = 120.0
_MARGIN_SECONDS = 60.0
_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 3.0


def addon_steps(addon: BundledAddon, values: dict[str, Any], timeout_seconds: int) -> tuple[Step, ...]:
    """Everything that brings ``addon`` onto the cluster, its readiness last; its chart and values are there already."""
    return (Namespace(addon), HelmRelease(addon, values, timeout_seconds), WorkloadsReady(addon, timeout_seconds))


@dataclass(frozen=True)
class PluginsPresent:
    """The CNI plugins that the pod network calls are there; they come with the bundle's cni-plugins."""

    addon: BundledAddon

    @property
    def id(self) -> str:
        """``<add-on>/plugins``."""
        return f"{self.addon.name}/plugins"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{', '.join(self.addon.plugins)} in {PLUGINS_DIR}"

    def check(self, view: NodeView) -> CheckResult:
        """Each is a file that may be run."""
        missing = self._missing(view)
        return judged([f"prove {path}" for path in missing], ", ".join(self.addon.plugins))

    def apply(self, node: Node) -> str:
        """Nothing can be done here: an earlier step places the plugins, so one that lacks is not in the bundle."""
        raise StepError(
            f"{self.addon.name} calls CNI plugins that the bundle did not bring",
            where=PLUGINS_DIR,
            wanted=", ".join(self.addon.plugins),
            got="without " + ", ".join(path.rpartition("/")[2] for path in self._missing(node)),
            next_step="build the bundle with the built-in catalogue's cni-plugins",
        )

    def _missing(self, view: NodeView) -> list[str]:
        paths = [f"{PLUGINS_DIR}/{plugin}" for plugin in self.addon.plugins]
        found = {path: view.stat(path) for path in paths}
        return [path for path, stat in found.items() if stat is None or not stat.mode & 0o111]


@dataclass(frozen=True)
class Namespace:
    """The add-on's namespace, with the labels that let its pods in."""

    addon: BundledAddon

    @property
    def id(self) -> str:
        """``<add-on>/namespace``."""
        return f"{self.addon.name}/namespace"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"namespace {self.addon.namespace} with its labels"

    def check(self, view: NodeView) -> CheckResult:
        """The cluster has it, is not deleting it, and it bears each label."""
        name, labels = self.addon.namespace, self.addon.namespace_labels
        found = self._read(view)
        if found is None:
            changes = [f"create namespace {name}", *(f"label it {key}={value}" for key, value in labels.items())]
            return CheckResult(False, "not there yet", tuple(changes))
        if found.get("status", {}).get("phase") == "Terminating":
            return CheckResult(False, f"{name} is being deleted; kubectl get namespace {name} -o yaml tells why")
        borne = found["metadata"].get("labels", {})
        missing = [f"label {name} {key}={value}" for key, value in labels.items() if borne.get(key) != value]
        return judged(missing, name)

    def apply(self, node: Node) -> str:
        """Creates it where there is none, and sets the labels."""
        name, labels = self.addon.namespace, self.addon.namespace_labels
        if self._read(node) is None:
            node.run([*_KUBECTL, "create", "namespace", name], timeout_seconds=_KUBECTL_TIMEOUT_SECONDS)
        if labels:
            pairs = [f"{key}={value}" for key, value in sorted(labels.items())]
            argv = [*_KUBECTL, "label", "--overwrite", "namespace", name, *pairs]
            node.run(argv, timeout_seconds=_KUBECTL_TIMEOUT_SECONDS)
        return name

    def _read(self, view: NodeView) -> dict[str, Any] | None:
        said = view.query([*_KUBECTL, "get", "namespace", self.addon.namespace, "-o", "json"])
        try:
            document = json.loads(said.stdout) if said.ok else None
        except ValueError:
            return None
        return document if isinstance(document, dict) else None


@dataclass(frozen=True)
class HelmRelease:
    """The chart installed by Helm at the bundle's version, with the filled values.

    ``timeout_seconds`` is how long Helm waits for a hook of the chart.
    """

    addon: BundledAddon
    values: dict[str, Any]
    timeout_seconds: int

    @property
    def id(self) -> str:
        """``<add-on>/release``."""
        return f"{self.addon.name}/release"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.addon.name} {self.addon.version} installed by Helm"

    def check(self, view: NodeView) -> CheckResult:
        """Helm says deployed, this version, these values."""
        try:
            found = helm.read_release(view, self.addon)
        except CommandError as error:
            return CheckResult(False, (error.got or "").splitlines()[-1][:300], self._changes(None))
        if found is None:
            return CheckResult(False, "not installed yet", self._changes(None))
        if found.status != "deployed":
            return CheckResult(False, f"Helm says {found.status}", self._changes(found))
        if not found.is_of(self.addon):
            return CheckResult(False, f"{found.chart} is installed", self._changes(found))
        if not helm.has_values(view, self.addon, self.values):
            return CheckResult(False, "installed with other values", self._changes(found))
        return CheckResult(True, f"{self.addon.version} in {self.addon.namespace}")

    def apply(self, node: Node) -> str:
        """Clears what an interrupted run left in Helm's record, then installs or upgrades."""
        found = self._settled(node)
        for argv in self._clearing(found):
            node.run(argv, timeout_seconds=self.timeout_seconds + _MARGIN_SECONDS)
        node.run(self._upgrade(), timeout_seconds=self.timeout_seconds + _MARGIN_SECONDS)
        if found is None:
            return f"{self.addon.version} in {self.addon.namespace}"
        was = found.chart if found.status == "deployed" else found.status
        return f"{self.addon.version} in {self.addon.namespace}, was {was}"

    def _settled(self, node: Node) -> helm.Release | None:
        """The release, after the time it takes a Helm that outlived its killed install to come to its end."""
        ends_seconds = node.now_seconds() + _PATIENCE_SECONDS
        while True:
            found = helm.read_release(node, self.addon)
            if found is None or found.status not in helm.PENDING or node.now_seconds() >= ends_seconds:
                return found
            node.sleep(_POLL_SECONDS)

    def _clearing(self, found: helm.Release | None) -> list[list[str]]:
        """What must be done first, as Helm goes on from ``deployed``, ``failed`` and ``superseded`` by itself only.

        The record of an interrupted revision is removed and nothing else: Helm takes over the objects it had made, as
        they bear the release's name, and no pod is stopped. An uninstall that was begun is brought to its end.
        """
        if found is None:
            return []
        if found.status in helm.PENDING:
            selector = f"owner=helm,name={self.addon.name},status={found.status}"
            return [[*_KUBECTL, "delete", "secret", "--namespace", self.addon.namespace, "--selector", selector]]
        return [helm.uninstall(self.addon.name, self.addon.namespace)] if found.status in helm.ENDED else []

    def _upgrade(self) -> list[str]:
        return helm.upgrade(self.addon, chart_path(self.addon), values_path(self.addon), self.timeout_seconds)

    def _changes(self, found: helm.Release | None) -> tuple[str, ...]:
        first = []
        if found is not None and found.status in helm.PENDING:
            first = [f"clear Helm's record of an interrupted run ({found.status})"]
        elif found is not None and found.status in helm.ENDED:
            first = [f"helm uninstall {self.addon.name} ({found.status})"]
        return (*first, f"helm upgrade --install {self.addon.name} {chart_path(self.addon)}")

"""An add-on on this node before there is a cluster: its chart, its values, and whether the bundle has what they run.

The values are final here, and the operator may have switched something on with them. An image that is not in the bundle
would show as a pod that never starts; here it is named before anything is changed on a cluster.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from installer.bundle.addon import BundledAddon
from installer.bundle.rendered import images_in
from installer.errors import OperatorError, StepError
from installer.execute import CheckResult, Step
from installer.node import Node, NodeView
from installer.steps import helm
from installer.steps.content import BundleContent
from installer.steps.judged import judged
from installer.steps.textfile import TextFile
from installer.wording import count

CHARTS_DIR = "/var/lib/airgap-bundle/charts"
VALUES_DIR = "/etc/airgap-bundle/addons"
_RENDER_TIMEOUT_SECONDS = 120.0
_LONGEST = 300


def chart_steps(bundle: BundleContent, addon: BundledAddon, values: dict[str, Any]) -> tuple[Step, ...]:
    """Everything of ``addon`` that needs no cluster."""
    text = values_text(values)
    return (
        PlaceChart(bundle, addon),
        TextFile(f"{addon.name}/values", values_path(addon), text, 0o600, "filled for this cluster"),
        ImagesCarried(bundle, addon, text),
    )


def chart_path(addon: BundledAddon) -> str:
    """Where the chart lies on the node."""
    return f"{CHARTS_DIR}/{addon.name}-{addon.version}.tgz"


def values_path(addon: BundledAddon) -> str:
    """Where the values lie on the node."""
    return f"{VALUES_DIR}/{addon.name}.values.yaml"


def values_text(values: dict[str, Any]) -> str:
    """Values as a file for Helm: JSON, which is YAML in which no string can be taken for a number or a date."""
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class PlaceChart:
    """The packed chart on the node, with the bundle's bytes."""

    bundle: BundleContent
    addon: BundledAddon

    @property
    def id(self) -> str:
        """``<add-on>/chart``."""
        return f"{self.addon.name}/chart"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"chart of {self.addon.name} {self.addon.version} in place"

    def check(self, view: NodeView) -> CheckResult:
        """The file has the digest of the bundle's chart."""
        path = chart_path(self.addon)
        return judged([] if view.digest(path) == self.addon.chart else [f"place {path}"], self.addon.version)

    def apply(self, node: Node) -> str:
        """Streams it from the bundle."""
        chunks = self.bundle.chunks(self.addon.chart)
        node.place(chart_path(self.addon), chunks, mode=0o644, digest=self.addon.chart)
        return self.addon.version


@dataclass(frozen=True)
class ImagesCarried:
    """Every image that the chart names with these values is in the bundle; ``text`` is that of the values' file."""

    bundle: BundleContent
    addon: BundledAddon
    text: str

    @property
    def id(self) -> str:
        """``<add-on>/images``."""
        return f"{self.addon.name}/images"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"the bundle has every image that {self.addon.name} will run"

    def check(self, view: NodeView) -> CheckResult:
        """What Helm renders names nothing else; not to be told before Helm, chart and values are in place."""
        comparing = (f"helm template {self.addon.name}, and compare its images with the bundle's",)
        there = view.stat(helm.HELM) is not None and view.digest(chart_path(self.addon)) == self.addon.chart
        if not there or view.read_text(values_path(self.addon)) != self.text:
            return CheckResult(False, "not looked at yet", comparing)
        try:
            wanted = self._wanted(view)
        except OperatorError as error:
            return CheckResult(False, f"{error.message}: {error.got or ''}"[:_LONGEST], comparing)
        if missing := sorted(set(wanted) - self._carried()):
            return CheckResult(False, f"not in the bundle: {', '.join(missing)}", comparing)
        return CheckResult(True, f"{count(len(wanted), 'image')}, each in the bundle")

    def apply(self, node: Node) -> str:
        """Nothing can be done here: what is missing must come with another bundle, or not be asked for."""
        missing = sorted(set(self._wanted(node)) - self._carried())
        if missing:
            raise StepError(
                f"{self.addon.name} would run images that the bundle does not have",
                where=f"{chart_path(self.addon)} with {values_path(self.addon)}",
                wanted=f"only images of {self.bundle.index.name}",
                got="\n".join(missing),
                next_step=f"build the bundle with --values cluster.yaml, or change addons.{self.addon.name}.values",
            )
        return "all in the bundle"

    def _wanted(self, view: NodeView) -> tuple[str, ...]:
        """The names that containerd will be asked for; it goes by the digest where there is one."""
        argv = helm.template(self.addon, chart_path(self.addon), values_path(self.addon), self.bundle.index.kubernetes)
        told = view.query(argv, timeout_seconds=_RENDER_TIMEOUT_SECONDS).demand(
            next_step=f"check addons.{self.addon.name}.values in cluster.yaml"
        )
        found = images_in(told.stdout, where=f"chart {self.addon.name} {self.addon.version}, rendered")
        names = (image.pinned(image.digest) if image.digest else image.tagged for image in found)
        return tuple(name for name in names if name)

    def _carried(self) -> set[str]:
        return {name for image in self.bundle.index.images for name in image.names()}

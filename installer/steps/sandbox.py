"""The proof that kubeadm, containerd's configuration, the running CRI and the image store mean one sandbox image.

When they do not, no pod ever starts on a node without a network: containerd looks up the name it is configured with
and, when that is absent, tries to pull it. kubeadm's own warning about this is not usable on containerd 2.x.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from installer.bundle.errors import FormatError
from installer.bundle.index import BundledImage
from installer.bundle.reference import Reference
from installer.errors import StepError
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import containerd as render
from installer.steps.imagestore import ImageStore, StoredImage
from installer.steps.runtime import CONFIG_DUMP, effective_config

KUBEADM = "/usr/local/bin/kubeadm"
CRICTL = "/usr/local/bin/crictl"


@dataclass(frozen=True)
class SandboxAgreement:
    """One sandbox image in four places. Nothing can be applied here: a disagreement stops the install."""

    kubernetes: str
    pause: BundledImage
    store: ImageStore
    config_dump: tuple[str, ...] = CONFIG_DUMP
    id: str = "runtime/sandbox"
    title: str = "one sandbox image in four places"

    @property
    def _wanted(self) -> str:
        return str(self.pause.reference)

    def check(self, view: NodeView) -> CheckResult:
        """All four places name the bundle's pause image, and the store has its very digest, pinned."""
        answers = self.answers(view)
        agree = all(answer == self._wanted for answer in answers.values())
        if agree:
            return CheckResult(True, f"{self._wanted} in 4 of 4 places", proof=True)
        right = sum(answer == self._wanted for answer in answers.values())
        return CheckResult(False, f"{self._wanted} in {right} of 4 places", (f"prove {self._wanted} in 4 places",))

    def apply(self, node: Node) -> str:
        """Raises :class:`StepError` showing all four answers; the steps before this one are what makes them agree."""
        answers = self.answers(node)
        if all(answer == self._wanted for answer in answers.values()):
            return f"{self._wanted} in 4 of 4 places"
        width = max(len(place) for place in answers)
        raise StepError(
            "the sandbox image is not the same everywhere",
            where=self.id,
            wanted=f"{self._wanted}, at {self.pause.blob}, in all four places",
            got="\n".join(f"{place:<{width}}  {answer}" for place, answer in answers.items()),
            next_step=f"look for files in {render.DROP_IN_DIR} that set the sandbox image, then run this again",
        )

    def answers(self, view: NodeView) -> dict[str, str]:
        """What each of the four places says, by name; a place that cannot say says why."""
        return {
            "kubeadm config images list": self._of_kubeadm(view),
            "containerd config dump": render.sandbox_of(effective_config(view, self.config_dump)) or "names none",
            "CRI status": self._of_cri(view),
            "image store": self._of_store(view),
        }

    def _of_kubeadm(self, view: NodeView) -> str:
        said = view.query([KUBEADM, "config", "images", "list", "--kubernetes-version", f"v{self.kubernetes}"])
        if not said.ok:
            return f"does not answer: {_last_line(said.stderr)}"
        found = [line for line in said.stdout.split() if _repository(line).rpartition("/")[2] == "pause"]
        return found[0] if len(found) == 1 else f"lists {len(found)} pause images"

    def _of_cri(self, view: NodeView) -> str:
        """The CRI's own configuration; a CRI that does not show it (some 2.x) must resolve the name by itself."""
        crictl = (CRICTL, "--runtime-endpoint", f"unix://{self.store.socket}")
        said = view.query([*crictl, "info", "-o", "json"])
        if not said.ok:
            return f"does not answer: {_last_line(said.stderr)}"
        config = _mapping(_json(said.stdout).get("config"))
        named = config.get("sandboxImage")
        if isinstance(named, str) and named:
            return named
        image = view.query([*crictl, "inspecti", "-o", "json", self._wanted])
        tags = _mapping(_json(image.stdout).get("status")).get("repoTags")
        return self._wanted if image.ok and isinstance(tags, list) and self._wanted in tags else "shows none"

    def _of_store(self, view: NodeView) -> str:
        stored = self.store.read(view)
        found = None if stored is None else stored.get(self._wanted)
        if found is None:
            return "does not answer" if stored is None else "has no such image"
        return self._wanted if self._is_right(found) else _shortcoming(found, self.pause)

    def _is_right(self, found: StoredImage) -> bool:
        return found.digest in self.pause.stored_digests and found.pinned and found.whole


def _shortcoming(found: StoredImage, wanted: BundledImage) -> str:
    if found.digest not in wanted.stored_digests:
        return f"{found.name} at {found.digest}"
    return f"{found.name} is not {'pinned' if found.whole else 'complete and unpacked'}"


def _repository(line: str) -> str:
    try:
        return Reference.parse(line).repository
    except FormatError:
        return ""


def _json(text: str) -> dict[str, object]:
    try:
        return _mapping(json.loads(text))
    except ValueError:
        return {}


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "no reason given"

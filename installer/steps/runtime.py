"""containerd: its daemon, its configuration, and the proof that everyone means the same sandbox image.

The order matters. The daemon first runs without naming a sandbox image (or with the configuration that was there),
then the images are imported and pinned, and only then the whole configuration is written and the daemon restarted: at
no moment does a running daemon name an image that is not in its store.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from installer.errors import CommandError, StepError
from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import containerd as render
from installer.steps.judged import judged
from installer.steps.textfile import is_written
from installer.steps.units import RESTART_TIMEOUT_SECONDS, UnitState, enable, reload_units

CONTAINERD = "/usr/local/bin/containerd"
CONFIG_DUMP = (CONTAINERD, "config", "dump")
UNIT = "containerd.service"
KEPT_CONFIG = f"{render.CONFIG_PATH}.before-airgap-bundle"
CANDIDATE_CONFIG = f"{render.CONFIG_PATH}.candidate"
RESTART_MARK = "/run/airgap-bundle/containerd-restart"
"""There from before the configuration is replaced until the daemon has restarted with it; a reboot restarts it too."""


@dataclass(frozen=True)
class ContainerdDaemon:
    """The placed containerd, running under our unit with the wanted root folder."""

    version: str
    settings: render.RuntimeSettings
    id: str = "services/containerd"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"containerd {self.version} running and enabled"

    def check(self, view: NodeView) -> CheckResult:
        """The unit is ours, enabled and active, its process is the placed binary, and its root folder is the wanted."""
        state = UnitState.read(view, UNIT)
        changes = []
        if not is_written(view, render.UNIT_PATH, render.unit(self.version)) or state.stale:
            changes.append(f"write {render.UNIT_PATH}")
        if _root(view) != self.settings.root:
            changes.append(f"write {render.CONFIG_PATH} with root {self.settings.root}")
        if not state.enabled:
            changes.append(f"enable {UNIT}")
        if not state.active or state.program != CONTAINERD:
            changes.append(f"start {UNIT}")
        return judged(changes, f"containerd {self.version}, {self.settings.root}")

    def apply(self, node: Node) -> str:
        """Writes the unit, and a first configuration where there is none with this root, then starts the daemon."""
        node.write_file(render.UNIT_PATH, render.unit(self.version).encode())
        node.make_dir(render.REGISTRY_DIR)
        node.make_dir(self.settings.cni_conf_dir)
        if node.stat(render.CONFIG_PATH) is None or _root(node) != self.settings.root:
            keep_foreign_config(node)
            first = render.config(self.version, replace(self.settings, sandbox=None))
            node.write_file(render.CONFIG_PATH, first.encode())
        reload_units(node)
        enable(node, UNIT)
        node.run(["systemctl", "restart", UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        return f"containerd {self.version}, {self.settings.root}"


@dataclass(frozen=True)
class ContainerdConfig:
    """The whole configuration as rendered, in force in the running daemon."""

    version: str
    settings: render.RuntimeSettings
    id: str = "runtime/config"
    title: str = "containerd's configuration in force"

    @property
    def _text(self) -> str:
        return render.config(self.version, self.settings)

    def check(self, view: NodeView) -> CheckResult:
        """The file has the rendered bytes and the daemon has restarted since it was written."""
        changes = []
        if not is_written(view, render.CONFIG_PATH, self._text):
            changes.append(f"write {render.CONFIG_PATH}")
        if view.stat(RESTART_MARK) is not None or not UnitState.read(view, UNIT).active:
            changes.append(f"restart {UNIT}")
        return judged(changes, f"schema {render.schema_of(self.version)}")

    def apply(self, node: Node) -> str:
        """Tries the new file, keeps the old one, writes, restarts; the old one comes back if the daemon does not."""
        self._try(node)
        keep_foreign_config(node)
        old = node.read_bytes(render.CONFIG_PATH)
        node.write_file(RESTART_MARK, b"")
        node.write_file(render.CONFIG_PATH, self._text.encode())
        try:
            node.run(["systemctl", "restart", UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        except CommandError:
            if old is not None:
                node.write_file(render.CONFIG_PATH, old)
                node.run(["systemctl", "restart", UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
            raise
        node.remove(RESTART_MARK)
        return f"schema {render.schema_of(self.version)}, sandbox {self.settings.sandbox}"

    def _try(self, node: Node) -> None:
        """Has the placed containerd read the new file before it takes the place of the old one."""
        node.write_file(CANDIDATE_CONFIG, self._text.encode())
        said = node.query([CONTAINERD, "--config", CANDIDATE_CONFIG, "config", "dump"])
        node.remove(CANDIDATE_CONFIG)
        read = _parsed(said.stdout) if said.ok else {}
        if render.sandbox_of(read) != self.settings.sandbox:
            raise StepError(
                "containerd does not read the configuration as it was written",
                where=f"containerd --config {CANDIDATE_CONFIG} config dump",
                wanted=f"sandbox image {self.settings.sandbox}",
                got=str(render.sandbox_of(read)) if said.ok else said.stderr.strip()[-500:],
                next_step=f"look for files in {render.DROP_IN_DIR} that set the sandbox image, and move them away",
            )


def keep_foreign_config(node: Node) -> None:
    """Keeps a configuration that is not ours beside the place, once."""
    found = node.read_bytes(render.CONFIG_PATH)
    if found is not None and not render.is_ours(found) and node.stat(KEPT_CONFIG) is None:
        node.write_file(KEPT_CONFIG, found)


def effective_config(view: NodeView, dump: Sequence[str] = CONFIG_DUMP) -> dict[str, object]:
    """What ``containerd config dump`` says: the main file and everything it imports, merged; empty if it cannot."""
    said = view.query(dump)
    return _parsed(said.stdout) if said.ok else {}


def _parsed(toml: str) -> dict[str, object]:
    try:
        return tomllib.loads(toml)
    except tomllib.TOMLDecodeError:
        return {}


def _root(view: NodeView) -> str | None:
    root = effective_config(view).get("root")
    return root if isinstance(root, str) else None

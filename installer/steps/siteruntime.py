"""A containerd that the site owns: kept as it is, told only what Kubernetes needs, and never left in a worse state."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase

from installer.errors import CommandError, StepError
from installer.execute import CheckResult
from installer.foundcontainerd import FoundContainerd
from installer.node import Node, NodeView
from installer.render.containerd import RuntimeSettings
from installer.render.sitecontainerd import ConfigFile, Edit, InForce, Needed, imported_from, needed
from installer.steps.judged import judged
from installer.steps.runtime import RESTART_MARK, UNIT, effective_config
from installer.steps.units import RESTART_TIMEOUT_SECONDS, UnitState, enable

KEPT_SUFFIX = ".before-airgap-bundle"
RECORD_PATH = "/var/lib/airgap-bundle/site-containerd.json"
"""The digest of each of the site's files as this tool left it, so that a reset can tell a later change of the site."""


@dataclass(frozen=True)
class SiteContainerd:
    """The site's containerd runs and starts at boot; its unit and its program are left alone."""

    runtime: FoundContainerd
    id: str = "services/containerd"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"the site's containerd {self.runtime.version} running and enabled"

    def check(self, view: NodeView) -> CheckResult:
        """systemd says that the unit is enabled and active."""
        state = UnitState.read(view, UNIT)
        changes = [] if state.enabled else [f"enable {UNIT}"]
        if not state.active:
            changes.append(f"start {UNIT}")
        return judged(changes, f"{self.runtime.version} at {self.runtime.program}, the site's")

    def apply(self, node: Node) -> str:
        """Enables the unit, and starts it if it does not run."""
        enable(node, UNIT)
        if not UnitState.read(node, UNIT).active:
            node.run(["systemctl", "restart", UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        return f"{self.runtime.version} at {self.runtime.program}, the site's"


@dataclass(frozen=True)
class SiteConfig:
    """What Kubernetes needs, in force in the site's containerd; every other line of its files stays."""

    runtime: FoundContainerd
    settings: RuntimeSettings
    has_registries: bool
    id: str = "runtime/config"
    title: str = "the site's containerd configured for Kubernetes"

    def check(self, view: NodeView) -> CheckResult:
        """The values are in force by ``config dump``, and the daemon has restarted since they were written."""
        found = self._needed(view)
        changes = [] if found.edits else [f"have in force: {value}" for value in found.lacking]
        for edit in found.edits:
            kept = edit.file.path + KEPT_SUFFIX
            changes.append(f"{'write' if edit.file.text is None else 'edit'} {edit.file.path}")
            if edit.file.text is not None and view.stat(kept) is None:
                changes.append(f"keep the old file as {kept}")
            changes += edit.diff()
        if changes or view.stat(RESTART_MARK) is not None:
            changes.append(f"restart {UNIT}; containers keep running")
        return judged(changes, f"in force in {self.runtime.config_path}")

    def apply(self, node: Node) -> str:
        """Keeps the old files, writes, has containerd read them, restarts; what was there comes back on failure."""
        pending = self._needed(node).edits
        node.write_file(RESTART_MARK, b"")
        for edit in pending:
            kept = edit.file.path + KEPT_SUFFIX
            if edit.file.text is not None and node.stat(kept) is None:
                node.write_file(kept, edit.file.text.encode(), mode=_mode(node, edit.file.path))
            node.write_file(edit.file.path, edit.new.encode(), mode=_mode(node, edit.file.path))
        try:
            self._demand_in_force(node)
            node.run(["systemctl", "restart", UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        except StepError:
            _put_back(node, pending)
            node.remove(RESTART_MARK)
            raise
        except CommandError:
            _put_back(node, pending)
            node.run(["systemctl", "restart", UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
            node.remove(RESTART_MARK)
            raise
        _record(node, pending)
        node.remove(RESTART_MARK)
        return f"{', '.join(edit.file.path for edit in pending) or 'nothing'} changed, restarted"

    def _needed(self, view: NodeView) -> Needed:
        in_force = InForce(effective_config(view, self.runtime.config_dump))
        files = _config_files(view, self.runtime.config_path)
        return needed(self.runtime.version, files, in_force, self.settings, has_registries=self.has_registries)

    def _demand_in_force(self, node: Node) -> None:
        """Has containerd read the new files: what is still not in force is set by a file that comes later."""
        left = self._needed(node).lacking
        if left:
            raise StepError(
                "containerd does not take the values as they were written; its files are as before",
                where=" ".join(self.runtime.config_dump),
                wanted="\n".join(left),
                next_step="look for a file that containerd imports and that sets these too, and correct it there",
            )


def changed_files(view: NodeView) -> dict[str, bool]:
    """Each of the site's files that this tool changed, and whether it is still as it was left then."""
    try:
        files = json.loads(view.read_text(RECORD_PATH) or "{}")
        return {path: view.digest(path) == digest for path, digest in files.items()}
    except (ValueError, AttributeError):
        return {}


def _record(node: Node, pending: tuple[Edit, ...]) -> None:
    left = [path for path, as_left in changed_files(node).items() if as_left]
    digests = {path: node.digest(path) for path in (*left, *(edit.file.path for edit in pending))}
    node.write_file(RECORD_PATH, (json.dumps(digests, indent=2, sort_keys=True) + "\n").encode())


def _put_back(node: Node, pending: tuple[Edit, ...]) -> None:
    for edit in pending:
        if edit.file.text is None:
            node.remove(edit.file.path)
        else:
            node.write_file(edit.file.path, edit.file.text.encode(), mode=_mode(node, edit.file.path))


def _config_files(view: NodeView, path: str) -> list[ConfigFile]:
    """The main file and the files it imports, in the order containerd reads them."""
    main = ConfigFile(path, view.read_text(path))
    files = [main]
    for folder, name in imported_from(main):
        matching = (found for found in view.list_dir(folder) if fnmatchcase(found, name))
        files += [ConfigFile(f"{folder}/{found}", view.read_text(f"{folder}/{found}")) for found in matching]
    return files


def _mode(view: NodeView, path: str) -> int:
    found = view.stat(path)
    return found.mode & 0o7777 if found is not None and found.kind == "file" else 0o644

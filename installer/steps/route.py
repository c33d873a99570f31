"""The route to the cluster's Services, which a node without a default route lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.render import route as render
from installer.steps.judged import judged
from installer.steps.textfile import is_written
from installer.steps.units import RESTART_TIMEOUT_SECONDS, UnitState, enable, reload_units


@dataclass(frozen=True)
class ServiceRoute:
    """Some route leads to ``service_subnet``: the node's own, or else ours, now and after a reboot."""

    service_subnet: str
    address: str
    id: str = "network/service-route"

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"a route that leads to Services, {self.service_subnet}"

    def check(self, view: NodeView) -> CheckResult:
        """The node's own route is enough; once ours is used, its unit must be there and enabled too."""
        device = self._device(view)
        if device and device != render.INTERFACE and view.stat(render.UNIT_PATH) is None:
            return CheckResult(True, f"through {device}")
        changes = [] if is_written(view, render.UNIT_PATH, self._unit) else [f"write {render.UNIT_PATH}"]
        state = UnitState.read(view, render.UNIT)
        if not state.enabled or state.stale or device is None:
            changes.append(f"enable {render.UNIT}: {self.service_subnet} by way of {render.INTERFACE}")
        return judged(changes, f"through {device}")

    def apply(self, node: Node) -> str:
        """Writes the unit, enables and starts it."""
        node.write_file(render.UNIT_PATH, self._unit.encode())
        reload_units(node)
        enable(node, render.UNIT)
        node.run(["systemctl", "restart", render.UNIT], timeout_seconds=RESTART_TIMEOUT_SECONDS)
        return f"through {render.INTERFACE}"

    @property
    def _unit(self) -> str:
        return render.unit(self.service_subnet, self.address)

    def _device(self, view: NodeView) -> str | None:
        """The interface packets for the first Service go to now, or ``None`` where no route leads there."""
        said = view.query(["ip", "-j", "route", "get", render.first_service(self.service_subnet)])
        try:
            found = json.loads(said.stdout) if said.ok else []
        except ValueError:
            return None
        return str(found[0].get("dev", "")) or None if found else None

"""The record of what this tool installs on a node, written before the first step and completed after the last.

It is what tells "this same install once more" from "a node that already belongs to some cluster".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from installer.bundle.digest import Digest
from installer.bundle.roles import ROLES
from installer.bundle.strict import Fields, Problems
from installer.errors import FormatError, InputError
from installer.foundcontainerd import OWNERS
from installer.node import Node, NodeView

STATE_FOLDER = "/var/lib/airgap-bundle"
PATH = f"{STATE_FOLDER}/installed.json"
CONFIG_PATH = f"{STATE_FOLDER}/cluster.yaml"
"""The cluster.yaml of the last install that was given one."""
SCHEMA = 1
STATES = ("started", "done")
DATA_FOLDERS = (
    "/etc/cni/net.d",
    "/etc/kubernetes",
    "/run/flannel",
    "/var/lib/cni",
    "/var/lib/etcd",
    "/var/lib/kubelet",
)
"""What a cluster's parts fill besides containerd's root."""


@dataclass(frozen=True)
class Installed:
    """Which bundle, as what, at which address; ``state`` is ``started`` until every step was as wanted.

    ``foreign_folders`` are data folders that held something before the first install: a reset leaves them alone, as it
    does a containerd whose ``containerd_owner`` is the site. ``empty_folders`` were there with nothing in them: a reset
    empties them and lets them stay. ``machine_id`` is ``/etc/machine-id`` at that time, empty
    where there was none.
    """

    identity: Digest
    name: str
    kubernetes: str
    role: str
    node_name: str
    address: str
    containerd_root: str
    state: str
    since_seconds: int
    foreign_folders: tuple[str, ...] = ()
    empty_folders: tuple[str, ...] = ()
    machine_id: str = ""
    containerd_owner: str = "installer"

    @classmethod
    def read(cls, view: NodeView) -> Installed | None:
        """The record on the node, or ``None``; :class:`FormatError` if it is there and cannot be read."""
        text = view.read_text(PATH)
        return None if text is None else cls.from_text(text)

    @classmethod
    def demand_node(cls, view: NodeView, next_step: str) -> Installed:
        """The record of an install that is done; :class:`InputError` on a machine that is no node yet."""
        record = cls.read(view)
        if record is None or record.state != "done":
            raise InputError(
                "this machine is no node yet",
                where=PATH,
                wanted="a node that this tool installed",
                got="none" if record is None else f"an install that is {record.state}",
                next_step=next_step,
            )
        return record

    @classmethod
    def from_text(cls, text: str) -> Installed:
        """The record in ``text``."""
        problems = Problems()
        try:
            document = json.loads(text)
        except ValueError as error:
            raise FormatError("the install record is not JSON", where=PATH, got=str(error)[:200]) from None
        fields = Fields(document, problems)
        if fields.integer("schema") != SCHEMA:
            fields.note("schema", f"wanted {SCHEMA}")
        record = cls(
            fields.parsed("identity", Digest),
            fields.text("name"),
            fields.text("kubernetes"),
            fields.choice("role", ROLES),
            fields.text("node_name"),
            fields.text("address"),
            fields.text("containerd_root"),
            fields.choice("state", STATES),
            fields.integer("since_seconds"),
            tuple(fields.texts("foreign_folders")),
            tuple(fields.texts("empty_folders", [])),
            fields.text("machine_id", ""),
            fields.choice("containerd_owner", OWNERS, "installer"),
        )
        fields.finish()
        problems.check("the install record cannot be read", FormatError, where=PATH)
        return record

    @property
    def data_folders(self) -> tuple[str, ...]:
        """The folders that only this cluster filled."""
        root = (self.containerd_root,) if self.containerd_owner == "installer" else ()
        return tuple(path for path in (*DATA_FOLDERS, *root) if path not in self.foreign_folders)

    @property
    def new_folders(self) -> tuple[str, ...]:
        """Those of :attr:`data_folders` that were not there before."""
        return tuple(path for path in self.data_folders if path not in self.empty_folders)

    def write(self, node: Node) -> None:
        """Writes the record to the node."""
        node.write_file(PATH, self.to_bytes(), mode=0o644)

    def to_bytes(self) -> bytes:
        """The record as :meth:`from_text` reads it."""
        return (json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n").encode()

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return {
            "schema": SCHEMA,
            "identity": str(self.identity),
            "name": self.name,
            "kubernetes": self.kubernetes,
            "role": self.role,
            "node_name": self.node_name,
            "address": self.address,
            "containerd_root": self.containerd_root,
            "state": self.state,
            "since_seconds": self.since_seconds,
            "foreign_folders": list(self.foreign_folders),
            "empty_folders": list(self.empty_folders),
            "machine_id": self.machine_id,
            "containerd_owner": self.containerd_owner,
        }

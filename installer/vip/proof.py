"""What this node saw of the moving address: who held it, and whether it answered here. Kept on the node."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from installer.bundle.strict import Fields, Problems
from installer.endpoint import ClusterNode
from installer.errors import FormatError
from installer.installed import STATE_FOLDER
from installer.node import Node, NodeView

PATH = f"{STATE_FOLDER}/vip-probe.json"
SCHEMA = 1


@dataclass(frozen=True)
class Seen:
    """The last time this node asked while ``name`` held the address: did it answer, and from which MAC?"""

    name: str
    address: str
    answered: bool
    mac: str
    at_seconds: int

    def is_of(self, node: ClusterNode) -> bool:
        """Whether the holder was this node."""
        return (self.name, self.address) == (node.name, node.address)


@dataclass(frozen=True)
class Proof:
    """What the control plane ``name`` at ``node_address`` saw of ``address``, by holder; the newest comes last."""

    address: str
    name: str
    node_address: str
    seen: tuple[Seen, ...] = ()

    @classmethod
    def read(cls, view: NodeView) -> Proof | None:
        """The record on the node, or ``None``; :class:`FormatError` if it is there and cannot be read."""
        text = view.read_text(PATH)
        return None if text is None else cls.from_text(text)

    @classmethod
    def from_text(cls, text: str) -> Proof:
        """The record in ``text``."""
        problems = Problems()
        try:
            fields = Fields(json.loads(text), problems)
        except ValueError as error:
            raise FormatError("the record of vip-probe is not JSON", where=PATH, got=str(error)[:200]) from None
        if fields.integer("schema") != SCHEMA:
            fields.note("schema", f"wanted {SCHEMA}")
        proof = cls(
            fields.text("address"),
            fields.text("name"),
            fields.text("node_address"),
            tuple(_seen(item) for item in fields.mappings("seen")),
        )
        fields.finish()
        next_step = f"remove {PATH} and run vip-probe ask again"
        problems.check("the record of vip-probe cannot be read", FormatError, where=PATH, next_step=next_step)
        return proof

    def with_seen(self, new: Seen) -> Proof:
        """With ``new`` in place of what was seen of that holder before."""
        return replace(self, seen=(*(item for item in self.seen if item.name != new.name), new))

    def write(self, node: Node) -> None:
        """Writes the record to the node."""
        text = json.dumps({"schema": SCHEMA} | asdict(self), indent=2, sort_keys=True)
        node.write_file(PATH, text.encode() + b"\n", mode=0o644)


def _seen(fields: Fields) -> Seen:
    seen = Seen(
        fields.text("name"),
        fields.text("address"),
        fields.boolean("answered"),
        fields.text("mac", ""),
        fields.integer("at_seconds"),
    )
    fields.finish()
    return seen

"""A small text file that is wholly ours: written when it differs, the content known beforehand."""

from __future__ import annotations

from dataclasses import dataclass

from installer.execute import CheckResult
from installer.node import Node, NodeView
from installer.steps.judged import judged


@dataclass(frozen=True)
class TextFile:
    """The file ``path`` with exactly this ``content`` and ``mode``. ``told`` is said of it instead of a long path.

    ``accepted`` is what a later step makes of it; ``settle_seconds`` is how long what watches the file needs.
    """

    id: str
    path: str
    content: str
    mode: int = 0o644
    told: str = ""
    accepted: tuple[str, ...] = ()
    settle_seconds: float = 0.0

    @property
    def title(self) -> str:
        """What is wanted."""
        return f"{self.path} as this install writes it"

    def check(self, view: NodeView) -> CheckResult:
        """The bytes and the mode are the wanted ones."""
        wanted = any(is_written(view, self.path, text, self.mode) for text in (self.content, *self.accepted))
        return judged([] if wanted else [f"write {self.path}"], self.told or self.path)

    def apply(self, node: Node) -> str:
        """Writes the file."""
        node.write_file(self.path, self.content.encode(), mode=self.mode)
        if self.settle_seconds:
            node.sleep(self.settle_seconds)
        return self.told or self.path


def is_written(view: NodeView, path: str, content: str, mode: int = 0o644) -> bool:
    """Whether ``path`` is a plain file with these bytes and this mode."""
    found = view.stat(path)
    if found is None or found.kind != "file" or found.mode & 0o7777 != mode:
        return False
    return view.read_bytes(path) == content.encode()

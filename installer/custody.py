"""The custody log: who did what with which bundle on this node, one line for each act, and nothing ever taken out.

An act is a run of a verb that may change the node, from the moment the medium was found whole; and, where a bundle was
installed here before, one that refused a medium. Verbs that only read write nothing. Undo and reset leave the log.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from installer.bundle.signer import Signer
from installer.errors import IntegrityError, OperatorError
from installer.installed import PATH as RECORD
from installer.installed import STATE_FOLDER
from installer.node import Node, NodeView

PATH = f"{STATE_FOLDER}/custody.log"
STAYS = f"so do the custody log ({PATH}) and the recorded signers beside it"
_MODE = 0o640
_LONGEST_DETAIL = 300


@dataclass(frozen=True)
class Entry:
    """One act: ``user`` asked for it (``uid`` is theirs, before sudo), ``identity`` is the bundle's, ``signers`` are
    fingerprints; ``result`` is one word or two, ``detail`` one line.
    """

    at: str
    user: str
    uid: int
    event: str
    identity: str
    result: str
    detail: str
    signers: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return asdict(self)


def note(
    node: Node, event: str, identity: str, result: str, detail: str = "", *, signers: Iterable[Signer] = ()
) -> None:
    """Appends one line, on the disk when this returns; :class:`OperatorError` where it cannot be."""
    user, uid = _caller(node)
    at = datetime.fromtimestamp(node.now_seconds(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fingerprints = tuple(signer.fingerprint for signer in signers)
    entry = Entry(at, user, uid, event, str(identity), result, detail[:_LONGEST_DETAIL], fingerprints)
    node.append(PATH, json.dumps(entry.to_dict(), sort_keys=True).encode("ascii") + b"\n", mode=_MODE)


def note_where_installed(node: Node, event: str, identity: str, result: str, detail: str = "") -> None:
    """:func:`note`, by root on a node that has something installed: elsewhere a verb leaves nothing behind."""
    if node.effective_uid() == 0 and _has_history(node):
        note(node, event, identity, result, detail)


@contextlib.contextmanager
def noted(node: Node, event: str, identity: str, detail: str = "", *, signers: Iterable[Signer] = ()) -> Iterator[None]:
    """Notes how the block ended: ``done``, or ``failed`` with the error, which wins over one of the log's own."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(OperatorError):
            note(node, event, identity, "failed", _told(error), signers=signers)
        raise
    note(node, event, identity, "done", detail, signers=signers)


@contextlib.contextmanager
def refusal_noted(node: Node) -> Iterator[None]:
    """Notes that a medium was refused in the block, on a node that has a record of a bundle already."""
    try:
        yield
    except IntegrityError as error:
        if _has_history(node):
            with contextlib.suppress(OperatorError):
                note(node, "verify", "", "refused", _told(error))
        raise


def _has_history(view: NodeView) -> bool:
    """Whether something was installed here. The folder alone says nothing: the lock of the run that asks is in it."""
    return any(view.stat(path) is not None for path in (RECORD, PATH))


def last(view: NodeView, count: int) -> tuple[Entry, ...]:
    """The newest ``count`` entries, oldest first; a line that cannot be read is passed over."""
    if view.stat(PATH) is None:
        return ()
    lines: deque[bytes] = deque(maxlen=count)
    rest = b""
    for chunk in view.read_chunks(PATH):
        *whole, rest = (rest + chunk).split(b"\n")
        lines.extend(whole)
    return tuple(entry for entry in map(_entry, [*lines, rest][-count - 1 :]) if entry is not None)[-count:]


def _entry(line: bytes) -> Entry | None:
    try:
        fields = json.loads(line)
        return Entry(**fields | {"signers": tuple(map(str, fields["signers"]))})
    except (ValueError, TypeError, KeyError):
        return None


def _caller(node: NodeView) -> tuple[str, int]:
    """Who gave the command: the user that sudo was called by, or root."""
    uid, user = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_USER", "")
    if uid.isdigit() and user:
        return user[:64], int(uid)
    return ("root" if node.effective_uid() == 0 else ""), node.effective_uid()


def _told(error: BaseException) -> str:
    if isinstance(error, OperatorError):
        return f"{error.message} ({error.where})" if error.where else error.message
    return type(error).__name__

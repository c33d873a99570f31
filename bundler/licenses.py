"""Licences by name, as the catalogue tells them and a lock keeps them: what each project publishes its program under.

They are SPDX expressions (``MPL-2.0 AND MIT``) of licences in the SPDX list. They say nothing of what else is in an
image. A lock holds those of what it carries, so that the bill of materials follows from the lock alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from bundler.errors import InputError
from bundler.yaml_document import open_document
from installer.bundle.strict import Fields

SCHEMA = 1
_WORD = re.compile(r"[()]|[A-Za-z0-9][A-Za-z0-9.-]*\+?")
_JOINS = ("AND", "OR", "WITH")
_LONGEST = 200


@dataclass(frozen=True)
class Licenses:
    """SPDX expressions of ``components`` and ``charts`` by name, ``images`` by ``registry/repository``, and of the
    packages in the installer's ``runtime``.
    """

    components: Mapping[str, str] = field(default_factory=dict)
    charts: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    runtime: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Fields) -> Licenses:
        """Licences from their mapping."""
        found = cls(**{kind: _expressions(given, kind) for kind in KINDS})
        given.finish()
        return found

    def to_dict(self) -> dict[str, dict[str, str]]:
        """The mapping :meth:`read` takes; kinds of which nothing is known are left out."""
        kinds = {kind: dict(sorted(getattr(self, kind).items())) for kind in KINDS}
        return {kind: expressions for kind, expressions in kinds.items() if expressions}

    def over(self, below: Licenses) -> Licenses:
        """These laid over those ``below``."""
        return Licenses(**{kind: {**getattr(below, kind), **getattr(self, kind)} for kind in KINDS})

    def only(self, **names: Iterable[str]) -> Licenses:
        """Those of the ``names`` of each kind."""
        chosen = {kind: set(wanted) for kind, wanted in names.items()}
        return Licenses(
            **{
                kind: {name: text for name, text in getattr(self, kind).items() if name in chosen.get(kind, ())}
                for kind in KINDS
            }
        )


KINDS = tuple(item.name for item in fields(Licenses))


def read_licenses(document: object, *, where: str, layer: object, below: Licenses | None) -> Licenses:
    """Licences from ``licenses.yaml``, over those ``below``; raises :class:`InputError`."""
    del layer  # whose word a licence is makes no difference to any byte
    given = open_document(document, SCHEMA, where=where)
    found = Licenses.read(given)
    given.problems.check("the catalogue cannot be used", InputError, where=where)
    return found.over(below or Licenses())


def _expressions(given: Fields, kind: str) -> dict[str, str]:
    found = given.text_map(kind)
    for name, text in found.items():
        if not is_expression(text):
            given.note(f"{kind}.{name}", f"wanted an SPDX expression such as MPL-2.0 AND MIT, got {text[:100]!r}")
    return found


def is_expression(text: str) -> bool:
    """Whether ``text`` is an SPDX expression in form; its names are not looked up."""
    if len(text) > _LONGEST or _WORD.sub("", text).strip(" "):
        return False
    depth, wants_name = 0, True
    for word in _WORD.findall(text):
        if word == "(":
            if not wants_name:
                return False
            depth += 1
        elif word == ")":
            if wants_name or depth == 0:
                return False
            depth -= 1
        elif (word in _JOINS) == wants_name:
            return False
        else:
            wants_name = not wants_name
    return depth == 0 and not wants_name

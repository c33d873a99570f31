"""One YAML document (or plain text) from a file: safe types only, a key given twice is refused, errors name the place.

YAML itself lets the last of two equal keys win, which in a table of checksums would hide a slip of the hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundler.errors import FormatError, InputError
from installer.bundle.index import demand_schema
from installer.bundle.regularfile import read_regular
from installer.bundle.strict import Fields, Problems
from installer.bundle.yamlbounds import demand_modest


def read_text(path: Path) -> str:
    """The text of ``path``; raises :class:`InputError` when it cannot be read or is not UTF-8."""
    try:
        return read_regular(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise InputError("the file cannot be read", where=str(path), got=got) from None


def read_document(path: Path) -> Any:
    """The document in ``path``; raises :class:`InputError` when it cannot be read or is not one YAML document."""
    return parse_document(read_text(path), where=str(path))


def parse_document(text: str, *, where: str) -> Any:
    """The one YAML document that ``text`` is. The parser is loaded only here, so that help and errors stay quick."""
    from installer.bundle.yamltext import UNREADABLE

    try:
        demand_modest(text)
        loader = _loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except UNREADABLE as error:
        raise InputError("not a YAML document", where=where, got=str(error)[:500]) from None


def open_document(document: object, schema: int, *, where: str) -> Fields:
    """The top mapping of ``document``, its ``schema`` checked; raises :class:`InputError` for any other schema."""
    try:
        demand_schema(document, schema, where)
    except FormatError as error:
        raise InputError(
            error.message, where=where, wanted=error.wanted, got=error.got, next_step=error.next_step
        ) from None
    fields = Fields(document, Problems())
    fields.integer("schema")
    return fields


def _loader(text: str) -> Any:
    """A safe loader (in C where PyYAML was built with it) that refuses a mapping with the same key twice."""
    import yaml

    from installer.bundle.yamltext import bounded

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    @bounded
    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key_node, _ in node.value:
                key = key_node.value
                if isinstance(key, str) and key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(str(key))
            return super().construct_mapping(node, deep=deep)

    return Loader(text)

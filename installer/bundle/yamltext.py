"""Reading YAML that people write: plain data only, no aliases, no duplicate keys, dates stay strings.

Also what any loader of PyYAML needs before outsiders' text can be given to it: :func:`bounded` and
:data:`UNREADABLE`, beside :mod:`.yamlbounds`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import yaml

from installer.bundle.errors import InputError
from installer.bundle.yamlbounds import demand_modest

LIMIT_BYTES = 256 * 1024
UNREADABLE = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What PyYAML raises for documents that are none: it trusts explicit tags (``!!int ""``, ``!!bool maybe``)."""


_MOST_NUMBER_CHARACTERS = 64
_Loader_T = TypeVar("_Loader_T", bound=type)


def bounded(loader: _Loader_T) -> _Loader_T:
    """A class of loaders made to refuse numbers so long (``1:1:1:…``) that they take minutes to read."""

    def short(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def constructed(self: Any, node: Any) -> Any:
            if len(node.value) > _MOST_NUMBER_CHARACTERS:
                raise yaml.constructor.ConstructorError(None, None, "a number that is too long", node.start_mark)
            return construct(self, node)

        return constructed

    constructor: Any = yaml.constructor.SafeConstructor
    for name in ("int", "float"):
        made = short(getattr(constructor, f"construct_yaml_{name}"))
        loader.add_constructor(f"tag:yaml.org,2002:{name}", made)  # type: ignore[attr-defined]
    return loader


@bounded
class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases (which can blow a few lines up to gigabytes) and without dates."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name and shape
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read here; write it out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(text: str, *, where: str) -> Any:
    """The document in ``text`` as plain values; raises :class:`InputError` with the line for anything unreadable."""
    size_bytes = len(text.encode("utf-8", "surrogateescape"))
    if size_bytes > LIMIT_BYTES:
        raise InputError(
            "the file is too large", where=where, wanted=f"at most {LIMIT_BYTES} bytes", got=str(size_bytes)
        )
    try:
        with contextlib.suppress(yaml.YAMLError):  # the loader says it better
            demand_modest(text, most_repeated=math.inf)
        return yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        raise InputError("the file is not YAML", where=place, got=error.problem) from None
    except UNREADABLE as error:
        raise InputError("the file is not YAML", where=where, got=str(error)[:200]) from None

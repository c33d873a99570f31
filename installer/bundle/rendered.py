"""The images that rendered objects name: what the builder carries and what a node is about to run, by one rule.

These are images:

- every text under a key ``image``; a container's must be a reference;
- the same in the YAML or JSON that a ConfigMap holds as text, such as the template of a pod that an operator makes;
- in a container's ``command``, ``args`` and ``env``, a whole text (or what follows a flag's ``=``) that is a reference
  with a dot in its registry and a tag or digest, as ``--acme-http01-solver-image=quay.io/jetstack/solver:v1``. Where
  the flag's or variable's name ends in ``image`` the registry may be left out.

A text elsewhere that is no reference is nothing that could be pulled. Rendered objects are outside input: nothing in
them is believed but what is asked for here.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from installer.bundle.errors import FormatError, InputError
from installer.bundle.reference import Reference
from installer.bundle.yamlbounds import demand_modest

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_SAYS_IMAGE = re.compile(r"(?i).*image|RELATED_IMAGE_.*")


def images_in(rendered: str, *, where: str) -> tuple[Reference, ...]:
    """Every image that the objects in ``rendered`` name, sorted, each once.

    Raises :class:`InputError` for what is no YAML, and for a container whose image is no reference.
    """
    try:
        documents = _loaded(rendered)
    except ValueError as error:
        raise InputError("the chart does not render to YAML", where=where, got=str(error)[:500]) from None
    found = set()
    for text in _texts(documents):
        try:
            found.add(Reference.parse(text.text))
        except FormatError:
            if text.must_be_one:
                raise InputError(
                    "the chart names an image that is no reference",
                    where=where,
                    wanted="registry/repository:tag",
                    got=text.text[:200],
                    next_step="check the add-on's values",
                ) from None
    return tuple(sorted(found, key=str))


@dataclass(frozen=True)
class _Text:
    """A text that may be an image; one that is no reference is an error if ``must_be_one``."""

    text: str
    must_be_one: bool = False


@dataclass(frozen=True)
class _Part:
    """A value somewhere in the objects: whether it is a container (or a list of them), whether a ConfigMap holds it."""

    value: Any
    is_container: bool = False
    in_text: bool = False


def _texts(documents: list[Any]) -> Iterator[_Text]:
    """Each text that may be an image. Aliases can make a loop: each value is looked at once."""
    todo = [_Part(document) for document in documents]
    seen: dict[tuple[int, bool], Any] = {}  # keeps every value alive, or another could get its id
    while todo:
        part = todo.pop()
        value = part.value
        if not isinstance(value, (dict, list)) or (id(value), part.is_container) in seen:
            continue
        seen[id(value), part.is_container] = value
        if isinstance(value, list):
            todo += [_Part(item, part.is_container, part.in_text) for item in value]
            continue
        yield from _image_of(part)
        if part.is_container:
            yield from _of_a_command(value)
        todo += [_Part(item, key in _CONTAINERS, part.in_text) for key, item in value.items()]
        if value.get("kind") == "ConfigMap":
            todo += [_Part(document, in_text=True) for document in _documents_in(value.get("data"))]


def _image_of(part: _Part) -> Iterator[_Text]:
    """The text under the key ``image``. In a ConfigMap only a container's may lack a tag: the key may mean anything."""
    text = part.value.get("image")
    if isinstance(text, str) and text and (part.is_container or not part.in_text or _is_explicit(text)):
        yield _Text(text, must_be_one=part.is_container and not part.in_text)


def _of_a_command(container: dict[Any, Any]) -> Iterator[_Text]:
    """What a container is told on its command line and in its environment, where that is an image."""
    before = ""
    for word in [*_words(container.get("command")), *_words(container.get("args"))]:
        name, equals, value = word.partition("=")
        if _is_image(name if equals else before, value if equals else word):
            yield _Text(value if equals else word)
        before = word
    variables = container.get("env")
    for item in variables if isinstance(variables, list) else []:
        told, meant = (item.get("name"), item.get("value")) if isinstance(item, dict) else (None, None)
        if isinstance(told, str) and isinstance(meant, str) and _is_image(told, meant):
            yield _Text(meant)


def _words(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _is_image(name: str, text: str) -> bool:
    registry, slash, _ = text.partition("/")
    named = _SAYS_IMAGE.fullmatch(name) is not None or (bool(slash) and "." in registry)
    return named and _is_explicit(text)


def _is_explicit(text: str) -> bool:
    """Whether a text ends as a reference with a tag or digest does."""
    last = text.rpartition("/")[2]
    return "@" in last or ":" in last


def _documents_in(data: Any) -> Iterator[Any]:
    """What the texts of a ConfigMap are as YAML, of which JSON is a part; one that is neither holds no objects."""
    for text in data.values() if isinstance(data, dict) else []:
        if isinstance(text, str) and "image" in text:
            with contextlib.suppress(ValueError):
                yield from _loaded(text)


def _loaded(text: str) -> list[Any]:
    """The documents in ``text``, or :class:`ValueError`. The parser is loaded only here, so that help stays quick."""
    import yaml

    from installer.bundle.yamltext import UNREADABLE, bounded

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        demand_modest(text, most_repeated=math.inf)
        return list(yaml.load_all(text, Loader=bounded(type("Loader", (base,), {}))))
    except UNREADABLE as error:
        raise ValueError(str(error)) from None

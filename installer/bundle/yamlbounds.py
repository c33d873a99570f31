"""Whether YAML from outside can be read at all: parsers recurse, and an alias may stand for gigabytes.

PyYAML's loader in C ends the whole process on deep nesting. Its events come one after another, so they are looked at
first.
"""

from __future__ import annotations

MOST_DEPTH = 200
"""Schemas in custom resource definitions are nested some forty deep."""
MOST_REPEATED = 100_000
"""So many values, in all, may be there only because aliases repeat them; a long text counts as several."""
_TEXT_CHARACTERS = 100


def demand_modest(text: str, most_repeated: float = MOST_REPEATED) -> None:
    """Raises :class:`ValueError` for YAML that is nested deeper than :data:`MOST_DEPTH`, or that aliases make repeat
    more than ``most_repeated`` values (infinity: whoever reads it looks at each value once), and ``yaml.YAMLError``
    for what is no YAML.
    """
    import yaml

    weights: dict[str, int] = {}
    around: list[tuple[str | None, int]] = [(None, 0)]
    repeated = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        anchor, weight = getattr(event, "anchor", None), 0
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((anchor, 1))
            if len(around) > MOST_DEPTH:
                raise ValueError(f"nested deeper than {MOST_DEPTH}")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, weight = around.pop()
        elif isinstance(event, yaml.ScalarEvent):
            weight = 1 + len(event.value) // _TEXT_CHARACTERS
        elif isinstance(event, yaml.AliasEvent):
            # one that is not finished stands for itself, without end
            weight = weights.get(anchor or "", MOST_REPEATED + 1)
            repeated += weight
            if repeated > most_repeated:
                raise ValueError(f"aliases that repeat more than {most_repeated} values")
        if anchor is not None:
            weights[anchor] = weight
        around[-1] = (around[-1][0], around[-1][1] + weight)

"""YAML from outside: what real documents hold passes, what would end the process or fill the memory does not."""

from __future__ import annotations

import pytest
import yaml

from installer.bundle.yamlbounds import MOST_DEPTH, MOST_REPEATED, demand_modest
from tests.fakes.charts import LAUGHS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\n---\nb: [1, {c: 2}]\n",
        "defaults: &d {cpu: 1}\none: *d\ntwo: {<<: *d}\n",
        "a: " + "[" * (MOST_DEPTH - 2) + "]" * (MOST_DEPTH - 2),
        f"a: &a 1\nb: [{', '.join(['*a'] * MOST_REPEATED)}]\n",
    ],
    ids=["nothing", "two documents", "aliases", "as deep as it may be", "as many as there may be"],
)
def test_what_is_real_passes(text: str) -> None:
    demand_modest(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: " + "[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1), "deeper"),
        ("[" * 500_000, "deeper"),
        ("- " * 100_000 + "a", "deeper"),
        (LAUGHS, "aliases"),
        ("a: &a [*a]", "aliases"),
        (f"a: &a 1\nb: [{', '.join(['*a'] * (MOST_REPEATED + 1))}]\n", "aliases"),
        (f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 20)}]\n", "aliases"),
    ],
    ids=["one deeper", "flow", "block", "laughs", "itself", "one more", "long texts"],
)
def test_what_no_parser_survives_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        demand_modest(text)


def test_what_is_no_yaml_is_told_as_such() -> None:
    with pytest.raises(yaml.YAMLError):
        demand_modest("a: [1,")

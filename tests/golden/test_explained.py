"""What a bundle holds and what changed, as an operator reads it: text, JSON and the page."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bundler.changes import compare
from bundler.contents import Contents
from bundler.explain import Report
from bundler.explain_json import change_document, report_document
from bundler.explain_page import page_text
from bundler.explain_text import change_lines, report_lines
from tests.fakes.told_bundles import told_index, told_lock
from tests.golden.expectation import demand_same

SCHEMA = Path(__file__).parents[2] / "docs" / "explain.schema.json"
OLD, NEW = (
    Report.of(Contents.of_build(told_lock(index), index))
    for index in (
        told_index("1.30.13", cilium="1.18.11"),
        told_index(pause="3.10", values={"hubble": {"enabled": True}, "k8sServicePort": "${apiPort}"}),
    )
)
LOCK = Report.of(Contents.of_lock(told_lock(told_index())))
CHANGES = compare(OLD, NEW)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("diff.txt", list(change_lines(CHANGES))),
        ("diff-same.txt", list(change_lines(compare(NEW, NEW)))),
        ("report.txt", list(report_lines(NEW, CHANGES))),
        ("report-lock.txt", list(report_lines(LOCK))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_text(name: str, lines: list[str]) -> None:
    demand_same(f"explained/{name}", "".join(f"{line}\n" for line in lines))
    long = [line for line in lines if len(line) > 80 and "://" not in line]
    assert long == []


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("diff.json", change_document(CHANGES)),
        ("report.json", report_document(NEW, CHANGES)),
        ("report-lock.json", report_document(LOCK)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_json(name: str, document: dict[str, object]) -> None:
    demand_same(f"explained/{name}", json.dumps(document, indent=2) + "\n")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(document)] == []
    assert list(validator.iter_errors(document | {"more": 1}))


def test_page() -> None:
    demand_same("explained/page.html", page_text(NEW, CHANGES))

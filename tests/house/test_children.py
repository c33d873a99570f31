"""Who starts programs, and with what: no input that somebody types, and an environment that was decided here."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
_STARTS = {"run", "Popen", "call", "check_call", "check_output"}
_CALLERS_ENVIRONMENT = {
    "bundler/sources/auth.py",  # a credential helper is the user's own program, and asks the user's session
    "bundler/sources/wheels.py",  # pip's own settings and proxies are to apply
}


def _starts(path: Path) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _STARTS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "subprocess"
    ]


def test_every_program_gets_an_input_and_an_environment_of_ours() -> None:
    found = {}
    for path in sorted([*(ROOT / "bundler").rglob("*.py"), *(ROOT / "installer").rglob("*.py")]):
        for call in _starts(path):
            name = str(path.relative_to(ROOT))
            given = {word.arg for word in call.keywords}
            assert given & {"stdin", "input"}, f"{name}:{call.lineno} reads what is typed"
            assert "env" in given or name in _CALLERS_ENVIRONMENT, f"{name}:{call.lineno} has the caller's environment"
            assert "shell" not in given
            found[name] = True
    assert len(found) == 6, "the rule looks at nothing"

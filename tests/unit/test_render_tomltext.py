"""Setting values in somebody else's TOML: only the wanted lines differ, whatever the style of the rest."""

from __future__ import annotations

import difflib
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.errors import InputError
from installer.render.tomltext import KeyPath, Value, with_values

CRI = ("plugins", "io.containerd.grpc.v1.cri")


def changed(text: str, values: dict[KeyPath, Value]) -> list[str]:
    """The lines that differ, and the proof that the document has the values and all it had."""
    result = with_values(text, values, where="config.toml")
    tomllib.loads(result)
    lines = difflib.unified_diff(text.split("\n"), result.split("\n"), lineterm="", n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_a_value_is_replaced_where_it_stands_with_its_indent_and_comment() -> None:
    text = '[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    sandbox_image = "a#b" # ours\n    other = 1\n'
    assert changed(text, {(*CRI, "sandbox_image"): "c"}) == [
        '-    sandbox_image = "a#b" # ours',
        '+    sandbox_image = "c" # ours',
    ]


def test_a_value_is_added_to_its_table_below_what_is_there() -> None:
    text = "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\n    a = 1\n\n[other]\nb = 2\n"
    result = with_values(text, {(*CRI, "sandbox_image"): "c"}, where="")
    assert result.split("\n")[2:4] == ["    a = 1", '    sandbox_image = "c"']
    empty = "[plugins.'io.containerd.grpc.v1.cri']\n"
    assert changed(empty, {(*CRI, "sandbox_image"): "c"}) == ['+  sandbox_image = "c"']


def test_a_table_that_is_not_there_comes_at_the_end() -> None:
    assert changed("version = 2", {(*CRI, "registry", "config_path"): "/d"}) == [
        "+",
        '+[plugins."io.containerd.grpc.v1.cri".registry]',
        '+  config_path = "/d"',
        "+",
    ]


def test_a_key_of_the_top_stays_at_the_top() -> None:
    assert with_values("# a\n[grpc]\nx = 1\n", {("version",): 2}, where="") == "# a\nversion = 2\n[grpc]\nx = 1\n"
    assert with_values("root = '/r'\n[grpc]\n", {("version",): 2}, where="") == "root = '/r'\nversion = 2\n[grpc]\n"
    assert with_values("", {("version",): 2}, where="") == "version = 2\n"


def test_a_list_over_several_lines_is_replaced_as_a_whole() -> None:
    text = 'disabled_plugins = [ # none\n  "cri", # ours\n]\nroot = "/r"\n'
    assert with_values(text, {("disabled_plugins",): []}, where="") == 'disabled_plugins = []\nroot = "/r"\n'


def test_tables_made_by_dotted_keys_get_another_dotted_key() -> None:
    text = '[plugins]\n"io.containerd.grpc.v1.cri".cni.bin_dir = "/x"\n'
    assert changed(text, {(*CRI, "cni", "conf_dir"): "/y"}) == ['+"io.containerd.grpc.v1.cri".cni.conf_dir = "/y"']


def test_line_endings_of_the_file_are_kept() -> None:
    text = "version = 2\r\n[a]\r\n  b = 1\r\n"
    result = with_values(text, {("a", "b"): 2, ("a", "c"): 3, ("d", "e"): 4}, where="")
    assert result.count("\n") == result.count("\r\n")


def test_headers_inside_of_values_are_not_taken_for_tables() -> None:
    text = 'a = """\n[b]\nc = 1\n"""\nd = [\n [1],\n]\n[b]\nc = 2\n'
    assert changed(text, {("b", "c"): 3}) == ["-c = 2", "+c = 3"]


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\r\nb = 2\n",
        "plugins = {'io.containerd.grpc.v1.cri' = {a = 1}}\n",
        "plugins = 1\n",
        "[[plugins]]\na = 1\n",
    ],
)
def test_what_cannot_be_edited_is_refused_with_the_values(text: str) -> None:
    with pytest.raises(InputError, match="cannot be edited") as caught:
        with_values(text, {(*CRI, "sandbox_image"): "c"}, where="config.toml")
    assert caught.value.wanted == 'plugins."io.containerd.grpc.v1.cri".sandbox_image = "c"'


def test_a_text_that_is_not_toml_is_refused() -> None:
    with pytest.raises(InputError, match="not TOML"):
        with_values("a = \n", {("b",): 1}, where="config.toml")


_KEYS = st.sampled_from(["a", "b", "io.x.v1.y"])
_TABLES = st.lists(_KEYS, min_size=1, max_size=3).map(tuple)
_VALUES = st.dictionaries(st.sampled_from(["k", "l"]), st.integers(), max_size=2)


@given(
    tables=st.dictionaries(
        _TABLES, st.dictionaries(st.sampled_from(["k", "l"]), st.integers(), max_size=2), max_size=4
    ),
    path=st.tuples(_TABLES, st.sampled_from(["k", "l", "m"])).map(lambda pair: (*pair[0], pair[1])),
)
def test_any_value_can_be_set_in_any_plain_file(tables: dict[KeyPath, dict[str, int]], path: KeyPath) -> None:
    lines = ["# top", "version = 2"]
    for table, values in tables.items():
        header = ".".join(f"'{part}'" for part in table)
        lines += ["", f"[{header}] # table", *(f"\t{key} = {value}" for key, value in values.items())]
    result = with_values("\n".join(lines), {path: "new"}, where="")
    assert set(lines) - {line for line in lines if line.startswith("\t")} <= set(result.split("\n"))

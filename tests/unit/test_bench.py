"""The benchmark's pure parts: medians, goals, the table and its JSON, what a set is made of, what tools are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import content, material
from tests.bench.building import alternated, memory_growth
from tests.bench.competitors import Competitor, Wanted, crane_lines, oras_lines
from tests.bench.rows import WIDTH, Goal, Row, shown, table, unmeasured, write_json
from tests.bench.running import Run, middle, pss_bytes
from tests.bench.upstream import addon

MIB = 1 << 20


def _run(seconds: float) -> Run:
    return Run(seconds, seconds, 0, "")


def test_the_middle_of_five_is_not_moved_by_one_that_hung() -> None:
    assert middle([_run(seconds) for seconds in (2.0, 1.0, 90.0, 3.0, 2.5)]) == 2.5


def test_both_sides_run_in_turn_theirs_first() -> None:
    order: list[str] = []

    def side(name: str) -> Run:
        order.append(name)
        return _run(len(order))

    mine, others = alternated(3, lambda: side("ours"), lambda: side("theirs"), "a row")
    assert order == ["theirs", "ours"] * 3
    assert ([run.seconds for run in mine], [run.seconds for run in others]) == ([2, 4, 6], [1, 3, 5])


@pytest.mark.parametrize(
    ("goal", "ours", "theirs", "met"),
    [
        (Goal(1.0), 2.0, 2.0, True),
        (Goal(1.0), 2.1, 2.0, False),
        (Goal(1.0), 2.1, None, None),
        (Goal(2.0, "ours"), 2.0, None, True),
        (Goal(2.0, "ours"), 2.1, 9.0, False),
        (Goal(0, "ours"), 0, None, True),
        (Goal(0.15, "more"), 0.19, 0.05, True),
        (Goal(0.15, "more"), 0.21, 0.05, False),
        (Goal(0.15, "more"), 0.1, None, None),
        (None, 1.0, 2.0, None),
    ],
)
def test_a_goal_is_met_or_not_or_nobody_knows(
    goal: Goal | None, ours: float, theirs: float | None, met: bool | None
) -> None:
    assert Row("a row", "s", ours, theirs, goal).met is met


@pytest.mark.parametrize(
    ("figure", "unit", "text"),
    [
        (0.1224, "s", "122 ms"),
        (7.994, "s", "7.99 s"),
        (24.66, "s", "24.7 s"),
        (0, "bytes", "0 B"),
        (128 * MIB, "bytes", "128.0 MiB"),
        (1.5 * 1024 * MIB, "bytes", "1.50 GiB"),
        (None, "s", "-"),
    ],
)
def test_figures_are_short(figure: float | None, unit: str, text: str) -> None:
    assert shown(figure, unit) == text


def test_no_line_of_the_table_is_longer_than_80_columns_and_columns_hold() -> None:
    rows = [
        Row("cold build, 0.25 GiB", "s", 123.4, 0.5, Goal(1.0), notes=("words " * 40,)),
        Row("peak memory of a build, 0.25 GiB", "bytes", 228 * MIB, goal=Goal(128 * MIB, "ours")),
        Row("import, registry layers, 0.25 GiB", "s", 99.9, 88.8, Goal(1.05)),
        Row("containerd disk, registry, 0.25 GiB", "bytes", 999.9 * MIB, 999.9 * MIB),
        unmeasured("tarball, dense", "bundle build has no --layers yet", goal=Goal(0.75), unit="bytes"),
    ]
    lines = table(rows)
    assert max(map(len, lines)) <= WIDTH
    figures = [line for line in lines[2:] if not line.startswith("    ")]
    assert len({line.index("<=") for line in figures if "<=" in line}) == 1
    assert [line.split()[-1] for line in figures] == ["no", "no", "no", "1.00", "x"]
    assert lines[-1] == "    not measured: bundle build has no --layers yet"


def test_json_has_every_row_with_what_the_goal_says(tmp_path: Path) -> None:
    path = tmp_path / "results" / "one.json"
    rows = [Row("a", "s", 3.0, 2.0, Goal(1.0), runs={"ours": [3.0]}), unmeasured("b", "needs root", goal=Goal(0.6))]
    write_json(path, {"processors": "2 x some"}, rows)
    document = json.loads(path.read_text())
    assert document["machine"] == {"processors": "2 x some"}
    first, second = document["rows"]
    assert first == {
        **{"name": "a", "unit": "s", "ours": 3.0, "theirs": 2.0, "ratio": 1.5},
        **{"goal": "<= 1.00 x", "met": False, "runs": {"ours": [3.0]}},
    }
    assert (second["met"], second["why"], second["ours"]) == (None, "needs root", None)
    assert [entry.name for entry in path.parent.iterdir()] == ["one.json"]


def test_growth_of_memory_wants_two_sizes() -> None:
    assert memory_growth({"0.25": 100.0}).why
    row = memory_growth({"4": 220.0, "0.25": 100.0, "1": 500.0})
    assert (row.ours, row.theirs, row.met) == (220.0, 100.0, False)


def test_pss_is_the_whole_of_it_and_not_a_part() -> None:
    text = "00400000-7ffd rollup\nRss:    9000 kB\nPss:     120 kB\nPss_Anon:   80 kB\nShared_Clean: 4 kB\n"
    assert pss_bytes(text) == 120 * 1024


def test_a_smaller_set_is_part_of_a_larger_one() -> None:
    small, middle_one, large = (content.references(size) for size in ("0.25", "1", "4"))
    assert small == middle_one[: len(small)]
    assert middle_one == large[: len(middle_one)]
    assert len(set(large)) == len(large) == 16 * len(small)


def test_after_the_change_one_image_of_the_set_is_another() -> None:
    before, after = content.references("1"), content.references("1", changed=True)
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        f"{content.HOST}/release-00/{content.CHANGED.name}:{content.CHANGED_TAG}"
    ]


def test_a_program_is_the_same_each_time_and_shares_a_quarter_with_its_release() -> None:
    size_bytes = 41 * MIB
    first, again, second = (
        list(material.program_segments("release-00", number, size_bytes, 120 * MIB)) for number in (1, 1, 2)
    )
    assert first == again
    assert sum(segment.length_bytes for segment in first) == size_bytes
    assert all(segment.offset_bytes + segment.length_bytes <= 120 * MIB for segment in first)
    shared = [one.offset_bytes == other.offset_bytes for one, other in zip(first, second, strict=True)]
    assert sum(shared) == len(range(0, len(first), material.SHARED_EVERY))
    one, other = first[0].table, second[0].table
    assert 0 < sum(one[value] != other[value] for value in range(256)) <= 4
    tables = {segment.table for segment in (*first[1:4], *second[1:4])}
    assert len(tables) == 6


def test_other_byte_values_lose_nothing() -> None:
    for table_ in (material.table_of("a"), *(material.near(material.table_of("a"), number) for number in range(64))):
        assert sorted(table_) == list(range(256))
    assert material.table_of("a") == material.table_of("a") != material.table_of("b")


def test_what_is_compressed_already_is_as_long_as_asked_and_the_same_each_time() -> None:
    made = b"".join(material.compressed_already("x", 5 * MIB + 3))
    assert len(made) == 5 * MIB + 3
    assert made[:64] == next(material.compressed_already("x", 64))


def test_the_add_on_lists_exactly_the_set() -> None:
    document = addon(content.references("0.25"))
    assert document["versions"][content.TAG]["images"] == list(content.references("0.25"))
    assert document["ready"]


def test_a_tool_copies_every_image_and_every_file_into_one_tarball() -> None:
    images = (("image-000", "127.0.0.1:5000/a:v1"), ("image-001", "127.0.0.1:5000/b:v1"))
    wanted = Wanted(images, ("http://127.0.0.1:8000/one", "http://127.0.0.1:8000/two"))
    script = Competitor("oras", lambda given: oras_lines(Path("/bin/oras"), given)).script(wanted)
    lines = script.splitlines()
    assert sum("oras cp" in line for line in lines) == 2
    assert all(url in lines[2] for url in wanted.files)
    assert lines[-2:] == ["wait $!", "tar -C layout -cf - . | zstd -3 -T0 -q -o bundle.tar.zst"]
    (crane,) = crane_lines(Path("/bin/crane"), images)
    assert all(place in crane for _, place in images)

"""The forecast of a build, the rate that is remembered for it, and what is said of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundler.assemble import MediaSet
from bundler.build import Built
from bundler.fetch import FetchPlan, _keep_rate, known_rate
from bundler.forecast import PACK_SHRINKING_BYTES_PER_SECOND, PACK_STORED_BYTES_PER_SECOND, PhaseForecast, forecast
from bundler.progress import format_roughly
from bundler.report import built_lines, plan_document, plan_lines
from bundler.store import Store
from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from tests.fakes.images import small_parts

LAYER = Descriptor(Digest.of(b"layer"), 480_000_000, mediatypes.TAR_GZIP)
BINARY = Descriptor(Digest.of(b"binary"), 90_000_000, mediatypes.OCTET_STREAM)
IDENTITY = Digest.of(b"identity")


def test_fetching_takes_what_the_network_gives_and_packing_what_can_shrink() -> None:
    fetching, packing = forecast((LAYER, BINARY), 100_000_000, 10e6)
    assert fetching == PhaseForecast("fetch", 100_000_000, 10.0)
    seconds = 480e6 / PACK_STORED_BYTES_PER_SECOND + 90e6 / PACK_SHRINKING_BYTES_PER_SECOND
    assert (packing.name, packing.size_bytes) == ("assemble", 570_000_000)
    assert packing.seconds == pytest.approx(seconds)


def test_without_a_rate_there_is_no_time_unless_nothing_is_missing() -> None:
    assert forecast((LAYER,), 1, None)[0].seconds is None
    assert forecast((LAYER,), 0, None)[0].seconds == 0.0


def test_packing_layers_densely_has_no_time() -> None:
    packing = forecast((LAYER, BINARY), 0, None, is_dense=True)[1]
    assert packing == PhaseForecast("assemble", 570_000_000, None)
    assert told((PhaseForecast("fetch", 0, 0.0), packing))[1] == "  to pack   570.0 MB"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "about 1 s"), (6.4, "about 6 s"), (41.0, "about 40 s"), (200.0, "about 3 min")]
)
def test_a_forecast_is_a_rough_figure(seconds: float, text: str) -> None:
    assert format_roughly(seconds) == text


def test_the_rate_of_a_fetch_that_tells_is_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert known_rate(store) is None
    _keep_rate(store, 9_000_000, 1.0)
    _keep_rate(store, 90_000_000, 0.1)
    assert known_rate(store) is None
    _keep_rate(store, 90_000_000, 3.0)
    assert known_rate(store) == 30e6
    assert {path.name for path in store.root.iterdir() if path.is_file()} == {"fetch-rate", "in-use"}


@pytest.mark.parametrize("text", [b"", b"0\n", b"-5\n", b"inf\n", b"1e9\n", b"9" * 5000, b"12", b"\xff\n"])
def test_a_rate_that_is_none_is_not_believed(tmp_path: Path, text: bytes) -> None:
    store = Store(tmp_path / "store")
    (store.root / "fetch-rate").write_bytes(text)
    assert known_rate(store) is None


def told(phases: tuple[PhaseForecast, PhaseForecast]) -> list[str]:
    """The last lines of a plan."""
    plan = FetchPlan((), (), 702_300_000, 254_400_000)
    lock = small_parts().lock()
    return list(plan_lines(lock, plan, phases, date="2026-11-21", mirror="upstream", output=Path("dist/k8s")))[-3:]


def test_a_plan_says_how_long_it_takes() -> None:
    packing = PhaseForecast("assemble", 871_500_000, 12.4)
    assert told((PhaseForecast("fetch", 702_300_000, 5.95), packing)) == [
        "  to fetch  702.3 MB (254.4 MB already in the store), about 6 s at 118.0 MB/s",
        "  to pack   871.5 MB, about 10 s",
        "  to write  dist/k8s/",
    ]
    assert told((PhaseForecast("fetch", 702_300_000, None), packing))[0].endswith("already in the store)")


def test_json_has_the_numbers() -> None:
    phases = (PhaseForecast("fetch", 5, None), PhaseForecast("assemble", 7, 1.5))
    document = plan_document(small_parts().lock(), FetchPlan((), (), 5, 2), phases)
    assert (document["missing_bytes"], document["stored_bytes"]) == (5, 2)
    assert document["forecast"] == [
        {"name": "fetch", "size_bytes": 5, "seconds": None},
        {"name": "assemble", "size_bytes": 7, "seconds": 1.5},
    ]


def test_after_a_build_the_forecast_stands_beside_what_happened() -> None:
    made = MediaSet(Path("dist/k8s"), Path("x.tar.zst"), Path("k8s.lock.json"), IDENTITY, 88_400_000, "")
    phases = (PhaseForecast("fetch", 702_300_000, None), PhaseForecast("assemble", 871_500_000, 12.4))
    built = Built(made, (), 20.0, (), phases, {"fetch": 6.04, "assemble": 131.0})
    lines = list(built_lines(built))
    assert lines[1:3] == [
        "fetch     no forecast   took     6.0 s   702.3 MB",
        "assemble  about 10 s    took  2 m 11 s   871.5 MB",
    ]
    quick = list(built_lines(replace(built, took={"fetch": 0.2, "assemble": 0.9})))
    assert quick[1].startswith("identity")

"""The forecast of an install: from bytes and measured rates, and from the medium's own rate once that was seen."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from installer.config import ClusterConfig
from installer.execute import PlannedStep, StepResult, look
from installer.forecast import (
    INGEST_BYTES_PER_SECOND,
    NETWORK_SECONDS,
    STEP_SECONDS,
    UNPACK_BYTES_PER_SECOND,
    VERIFY_BYTES_PER_SECOND,
    PhaseForecast,
    Phases,
    forecast,
    left_seconds,
    phase_of,
    taken,
)
from installer.reading import Reading
from installer.report import phase_lines
from tests.fakes.addons import CILIUM
from tests.fakes.desk import Desk
from tests.fakes.machine import Machine
from tests.fakes.small_bundle import PLATFORM, SmallBundle, small_bundle
from tests.unit.test_plan import cp_plan

BUNDLE = small_bundle(addons=(CILIUM,))
LARGER = 100_000
"""The small bundle's blobs are told to be this many times as large."""


def larger(bundle: SmallBundle) -> SmallBundle:
    """The bundle with blobs of a real one's size, by its index."""
    blobs = tuple(
        replace(
            blob,
            size_bytes=blob.size_bytes * LARGER,
            unpacked_size_bytes=blob.unpacked_size_bytes and blob.unpacked_size_bytes * LARGER,
        )
        for blob in bundle.index.blobs
    )
    return replace(bundle, index=replace(bundle.index, blobs=blobs))


def steps_of(bundle: SmallBundle) -> tuple[PlannedStep, ...]:
    """What a dry run on a fresh machine finds."""
    return look(cp_plan(bundle, ClusterConfig(kube_proxy_mode="none")), Machine().node)


UNREAD = Reading(10**9)


def made(reading: Reading = UNREAD, bundle: SmallBundle = BUNDLE) -> Phases:
    """The forecast for a control plane on a fresh machine."""
    found = larger(bundle)
    return forecast(found.index, PLATFORM, steps_of(found), reading.read_bytes, reading)


def seconds_of(phases: Phases) -> dict[str, float]:
    return {phase.name: phase.seconds for phase in phases}


def test_every_phase_has_its_bytes_and_its_time() -> None:
    phases = {phase.name: phase for phase in made()}
    assert list(phases) == ["verify", "files", "images", "kubeadm", "add-ons"]
    assert phases["verify"] == PhaseForecast("verify", 10**9, 0, 10**9 / VERIFY_BYTES_PER_SECOND)
    images = phases["images"]
    assert 0 < images.read_bytes < sum(blob.size_bytes for blob in larger(BUNDLE).index.blobs)
    unpacking = images.unpack_bytes / UNPACK_BYTES_PER_SECOND
    assert images.seconds >= images.read_bytes / INGEST_BYTES_PER_SECOND + unpacking > 0
    assert phases["files"].read_bytes > 0 < phases["files"].seconds
    assert phases["kubeadm"].seconds == STEP_SECONDS["kubeadm/init"] + STEP_SECONDS["cluster/ready"]
    assert phases["add-ons"].seconds == NETWORK_SECONDS


def test_the_images_are_those_of_this_role_and_platform() -> None:
    """The small bundle has images that a control plane does not run, and blobs of another platform."""
    found = larger(BUNDLE)
    importing = next(item for item in steps_of(found) if item.step.id == "images/import")
    named = [change.removeprefix("import ") for change in importing.check.changes]
    images = [image for image in found.index.images if str(image.reference) in named]
    blobs = found.index.descriptors()
    digests = {digest for image in images for digest in image.blobs((PLATFORM,))}
    phases = {phase.name: phase for phase in made()}
    assert len(images) < len(found.index.images)
    assert phases["images"].read_bytes == sum(blobs[digest].size_bytes for digest in digests)


def test_the_medium_s_own_rate_holds_for_what_is_read_from_it_afterwards() -> None:
    slow, slower = seconds_of(made(Reading(10**9, 50.0))), seconds_of(made(Reading(10**9, 100.0)))
    assert (slow["verify"], slower["verify"]) == (50.0, 100.0)
    assert slower["images"] > slow["images"] > seconds_of(made())["images"]
    assert seconds_of(made(Reading(10**9, 9000.0)))["files"] > slow["files"]
    assert slower["kubeadm"] == slow["kubeadm"]


def test_what_is_spooled_is_not_waited_for_again() -> None:
    slow = seconds_of(made(Reading(10**9, 9000.0, 9000.0, slow_bytes=10**9)))
    spooled = seconds_of(made(Reading(10**9, 9000.0, 9000.0, slow_bytes=10**9, spooled_bytes=10**9, mount="/")))
    assert spooled["verify"] == slow["verify"]
    assert (spooled["files"], spooled["images"]) < (slow["files"] / 10, slow["images"] / 10)


def test_a_medium_read_in_no_time_says_nothing_about_its_rate() -> None:
    assert seconds_of(made(Reading(10**6, 0.001))) == seconds_of(made(Reading(10**6)))


def test_a_fast_medium_makes_nothing_faster_than_the_node() -> None:
    assert seconds_of(made(Reading(10**9, 0.25)))["images"] <= seconds_of(made())["images"]
    assert seconds_of(made(Reading(10**9, 0.25)))["images"] >= max(
        phase.read_bytes / INGEST_BYTES_PER_SECOND for phase in made() if phase.name == "images"
    )


def test_nothing_to_do_has_no_forecast() -> None:
    steps = steps_of(BUNDLE)
    done = tuple(replace(item, check=replace(item.check, satisfied=True)) for item in steps)
    assert forecast(BUNDLE.index, PLATFORM, done, 10**9, Reading(10**9)) == ()


def test_what_is_there_already_is_not_counted() -> None:
    steps = steps_of(larger(BUNDLE))
    rest = tuple(replace(item, check=replace(item.check, satisfied=item.step.id != "kubeadm/init")) for item in steps)
    phases = forecast(larger(BUNDLE).index, PLATFORM, rest, 10**9, Reading(10**9))
    assert left_seconds(phases) == STEP_SECONDS["kubeadm/init"]


def test_steps_are_counted_under_the_phase_they_are_forecast_in() -> None:
    ids = {"files/kubeadm", "images/import", "images/replaced", "kubeadm/init", "kubeadm/node-settings", "cilium/ready"}
    addons = frozenset({"cilium"})
    assert {step: phase_of(step, addons) for step in ids} == {
        "files/kubeadm": "files",
        "images/import": "images",
        "images/replaced": "other",
        "kubeadm/init": "kubeadm",
        "kubeadm/node-settings": "other",
        "cilium/ready": "add-ons",
    }
    results = [StepResult("files/a", "changed", "", 1.5), StepResult("files/b", "changed", "", 2.0)]
    assert taken(BUNDLE.index, results, Reading(10**9, 4.0)) == {"verify": 4.0, "files": 3.5}


PHASES = (
    PhaseForecast("verify", 871_500_000, 0, 6.7),
    PhaseForecast("files", 312_400_000, 398_000_000, 4.4),
    PhaseForecast("images", 611_000_000, 1_900_000_000, 24.9),
    PhaseForecast("kubeadm", seconds=40.0),
    PhaseForecast("add-ons", seconds=0.0),
)


def test_the_forecast_stands_beside_what_happened() -> None:
    took = {"verify": 6.04, "files": 5.2, "images": 31.4, "kubeadm": 38.91, "add-ons": 0.2, "other": 2.26}
    assert phase_lines(PHASES, took) == [
        "phase      forecast         took",
        "  verify   about 7 s       6.0 s   871.5 MB to read",
        "  files    about 4 s       5.2 s   312.4 MB to read, 398.0 MB unpacked",
        "  images   about 25 s     31.4 s   611.0 MB to read, 1.9 GB unpacked",
        "  kubeadm  about 40 s     38.9 s",
        "  other                    2.3 s",
    ]


def test_nothing_that_took_a_second_is_no_table() -> None:
    small = tuple(replace(phase, seconds=0.3) for phase in PHASES)
    assert phase_lines(small, {"verify": 0.1, "files": 0.9}) == []
    assert phase_lines((), {}) == []


@pytest.mark.parametrize("took", [{}, {"verify": 6000.0, "images": 36000.0, "other": 3599.0}])
def test_the_table_fits_a_serial_console(took: dict[str, float]) -> None:
    lines = phase_lines(tuple(replace(phase, seconds=36000.0) for phase in PHASES), took)
    assert max(map(len, lines)) <= 80
    assert all(len(first) > 0 for first, _ in pairwise(lines))


def test_a_plan_says_about_how_long_it_takes(desk: Desk) -> None:
    code, said = desk.refused("plan", "--role", "cp")
    text = " ".join(said.split())
    assert code == 0, said
    assert "free), about 40 s" in text
    assert "phase forecast" in text
    assert "kubeadm about 40 s" in text


def test_json_has_the_numbers(desk: Desk) -> None:
    code, said = desk.refused("plan", "--role", "cp", "--json")
    events = {event["event"]: event for event in map(json.loads, said.splitlines())}
    assert code == 0
    names = [phase["name"] for phase in events["plan"]["forecast"]]
    assert names == ["verify", "files", "images", "kubeadm", "add-ons"]
    assert set(events["phases"]["took_seconds"]) == {"verify"}
    code, said = desk.run("--role", "cp", "--json")
    events = {event["event"]: event for event in map(json.loads, said.splitlines())}
    assert {"verify", "files", "images", "kubeadm"} <= set(events["phases"]["took_seconds"])
    assert events["phases"]["forecast"] == events["plan"]["forecast"]


def test_a_run_with_nothing_to_do_has_no_table(desk: Desk) -> None:
    assert desk.run("--role", "cp")[0] == 0
    code, said = desk.run("--role", "cp")
    assert (code, "forecast" in said, "about" in said) == (0, False, False)

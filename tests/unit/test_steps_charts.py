"""Before there is a cluster: whether the bundle has every image that an add-on will run with its final values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from installer.config import ClusterConfig
from installer.errors import CommandError, StepError
from installer.execute import CheckResult
from installer.queries import is_read_only
from installer.steps import helm
from installer.steps.charts import ImagesCarried, chart_path, values_path, values_text
from tests.fakes.addons import FLANNEL, METRICS
from tests.fakes.machine import Machine
from tests.fakes.small_bundle import HAPROXY, PAUSE, small_bundle
from tests.unit.test_plan import CONFIG, carry_out, cp_plan
from tests.unit.test_steps_addons import machine

BUNDLE = small_bundle(addons=(FLANNEL, METRICS))
PAUSE_DIGEST = next(image.blob for image in BUNDLE.index.images if str(image.reference) == PAUSE)
MISSING = "quay.io/other/thing:1"
TEXT = values_text({"a": 1})


def with_more(*images: str, addon: str = "flannel") -> ClusterConfig:
    return replace(CONFIG, addons={addon: {"moreImages": list(images)}})


def placed(*images: str, text: str = TEXT) -> tuple[ImagesCarried, Machine]:
    """The step, and a machine on which chart and values are in place; the chart names ``images``."""
    made = machine()
    addon = BUNDLE.index.addons[0]
    made.node.with_files({helm.HELM: "helm", values_path(addon): text})
    made.node.place(chart_path(addon), BUNDLE.chunks(addon.chart), mode=0o644)
    made.cluster.images["flannel"] = images
    return ImagesCarried(BUNDLE, addon, TEXT), made


def test_an_image_that_a_value_switches_on_and_the_bundle_lacks_stops_before_there_is_a_cluster() -> None:
    made = machine()
    with pytest.raises(StepError, match="images that the bundle does not have") as caught:
        carry_out(made, cp_plan(BUNDLE, with_more(PAUSE, MISSING, addon="metrics-server")))
    assert caught.value.got == MISSING
    assert caught.value.where is not None and "metrics-server" in caught.value.where
    assert caught.value.next_step == (
        "build the bundle with --values cluster.yaml, or change addons.metrics-server.values"
    )
    assert not made.kubeadm_configs
    assert not [words for words in made.node.ran if words[0].endswith(("helm", "kubectl")) and not is_read_only(words)]
    done = carry_out(made, cp_plan(BUNDLE, with_more(PAUSE, HAPROXY, addon="metrics-server")))
    assert done["metrics-server/images"].detail == "2 images, each in the bundle"
    assert done["flannel/images"].detail == "0 images, each in the bundle"


@pytest.mark.parametrize(
    ("image", "missing"),
    [
        (PAUSE, ""),
        (f"{PAUSE.rpartition(':')[0]}@{PAUSE_DIGEST}", ""),
        (f"{PAUSE.rpartition(':')[0]}:of-any-name@{PAUSE_DIGEST}", ""),
        (f"{PAUSE}@sha256:{'0' * 64}", f"{PAUSE.rpartition(':')[0]}@sha256:{'0' * 64}"),
        ("registry.k8s.io/pause:0", "registry.k8s.io/pause:0"),
        ("pause:3.9", "docker.io/library/pause:3.9"),
    ],
)
def test_an_image_is_the_bundle_s_by_the_name_that_containerd_looks_up(image: str, missing: str) -> None:
    step, made = placed(image)
    found = step.check(made.node)
    if not missing:
        assert found == CheckResult(True, "1 image, each in the bundle")
        return
    assert (found.satisfied, found.detail) == (False, f"not in the bundle: {missing}")
    with pytest.raises(StepError) as caught:
        step.apply(made.node)
    assert caught.value.got == missing


def test_nothing_is_told_of_a_chart_or_values_that_are_not_yet_in_place() -> None:
    for step, made in (placed(MISSING, text="{}\n"), placed(MISSING), placed(MISSING)):
        if made.node.read_text(values_path(step.addon)) == TEXT:
            made.node.remove(helm.HELM if made.node.stat(helm.HELM) else chart_path(step.addon))
        found = step.check(made.node)
        assert (found.satisfied, found.detail) == (False, "not looked at yet")
        assert found.changes == ("helm template flannel, and compare its images with the bundle's",)
    step, made = placed(MISSING)
    made.node.write_file(chart_path(step.addon), b"an older chart")
    assert step.check(made.node).detail == "not looked at yet"


def test_what_helm_says_against_the_values_is_passed_on() -> None:
    step, made = placed()
    argv = helm.template(step.addon, chart_path(step.addon), values_path(step.addon), "1.30.14")
    made.node.script(argv, "", code=1, stderr="Error: values don't meet the schema\n")
    found = step.check(made.node)
    assert not found.satisfied
    assert "values don't meet the schema" in found.detail
    with pytest.raises(CommandError) as caught:
        step.apply(made.node)
    assert caught.value.next_step == "check addons.flannel.values in cluster.yaml"


def test_a_second_run_looks_again_and_changes_nothing() -> None:
    made = machine()
    carry_out(made, cp_plan(BUNDLE, with_more(PAUSE)))
    done = carry_out(made, cp_plan(BUNDLE, with_more(PAUSE)))
    assert done["flannel/images"].outcome == "as wanted"
    with pytest.raises(StepError, match="does not have"):
        carry_out(made, cp_plan(BUNDLE, with_more(MISSING)))
    release = made.cluster.release("kube-flannel", "flannel")
    assert release is not None
    assert release.values["moreImages"] == [PAUSE]


def test_only_the_plain_rendering_is_a_look() -> None:
    argv = helm.template(FLANNEL, "/c.tgz", "/v.yaml", "1.30.14")
    assert is_read_only(argv)
    assert not is_read_only([*argv, "--output-dir", "/etc"])
    assert not is_read_only([*argv, "--post-renderer", "/bin/sh"])

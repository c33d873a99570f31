"""Charts as outside input: only the wanted chart passes, and every image that rendered objects name is found."""

from __future__ import annotations

import gzip

import pytest

from bundler import charts
from bundler.charts import demand_chart, images_in
from bundler.errors import InputError, IntegrityError, OperatorError
from tests.fakes.charts import about, chart, packed


def test_the_wanted_chart_passes_with_and_without_a_v() -> None:
    for version in ("v0.28.9", "0.28.9"):
        demand_chart(chart(), "flannel", version, where="here")
    demand_chart(
        packed({"flannel/": "", "flannel/Chart.yaml": about(version="0.28.9")}), "flannel", "v0.28.9", where=""
    )


@pytest.mark.parametrize(
    ("name", "version"), [("flannel", "v0.28.8"), ("cilium", "v0.28.9"), ("flannel", "vv0.28.9"), ("flannel", "0.28")]
)
def test_another_chart_is_refused(name: str, version: str) -> None:
    with pytest.raises(IntegrityError, match="holds another chart") as caught:
        demand_chart(chart(), name, version, where="here")
    assert (caught.value.wanted, caught.value.got) == (f"{name} {version}", "flannel v0.28.9")


WRONG = {
    "empty": b"",
    "a web page": b"<html>",
    "no tar": gzip.compress(b"no tar", mtime=0),
    "an empty tar": gzip.compress(b"", mtime=0),
    "cut off": chart()[:-9],
    "damaged": chart()[:-6] + b"\0\0" + chart()[-4:],
    "no folder": packed({"Chart.yaml": about()}),
    "no Chart.yaml": packed({"flannel/values.yaml": ""}),
    "two folders": packed({"flannel/Chart.yaml": about(), "other/values.yaml": ""}),
    "an absolute path": packed({"flannel/Chart.yaml": about(), "/etc/passwd": ""}),
    "a path upwards": packed({"flannel/Chart.yaml": about(), "flannel/../../x": ""}),
    "a path with a dot": packed({"./flannel/Chart.yaml": about()}),
    "a path of Windows": packed({"flannel/Chart.yaml": about(), "flannel\\..\\x": ""}),
    "a link": packed({"flannel/Chart.yaml": about(), "flannel/values.yaml -> /etc/passwd": ""}),
    "a linked Chart.yaml": packed({"flannel/Chart.yaml -> /etc/passwd": ""}),
    "a Chart.yaml of another shape": packed({"flannel/Chart.yaml": "[]"}),
    "a Chart.yaml that is no text": packed({"flannel/Chart.yaml": b"\xff\xfe"}),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_no_chart_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a Helm chart") as caught:
        demand_chart(data, "flannel", "v0.28.9", where="here")
    assert caught.value.where == "here"


def test_a_file_given_twice_is_refused() -> None:
    twice = gzip.decompress(packed({"flannel/Chart.yaml": about()}))[:1024] * 2 + bytes(1024)
    with pytest.raises(IntegrityError, match="not a Helm chart"):
        demand_chart(gzip.compress(twice), "flannel", "v0.28.9", where="here")


def test_a_chart_yaml_that_is_no_yaml_names_the_file() -> None:
    with pytest.raises(OperatorError) as caught:
        demand_chart(packed({"flannel/Chart.yaml": "a: ["}), "flannel", "v0.28.9", where="here")
    assert caught.value.where == "here, Chart.yaml"


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MOST_CHART_BYTES", 100_000)
    with pytest.raises(IntegrityError) as caught:
        demand_chart(gzip.compress(bytes(100_001)), "flannel", "v0.28.9", where="here")
    assert caught.value.wanted == "at most 100000 bytes unpacked"


RENDERED = """
---
# a comment, and an empty document
---
kind: DaemonSet
spec:
  template:
    spec:
      initContainers: [{image: "quay.io/a/init:1"}]
      containers: [{image: docker.io/b/main:2@sha256:%s}, {image: "quay.io/a/init:1"}]
      ephemeralContainers: [{image: nginx}]
---
kind: List
items:
- kind: Thing
  spec: {nested: {deep: [{image: quay.io/c/operand:3}]}, images: not-this, image: ""}
---
kind: CustomResourceDefinition
spec: {properties: {image: {type: string}}, example: {image: "The image to run, with a tag"}}
""" % ("a" * 64)


def test_every_image_is_found_once_and_in_full() -> None:
    assert [str(image) for image in images_in(RENDERED, where="here")] == [
        f"docker.io/b/main:2@sha256:{'a' * 64}",
        "docker.io/library/nginx:latest",
        "quay.io/a/init:1",
        "quay.io/c/operand:3",
    ]
    assert images_in("", where="here") == ()


@pytest.mark.parametrize("image", ["'{{ tag }}'", "quay.io/A:1", "'quay.io/a/b:'"])
def test_a_container_whose_image_is_no_reference_is_refused(image: str) -> None:
    with pytest.raises(InputError, match="is no reference") as caught:
        images_in(f"spec: {{containers: [{{image: {image}}}]}}", where="here")
    assert caught.value.where == "here"


def test_aliases_make_neither_a_loop_nor_an_explosion() -> None:
    lines = ["a0: &a0 {containers: [{image: quay.io/a/b:1}]}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert len(images_in("\n".join([*lines, "loop: &loop [*loop]"]), where="here")) == 1


@pytest.mark.parametrize("text", ["a: [", "\tx", "[" * 5000, "!!python/object:os.system {}", "a: 2001-99-99"])
def test_what_does_not_render_to_yaml_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="does not render to YAML") as caught:
        images_in(text, where="here")
    assert caught.value.where == "here"

"""Rendered objects as outside input: every image that they name is found, and nothing that is none."""

from __future__ import annotations

import json

import pytest

from bundler.errors import InputError
from installer.bundle.rendered import images_in

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


@pytest.mark.parametrize(
    "text",
    ["a: [", "\tx", "[" * 5000, "[" * 500_000, "- " * 100_000 + "a", "!!python/object:os.system {}", "a: 2001-99-99"],
)
def test_what_does_not_render_to_yaml_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="does not render to YAML") as caught:
        images_in(text, where="here")
    assert caught.value.where == "here"


def container(**fields: object) -> str:
    return json.dumps({"spec": {"initContainers": [{"name": "c", **fields}]}})


def config_map(text: str) -> str:
    return json.dumps({"kind": "List", "items": [{"kind": "ConfigMap", "data": {"a": text}}]})


@pytest.mark.parametrize(
    ("fields", "image"),
    [
        ({"args": ["--acme-http01-solver-image=quay.io/jetstack/solver:v1"]}, "quay.io/jetstack/solver:v1"),
        ({"args": ["--config", "quay.io/a/reloader:v0.80.0"]}, "quay.io/a/reloader:v0.80.0"),
        ({"command": ["run", "-i=reg.example:5000/a/b@sha256:" + "a" * 64]}, "reg.example:5000/a/b@sha256:" + "a" * 64),
        ({"args": ["--engine-image", "longhornio/engine:v1"]}, "docker.io/longhornio/engine:v1"),
        ({"args": ["--helperImage=busybox:1.36"]}, "docker.io/library/busybox:1.36"),
        ({"env": [{"name": "SIDECAR_IMAGE", "value": "longhornio/sidecar:v1"}]}, "docker.io/longhornio/sidecar:v1"),
        ({"env": [{"name": "RELATED_IMAGE_X", "value": "a/b:v1"}]}, "docker.io/a/b:v1"),
        ({"env": [{"name": "ANY", "value": "quay.io/a/b:v1"}]}, "quay.io/a/b:v1"),
    ],
)
def test_what_a_container_is_told_to_run_is_found(fields: dict[str, object], image: str) -> None:
    assert [str(found) for found in images_in(container(**fields), where="here")] == [image]


@pytest.mark.parametrize(
    "fields",
    [
        {"args": ["--listen=0.0.0.0:8080", "--cidr=10.0.0.0/8", "--url=https://quay.io/a/b:v1", "unix:///x.sock:ro"]},
        {"args": ["--ca=/etc/x.d/ca:ro", "./a.b/c:d", "--name=k8s.io/ingress-nginx", "system:serviceaccount:a/b:c"]},
        {"args": ["--image-pull-policy=Always", "--image", "quay.io/a/b", "--repository=quay.io/a/b"]},
        {"args": ["--some-image=", 3, None], "command": "quay.io/a/b:v1", "env": "quay.io/a/b:v1"},
        {"env": [{"name": "IMAGE_TAG", "value": "v1:x"}, {"name": "X", "valueFrom": {}}, 3, {"name": 1, "value": "a"}]},
        {"env": [{"name": "FOO_IMAGE", "value": "$(REGISTRY)/a:b"}, {"name": "FOO_IMAGE", "value": "see the manual"}]},
        {"volumeMounts": [{"mountPath": "a.example/b:c"}], "description": "quay.io/a/b:v1"},
    ],
)
def test_what_merely_looks_like_an_image_is_none(fields: dict[str, object]) -> None:
    assert images_in(container(**fields), where="here") == ()


def test_only_a_container_has_a_command_line() -> None:
    assert images_in('{spec: {args: ["--x-image=quay.io/a/b:v1"]}}', where="here") == ()


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("kind: Pod\nspec: {containers: [{image: busybox}]}\n", ["docker.io/library/busybox:latest"]),
        ('{"sidecar": {"image": "quay.io/a/b:v1"}}', ["quay.io/a/b:v1"]),
        ("a: 1\n---\nimage: quay.io/a/b@sha256:" + "b" * 64, ["quay.io/a/b@sha256:" + "b" * 64]),
        ("spec: {containers: [{args: [--x-image=a/b:v1]}]}", ["docker.io/a/b:v1"]),
        ("image: something", []),
        ("spec: {containers: [{image: '{{ .Values.image }}'}]}", []),
        ("image: {{ .Values.image }}", []),
        ("set image = quay.io/a/b:v1", []),
        ("image: [" * 3000, []),
    ],
)
def test_what_a_config_map_holds_as_text_is_looked_into(text: str, images: list[str]) -> None:
    assert [str(found) for found in images_in(config_map(text), where="here")] == images


def test_a_config_map_of_any_shape_is_no_trouble() -> None:
    for data in ("null", "[]", "{a: 3, b: null, image: [1]}", "image"):
        assert images_in(f"kind: ConfigMap\ndata: {data}\n", where="here") == ()

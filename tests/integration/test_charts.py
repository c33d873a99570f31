"""Charts from an upstream, rendered by a program: a strict stand-in for helm, and the real one where it is compiled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler import lookup as lookup_module
from bundler.addon_choice import ChosenAddon
from bundler.addon_types import Addon, AddonVersion, Objects
from bundler.catalog import Catalog
from bundler.catalog_types import ReleaseFile
from bundler.charts import ChartRelease, pack_objects
from bundler.errors import InputError, IntegrityError, OperatorError, SourceError
from bundler.lookup import ConnectedLookup
from bundler.mirrors import FileRule, MirrorProfile
from bundler.sources.http import HttpSettings
from bundler.sources.upstreams import Upstreams
from bundler.store import Store
from installer.bundle import mediatypes
from installer.bundle.descriptor import Descriptor
from installer.bundle.digest import Digest
from installer.bundle.placement import Placement
from installer.bundle.platform import Platform, platform_of_machine
from installer.bundle.rendered import images_in
from installer.bundle.source import Source
from tests.compiled import compiled
from tests.fakes.charts import chart, packed
from tests.fakes.faults import status
from tests.fakes.upstream import Upstream

pytestmark = pytest.mark.network

HERE = platform_of_machine(os.uname().machine) or Platform("linux/amd64")
ELSEWHERE = Platform("linux/arm64") if HERE == "linux/amd64" else Platform("linux/amd64")
FLANNEL = Catalog.load().addon("cni", "flannel")
CHART_PATH = "/charts.invalid/v0.28.9/flannel.tgz"
HELM_PATH = "/helm.invalid/helm.tar.gz"
RELEASE = ChartRelease(
    "flannel", "kube-flannel", {"podCidr": "10.9.0.0/16", "flannel": {"backend": "vxlan"}}, "1.30.14"
)
STAND_IN = """#!/bin/sh
[ "$*" = "template flannel chart.tgz --namespace kube-flannel --values values.json\
 --kube-version v1.30.14 --include-crds --skip-tests" ] || { echo "told: $*" >&2; exit 2; }
[ "$(env | cut -d= -f1 | sort | grep -v -e '^_$' -e '^SHLVL$' -e '^OLDPWD$' | tr '\\n' ' ')" = "HOME LC_ALL PATH PWD " ] || exit 3
[ "$HOME" = "$PWD" ] && [ -s chart.tgz ] || exit 4
[ "$(cat values.json)" = '{"podCidr": "10.9.0.0/16", "flannel": {"backend": "vxlan"}}' ] || exit 5
echo 'spec: {containers: [{image: "ghcr.io/flannel-io/flannel:v0.28.9"}]}'
"""  # noqa: E501


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def lookup(upstream: Upstream, store: Store, *, fetch_programs: bool = True) -> ConnectedLookup:
    profile = MirrorProfile("lab", (FileRule("https://", (f"{upstream.url}/",)),), (), fallback=False)
    settings = HttpSettings(read_timeout_seconds=5, attempts=2, backoff_seconds=0.01)
    upstreams = Upstreams(store, profile, settings, {"DOCKER_CONFIG": str(store.root)})
    return ConnectedLookup(upstreams, lambda _kind, _platform: pytest.fail("no runtime"), fetch_programs=fetch_programs)


def chosen(digest: Digest | None = None, addon: Addon = FLANNEL) -> ChosenAddon:
    source = Source(f"https:/{CHART_PATH}", "upstream" if digest else "first-seen")
    return ChosenAddon(addon, AddonVersion("v0.28.9", source, digest, (), "built-in"))


def helm_file(upstream: Upstream, program: bytes, platform: Platform = HERE) -> tuple[ReleaseFile, int]:
    """helm's archive as upstream packs it, served."""
    member = f"linux-{platform.architecture}/helm"
    archive = packed({member: program, f"linux-{platform.architecture}/README.md": ""})
    upstream.add(HELM_PATH, archive)
    placement = Placement(0o755, None, "tar+gzip", {member: "/usr/local/bin/helm"})
    source = Source(f"https:/{HELM_PATH}", "upstream")
    file = ReleaseFile("helm", "3.18.4", platform, Digest.of(archive), ("cp",), placement, source)
    return file, len(archive)


def rendered(upstream: Upstream, store: Store, program: bytes, platform: Platform = HERE) -> str | None:
    data = chart()
    blob = Descriptor(store.add_bytes(data), len(data), mediatypes.HELM_CHART)
    return lookup(upstream, store).rendered(*helm_file(upstream, program, platform), blob, RELEASE)


def test_a_chart_without_a_checksum_is_fetched_once_and_kept_as_first_seen(upstream: Upstream, store: Store) -> None:
    upstream.add(CHART_PATH, chart())
    blob = lookup(upstream, store).chart(chosen())
    assert blob == Descriptor(Digest.of(chart()), len(chart()), mediatypes.HELM_CHART)
    assert store.has(blob.digest, blob.size_bytes)
    assert len(upstream.seen) == 1


def test_a_chart_made_of_objects_is_asked_of_nobody_and_kept(upstream: Upstream, store: Store) -> None:
    source = Source("addons/flannel.yaml", "upstream")
    made = replace(FLANNEL, chart=None, objects=Objects("image: {{ .Values.podCidr }}", source))
    version = AddonVersion("v0.28.9", source, None, (), "built-in")
    blob = lookup(upstream, store).chart(ChosenAddon(made, version))
    assert store.read_bytes(blob.digest, blob.size_bytes) == pack_objects("flannel", "v0.28.9", made.objects.text)  # type: ignore[union-attr]
    assert not upstream.seen


def test_a_chart_with_a_checksum_is_fetched_only_when_the_store_lacks_it(upstream: Upstream, store: Store) -> None:
    upstream.add(CHART_PATH, chart())
    digest = Digest.of(chart())
    first = lookup(upstream, store).chart(chosen(digest))
    asked = len(upstream.seen)
    assert lookup(upstream, store).chart(chosen(digest)) == first
    assert (first.digest, len(upstream.seen)) == (digest, asked)


def test_a_chart_with_another_checksum_is_refused(upstream: Upstream, store: Store) -> None:
    upstream.add(CHART_PATH, chart())
    with pytest.raises(IntegrityError, match="other bytes than its checksum says"):
        lookup(upstream, store).chart(chosen(Digest.of(b"another")))


def test_what_is_served_must_be_the_chart_that_is_wanted(upstream: Upstream, store: Store) -> None:
    upstream.add(CHART_PATH, chart("v0.28.8"))
    with pytest.raises(IntegrityError, match="holds another chart") as caught:
        lookup(upstream, store).chart(chosen())
    assert "chart flannel v0.28.9" in (caught.value.where or "")
    assert not store.has(Digest.of(chart("v0.28.8")))


def test_a_chart_that_is_too_large_is_given_up(
    upstream: Upstream, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_module, "MOST_CHART_BYTES", 100)
    upstream.add(CHART_PATH, chart())
    with pytest.raises(SourceError) as caught:
        lookup(upstream, store).chart(chosen())
    assert "larger than 100 bytes" in (caught.value.got or "")
    with pytest.raises(IntegrityError, match="too large"):
        lookup(upstream, store).chart(chosen(Digest.of(chart())))


def test_a_source_that_stumbles_is_asked_again(upstream: Upstream, store: Store) -> None:
    upstream.add(CHART_PATH, chart())
    upstream.plan(CHART_PATH, status(503))
    assert lookup(upstream, store).chart(chosen()).digest == Digest.of(chart())
    del upstream.replies[CHART_PATH]
    with pytest.raises(SourceError, match="cannot fetch chart flannel"):
        lookup(upstream, store).chart(chosen())


def test_helm_is_told_everything_and_finds_nothing_else(
    upstream: Upstream, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/root/.kube/config")
    monkeypatch.setenv("HELM_NAMESPACE", "other")
    text = rendered(upstream, store, STAND_IN.encode())
    assert "ghcr.io/flannel-io/flannel:v0.28.9" in (text or "")
    assert [path.name for path in store.root.iterdir() if path.name.startswith("program-")] == []


def test_a_helm_for_another_machine_is_not_even_fetched(upstream: Upstream, store: Store) -> None:
    assert rendered(upstream, store, STAND_IN.encode(), ELSEWHERE) is None
    assert not upstream.seen


def test_a_plan_asks_only_a_helm_that_is_in_the_store(upstream: Upstream, store: Store) -> None:
    helm, size_bytes = helm_file(upstream, STAND_IN.encode())
    blob = Descriptor(store.add_bytes(chart()), len(chart()), mediatypes.HELM_CHART)
    plan = lookup(upstream, store, fetch_programs=False)
    assert plan.rendered(helm, size_bytes, blob, RELEASE) is None
    assert not upstream.seen
    assert lookup(upstream, store).rendered(helm, size_bytes, blob, RELEASE) is not None
    assert plan.rendered(helm, size_bytes, blob, RELEASE) is not None


def test_a_helm_that_cannot_run_here_renders_nothing(upstream: Upstream, store: Store) -> None:
    assert rendered(upstream, store, b"\x7fELF of no machine at all") is None
    assert rendered(upstream, store, b"#!/bin/sh\nkill -ILL $$\n") is None


@pytest.mark.parametrize("program", ["echo half a render; exit 1", "kill -KILL $$", "kill -TERM $$"])
def test_a_chart_that_does_not_render_is_an_error(upstream: Upstream, store: Store, program: str) -> None:
    with pytest.raises(InputError, match="does not render") as caught:
        rendered(upstream, store, f"#!/bin/sh\n{program}\n".encode())
    assert "chart flannel, helm 3.18.4" in (caught.value.where or "")


def test_a_helm_that_writes_or_runs_without_end_is_stopped(
    upstream: Upstream, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_module, "MOST_RENDERED_BYTES", 100_000)
    with pytest.raises(InputError, match="says too much"):
        rendered(upstream, store, b"#!/bin/sh\nexec yes\n")
    monkeypatch.setattr(lookup_module, "_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(OperatorError, match="does not end"):
        rendered(upstream, store, b"#!/bin/sh\nexec sleep 60\n")


def test_an_archive_without_helm_is_named(upstream: Upstream, store: Store) -> None:
    archive = packed({"linux-amd64/README.md": ""})
    upstream.add(HELM_PATH, archive)
    placement = Placement(0o755, None, "tar+gzip", {"linux-amd64/helm": "/usr/local/bin/helm"})
    source = Source(f"https:/{HELM_PATH}", "upstream")
    helm = ReleaseFile("helm", "3.18.4", HERE, Digest.of(archive), ("cp",), placement, source)
    blob = Descriptor(store.add_bytes(chart()), len(chart()), mediatypes.HELM_CHART)
    with pytest.raises(IntegrityError, match="does not hold helm"):
        lookup(upstream, store).rendered(helm, len(archive), blob, RELEASE)


@pytest.fixture
def real_helm() -> bytes:
    return (compiled("helm") / "helm").read_bytes()


def test_the_real_helm_renders_the_values_the_version_and_no_tests(
    upstream: Upstream, store: Store, real_helm: bytes
) -> None:
    text = rendered(upstream, store, real_helm) or ""
    assert [str(image) for image in images_in(text, where="here")] == [
        "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel3",
        "ghcr.io/flannel-io/flannel:v0.28.9",
    ]
    for expected in ("10.9.0.0/16", "vxlan", "v1.30.14", "namespace: kube-flannel", "things.example.org"):
        assert expected in text
    assert "busybox" not in text


def test_the_real_helm_renders_objects_that_were_made_into_a_chart(
    upstream: Upstream, store: Store, real_helm: bytes
) -> None:
    text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\ndata: {cidr: {{ .Values.podCidr }}}\n---\n# {{ 1 }}\n"
    data = pack_objects("flannel", "0.28.9", text)
    blob = Descriptor(store.add_bytes(data), len(data), mediatypes.HELM_CHART)
    told = lookup(upstream, store).rendered(*helm_file(upstream, real_helm), blob, RELEASE) or ""
    assert "data: {cidr: 10.9.0.0/16}" in told


def test_the_real_helm_says_why_a_chart_does_not_render(upstream: Upstream, store: Store, real_helm: bytes) -> None:
    data = chart(broken='{{ fail "this cluster is too old" }}')
    blob = Descriptor(store.add_bytes(data), len(data), mediatypes.HELM_CHART)
    with pytest.raises(InputError, match="does not render") as caught:
        lookup(upstream, store).rendered(*helm_file(upstream, real_helm), blob, RELEASE)
    assert "this cluster is too old" in (caught.value.got or "")

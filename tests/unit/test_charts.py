"""Charts as outside input: only the wanted chart passes; and charts made of objects, always the same."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import zlib

import pytest

from bundler import charts
from bundler.charts import demand_chart, pack_objects
from bundler.errors import IntegrityError, OperatorError
from installer.bundle.digest import Digest
from tests.fakes.charts import LAUGHS, about, chart, packed


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
    "a Chart.yaml larger than any": packed({"flannel/Chart.yaml": "#" * (1024 * 1024 + 1)}),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_no_chart_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a Helm chart") as caught:
        demand_chart(data, "flannel", "v0.28.9", where="here")
    assert caught.value.where == "here"
    assert caught.value.next_step


def test_a_file_given_twice_is_refused() -> None:
    twice = gzip.decompress(packed({"flannel/Chart.yaml": about()}))[:1024] * 2 + bytes(1024)
    with pytest.raises(IntegrityError, match="not a Helm chart"):
        demand_chart(gzip.compress(twice), "flannel", "v0.28.9", where="here")


@pytest.mark.parametrize("text", ["a: [", "a: " + "[" * 200_000, LAUGHS], ids=["cut off", "too deep", "laughs"])
def test_a_chart_yaml_that_cannot_be_read_names_the_file(text: str) -> None:
    with pytest.raises(OperatorError) as caught:
        demand_chart(packed({"flannel/Chart.yaml": text}), "flannel", "v0.28.9", where="here")
    assert caught.value.where == "here, Chart.yaml"


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MOST_CHART_BYTES", 100_000)
    with pytest.raises(IntegrityError) as caught:
        demand_chart(gzip.compress(bytes(100_001)), "flannel", "v0.28.9", where="here")
    assert caught.value.wanted == "at most 100000 bytes unpacked"


def test_objects_are_made_into_a_chart_that_is_the_wanted_one() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\ndata: {a: '{{ .Values.a }} \u00e4'}\n"
    data = pack_objects("approver", "v1.2.14", text)
    demand_chart(data, "approver", "1.2.14", where="here")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        read = {member.name: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr]
    assert read == {
        "approver/Chart.yaml": 'apiVersion: v2\nname: approver\nversion: "v1.2.14"\n',
        "approver/templates/objects.yaml": text,
    }


def test_objects_are_packed_into_the_same_bytes_everywhere_and_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.0)
    monkeypatch.setattr(zlib, "compress", lambda *_: pytest.fail("a compressor differs from machine to machine"))
    monkeypatch.setattr(zlib, "compressobj", lambda *_: pytest.fail("a compressor differs from machine to machine"))
    digest = "1d360b59f037813382c747521321fd987567c21f825f737f83567400f063468f"
    assert Digest.of(pack_objects("approver", "1.2.14", "kind: ConfigMap\n" * 9000)).hex == digest
    assert gzip.decompress(pack_objects("a", "1.0.0", "x" * 65535 * 3)).count(b"x") >= 65535 * 3

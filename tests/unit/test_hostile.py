"""What somebody means harm with: one hostile thing in each row, and exactly what is said of it.

The installer runs as root. Nothing in a bundle can make it write outside the folders that docs/bundle-format.md lists,
take memory or time without end, or print what steers a terminal.
"""

from __future__ import annotations

import gzip
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bundler.charts import demand_chart
from installer.bundle.errors import printable
from installer.bundle.reference import Reference
from installer.bundle.rendered import images_in
from installer.bundle.sums import parse_sums
from installer.bundle.tarstream import MOST_ATTRIBUTES_BYTES
from installer.config import ClusterConfig
from installer.errors import FormatError, InputError, IntegrityError, OperatorError
from installer.join import JoinFile
from tests.fakes.hostile import ESCAPE, from_archive, from_chart, from_index, gzip_bomb, member, pax
from tests.unit.test_cluster_config import JOIN

MOST_SECONDS = 10
MOST_MEMORY_BYTES = 200_000_000
BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@dataclass(frozen=True)
class Row:
    """One attempt, and the answer to it: the error's class and family of words, and what it says it got."""

    name: str
    attempt: Callable[[], object]
    message: str
    got: str
    error: type[OperatorError] = FormatError


def _archive(name: str, attempt: Callable[[], object], got: str) -> Row:
    return Row(f"archive: {name}", attempt, "an archive does not have the form it should", got)


def _link(kind: bytes) -> Callable[[], object]:
    return lambda: from_archive(member("bin/ctr", kind=kind))


ARCHIVES = (
    _archive("absolute path", lambda: from_archive(member("/bin/ctr", b"x")), "/bin/ctr"),
    _archive("up", lambda: from_archive(member("../etc/cron.d/x", b"x")), "../etc/cron.d/x"),
    _archive("up inside", lambda: from_archive(member("bin/../../etc/x", b"x")), "bin/../../etc/x"),
    _archive("up by attributes", lambda: from_archive(pax(path="../x"), member("bin/a", b"x")), "../x"),
    _archive("symbolic link", _link(tarfile.SYMTYPE), "a link at bin/ctr"),
    _archive("hard link", _link(tarfile.LNKTYPE), "a link at bin/ctr"),
    _archive("character device", _link(tarfile.CHRTYPE), "a special file at bin/ctr"),
    _archive("block device", _link(tarfile.BLKTYPE), "a special file at bin/ctr"),
    _archive("fifo", _link(tarfile.FIFOTYPE), "a special file at bin/ctr"),
    _archive("twice", lambda: from_archive(member("bin/a", b"1"), member("./bin//a", b"2")), "a second bin/a"),
    _archive("newline", lambda: from_archive(member("bin/a\nb", b"x")), "'bin/a\\nb'"),
    _archive("escape", lambda: from_archive(member(f"bin/{ESCAPE}", b"x")), "'bin/\\x1b]0;owned\\x07'"),
    _archive("hidden", lambda: from_archive(member("bin/.ctr.airgap-new", b"x")), "'bin/.ctr.airgap-new'"),
    _archive(
        "huge name",
        lambda: from_archive(member("././@LongLink", b"n" * 70_000, kind=tarfile.GNUTYPE_LONGNAME)),
        f"70000 bytes of attributes, wanted at most {MOST_ATTRIBUTES_BYTES}",
    ),
    _archive(
        "huge attributes",
        lambda: from_archive(member("pax", kind=tarfile.XHDTYPE, size_bytes=2**40), unpacked_bytes=2**50),
        f"{2**40} bytes of attributes, wanted at most {MOST_ATTRIBUTES_BYTES}",
    ),
    _archive(
        "attributes that are none",
        lambda: from_archive(member("pax", b"999 path=x\n", kind=tarfile.XHDTYPE), member("bin/a", b"x")),
        "pax attributes that are none",
    ),
    _archive(
        "attributes without end",
        lambda: from_archive(member("pax", b"0 a=\n", kind=tarfile.XHDTYPE), member("bin/a", b"x")),
        "pax attributes that are none",
    ),
    _archive(
        "size that is none",
        lambda: from_archive(pax(size="-1"), member("bin/a", b"x")),
        "pax attributes with a number that is none",
    ),
    _archive("negative size", lambda: from_archive(member("bin/a", size_bytes=-512)), "-512 bytes of bin/a"),
    _archive(
        "size that lies", lambda: from_archive(member("bin/a", b"x", size_bytes=900_000)), "unexpected end of data"
    ),
    _archive("size by attributes", lambda: from_archive(pax(size="9" * 18), member("bin/a")), "unexpected end of data"),
    _archive(
        "sparse",
        lambda: from_archive(member("bin/a", kind=tarfile.GNUTYPE_SPARSE, size_bytes=0)),
        "the sparse member bin/a",
    ),
    _archive(
        "sparse by attributes",
        lambda: from_archive(pax(GNU__sparse__major="1", GNU__sparse__minor="0"), member("bin/a", b"x")),
        "the sparse member bin/a",
    ),
    _archive("bomb", lambda: from_archive(packed=gzip_bomb(100_000_000)), "more"),
    _archive(
        "bomb in a member",
        lambda: from_archive(member("other", bytes(2_000_000)), member("bin/a", b"x")),
        "more",
    ),
    _archive("a thousand and one", lambda: from_archive(*(member(f"bin/{n}") for n in range(1001))), "'bin/1000'"),
    _archive("no tar", lambda: from_archive(b"x" * 1024), "a header that is none (invalid header)"),
    _archive("no gzip", lambda: from_archive(packed=b"x" * 1024), "Not a gzipped file (b'xx')"),
)


def _index(name: str, change: Callable[[dict[str, Any]], object], got: str) -> Row:
    return Row(f"index: {name}", lambda: from_index(change), "bundle.json does not have its format", got)


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Changes the value at ``files.0.placement.mode`` and the like."""

    def change(document: dict[str, Any]) -> None:
        *steps, last = path.split(".")
        place: Any = document
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = value

    return change


_ROOTED = "wanted a path under /opt/cni/bin, /usr/local/bin, /usr/local/sbin"
_ELSEWHERE = f"files[0].placement: the bundle would place a file where none belongs: {_ROOTED}, got"
_MODE = (
    "files[0].placement.mode: wanted four octal digits without setuid, setgid or sticky bits, "
    "writable by nobody but root"
)
_PLAIN = "wanted lower-case letters, digits, '.' and '-'"

INDEXES = (
    *(
        _index(f"target {target!r}", _set("files.0.placement.target", target), f"{_ELSEWHERE} {target!r}")
        for target in (
            "/etc/cron.d/x",
            "/usr/local/bin/../../../etc/passwd",
            "/usr/local/binary",
            "/usr/local/bin",
            "/usr/local/bin/",
            "/usr/local/bin/.kubeadm",
            "usr/local/bin/kubeadm",
            "/var/lib/airgap-bundle/journal/x",
            "/usr/local/bin/a b",
            "//usr/local/bin/x",
        )
    ),
    _index(
        "members elsewhere",
        _set("files.3.placement.members", {"bin/": "/root/.ssh/"}),
        f"files[3].placement: the bundle would place a file where none belongs: {_ROOTED}, got '/root/.ssh/'",
    ),
    *(
        _index(f"mode {mode}", _set("files.0.placement.mode", mode), f"{_MODE}, got {mode!r}")
        for mode in ("4755", "02755", "1755", "0777", "0775")
    ),
    _index(
        "component as a path",
        _set("files.0.component", "../../../etc/cron.d/x"),
        f"files[0].component: {_PLAIN}, got '../../../etc/cron.d/x'",
    ),
    _index(
        "words that steer a terminal",
        _set("files.0.version", ESCAPE),
        "files[0].version: wanted printable characters, got '\\x1b]0;owned\\x07'",
    ),
    _index(
        "a line of its own",
        _set("kubernetes", "1.30.14\nnext"),
        "kubernetes: wanted printable characters, got '1.30.14\\nnext'\n"
        "kubernetes: wanted a version such as 1.30.14, got '1.30.14\\nnext'",
    ),
    _index(
        "an installer without end",
        _set("minimum_installer", "9" * 5000),
        f"minimum_installer: wanted a version such as 0.1.0, got {'9' * 100!r}",
    ),
    _index("name as a path", _set("name", "../x"), f"name: {_PLAIN}, got '../x'"),
    _index(
        "size beyond all",
        _set("blobs.0.size_bytes", 2**63),
        f"blobs[0].size_bytes: wanted 0 to {2**63 - 1}, got {2**63}",
    ),
    _index("negative size", _set("blobs.0.size_bytes", -1), f"blobs[0].size_bytes: wanted 0 to {2**63 - 1}, got -1"),
    _index(
        "an image that is none",
        _set("images.0.reference", f"registry.k8s.io/{ESCAPE}:1"),
        "images[0].reference: not an image reference: wanted registry/repository:tag or "
        "registry/repository@sha256:<64 hex digits>, got 'registry.k8s.io/\\x1b]0;owned\\x07:1'",
    ),
    _index("a field nobody knows", _set("preinstall", "rm -rf /"), "preinstall: unknown field"),
    Row("index: newer", lambda: from_index(_set("schema", 2)), "made by a newer builder", "schema 2"),
    Row(
        "index: schema without end",
        lambda: from_index(_set("schema", 10**4000)),
        "made by a newer builder",
        f"schema {10**4000}"[:100],
    ),
    Row("index: schema that is none", lambda: from_index(_set("schema", True)), "no known schema", "schema: True"),
)


def _yaml(name: str, text: str, got: str, message: str = "the file is not YAML") -> tuple[Row, Row]:
    """The same text as a cluster.yaml and as a join file."""
    return (
        Row(f"cluster: {name}", lambda: ClusterConfig.from_text(text, where="f"), message, got, InputError),
        Row(f"join: {name}", lambda: JoinFile.from_text(text, where="f"), message, got, InputError),
    )


YAML = (
    *_yaml("aliases", BOMB, "aliases (*name) are not read here; write it out"),
    *_yaml("nesting", "[" * 200_000, "nested deeper than 200"),
    *_yaml("nesting in blocks", "- " * 100_000, "nested deeper than 200"),
    *_yaml("a number of minutes", "x: 1" + ":1" * 20_000, "a number that is too long"),
    *_yaml(
        "an object",
        "!!python/object/apply:os.system [id]",
        "could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    *_yaml("a tag that lies", '!!int ""', "string index out of range"),
    *_yaml("a key twice", "a: 1\na: 2\n", "'a' is there twice"),
    *_yaml("too large", "#" * 300_000, "300000", "the file is too large"),
)
OTHERS = (
    Row(
        "cluster: words that steer a terminal",
        lambda: ClusterConfig.from_text(f'clusterName: "{printable(ESCAPE)}"', where="f"),
        "the cluster configuration cannot be used",
        "clusterName: wanted printable characters, got '\\x1b]0;owned\\x07'\n"
        "clusterName: wanted lower-case letters, digits, '-' and '.', got '\\x1b]0;owned\\x07'",
        InputError,
    ),
    Row(
        "join: a secret is not repeated",
        lambda: JoinFile.from_text(JOIN.to_text().replace(JOIN.token, "secretsecret"), where="f"),
        "the join file cannot be used",
        "token: wanted a bootstrap token (abcdef.0123456789abcdef)",
        InputError,
    ),
    Row(
        "sums: a path",
        lambda: parse_sums(f"{'0' * 64}  ../etc/passwd\n", "SHA256SUMS"),
        "SHA256SUMS is damaged",
        f"{'0' * 64}  ../etc/passwd",
    ),
    Row(
        "sums: words that steer a terminal",
        lambda: parse_sums(f"{'0' * 64}  {ESCAPE}\n", "SHA256SUMS"),
        "SHA256SUMS is damaged",
        f"{'0' * 64}  {ESCAPE}",
    ),
    Row("reference: a path", lambda: Reference.parse("../../x:1"), "not an image reference", "../../x:1"),
    Row(
        "rendered: nesting",
        lambda: images_in("[" * 2_000_000, where="chart"),
        "the chart does not render to YAML",
        "nested deeper than 200",
        InputError,
    ),
    Row(
        "rendered: a tag that lies",
        lambda: images_in("image: !!bool maybe", where="chart"),
        "the chart does not render to YAML",
        "'maybe'",
        InputError,
    ),
)


def _chart(name: str, attempt: Callable[[], object], got: str) -> Row:
    return Row(f"chart: {name}", attempt, "not a Helm chart", got, IntegrityError)


CHARTS = (
    _chart("link", lambda: from_chart(member("cilium/a", kind=tarfile.SYMTYPE)), "the member cilium/a"),
    _chart("device", lambda: from_chart(member("cilium/a", kind=tarfile.CHRTYPE)), "the member cilium/a"),
    _chart("up", lambda: from_chart(member("cilium/../../a", b"x")), "the member cilium/../../a"),
    _chart("absolute path", lambda: from_chart(member("/cilium/a", b"x")), "the member /cilium/a"),
    _chart("twice", lambda: from_chart(member("cilium/a"), member("cilium/a")), "twice cilium/a"),
    _chart("two folders", lambda: from_chart(member("other/a")), "cilium, other"),
    _chart("bomb", lambda: demand_chart(gzip_bomb(100_000_000), "a", "1", where="chart"), "more than that"),
    _chart("size that lies", lambda: from_chart(member("cilium/a", size_bytes=10**9)), "unexpected end of data"),
    _chart("sparse", lambda: from_chart(member("cilium/a", kind=b"S", size_bytes=0)), "the sparse member cilium/a"),
    _chart("huge Chart.yaml", lambda: from_chart(about=b"#" * 2_000_000), "2000000"),
    Row(
        "chart: aliases",
        lambda: from_chart(about=f"{BOMB}name: *j\nversion: 1.16.5\n".encode()),
        "not a YAML document",
        "aliases that repeat more than 100000 values",
        InputError,
    ),
    Row(
        "chart: nesting",
        lambda: from_chart(about=b"[" * 500_000),
        "not a YAML document",
        "nested deeper than 200",
        InputError,
    ),
)
ROWS = (*ARCHIVES, *INDEXES, *YAML, *OTHERS, *CHARTS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_is_refused_with_its_own_words(row: Row) -> None:
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(OperatorError) as caught:
            row.attempt()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    error = caught.value
    assert (type(error), error.message, error.got) == (row.error, row.message, row.got)
    assert all(printable(line) == line for line in error.lines())
    assert time.monotonic() - began < MOST_SECONDS
    assert peak_bytes < MOST_MEMORY_BYTES


def test_the_table_is_as_long_as_the_documents_say() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) == 91


def test_an_honest_archive_is_placed_without_its_setuid_bits() -> None:
    """The control: the same machinery, and the modes are the index's, not the archive's."""
    node = from_archive(member("bin/ctr", b"x"), member("bin/deep/no", b"x"), member("etc/passwd", b"x"))
    assert node.files() == {"/usr/local/bin/ctr": b"x"}


def test_members_that_are_past_take_no_memory() -> None:
    """Five thousand that nobody asked for: to remember a header of each would take megabytes."""
    members = b"".join(member(f"other/{number}") for number in range(5000)) + member("bin/a", b"x") + bytes(1024)
    packed = gzip.compress(members)
    tracemalloc.start()
    try:
        from_archive(packed=packed, unpacked_bytes=2**40)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2_000_000

"""Where upstream says what a file is: from the catalogue to the index, and only for what is upstream's own word."""

from __future__ import annotations

import pytest

from bundler.catalog import Catalog
from bundler.catalog_types import BUILT_IN, FileTemplate, Layer
from installer.bundle.digest import Digest
from installer.bundle.errors import FormatError
from installer.bundle.placement import Placement
from installer.bundle.platform import Platform
from installer.bundle.source import Proof, Source
from installer.bundle.strict import Fields, Problems

AMD64 = Platform("linux/amd64")
AT = "https://dl.example/v{version}/{arch}/tool"
TEMPLATE = FileTemplate(AT, ("cp",), Placement(0o755, "/usr/local/bin/tool"), Proof(f"{AT}.sha256", f"{AT}.sig"))


def test_the_catalogue_says_where_each_binary_s_checksum_and_signature_are() -> None:
    files = Catalog.load((), ()).minor("1.30").releases["1.30.14"].files
    at = "https://dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubelet"
    assert files["kubelet"][AMD64].source.proof == Proof(f"{at}.sha256", f"{at}.sig")


def test_a_catalogue_of_the_user_s_own_is_not_upstream_s_word() -> None:
    def made(layer: Layer) -> Source:
        return TEMPLATE.file("tool", "1.2.3", AMD64, Digest.of(b""), layer).source

    at = "https://dl.example/v1.2.3/amd64/tool"
    assert made(BUILT_IN).proof == Proof(f"{at}.sha256", f"{at}.sig")
    assert made(Layer("mine", "user")).proof is None


@pytest.mark.parametrize("proof", [None, Proof("https://x/sums"), Proof("https://x/sums", "https://x/sums.sig")])
def test_the_index_carries_it_and_reads_it_back(proof: Proof | None) -> None:
    source, problems = Source("https://x/file", "upstream", proof=proof), Problems()
    assert Source.read(Fields(source.to_dict(), problems)) == source
    assert not problems
    assert ("proof" in source.to_dict()) == (proof is not None)


def test_what_is_no_proof_is_refused() -> None:
    for bad in ({}, {"checksum": 1}, {"checksum": "https://x", "more": "x"}, "https://x"):
        problems = Problems()
        Source.read(Fields({"origin": "https://x", "trust": "upstream", "proof": bad}, problems))
        with pytest.raises(FormatError):
            problems.check("bad", FormatError, where="x")

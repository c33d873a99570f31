"""Whose media sets a node takes: every way to say it, on a fake node and a real media set."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from installer import custody
from installer.bundle.signer import signers_text
from installer.errors import InputError, IntegrityError, OperatorError
from installer.trust import COUNT_PATH, RECORD_PATH, SITE_PATH, Demand, Trust, judge, keep, recorded
from tests.fakes.desk import Desk
from tests.fakes.media import lab_key, sign
from tests.fakes.node import FakeNode

FIRST, OTHER, THIRD = (lab_key(number) for number in (1, 2, 3))


@pytest.fixture
def medium(media: Path, tmp_path: Path) -> Path:
    """A copy of the media set, to be signed by others."""
    return Path(shutil.copytree(media, tmp_path / "signed"))


def refused(medium: Path, node: FakeNode, demand: Demand | None = None) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        judge(medium, node, demand or Demand())
    assert caught.value.where and caught.value.wanted and caught.value.got and caught.value.next_step
    return caught.value


def taken(medium: Path, node: FakeNode, demand: Demand | None = None) -> Trust:
    trust = judge(medium, node, demand or Demand())
    keep(node, trust)
    return trust


def test_the_first_install_records_who_signed_and_later_ones_refuse_another(medium: Path) -> None:
    node = FakeNode()
    assert judge(medium, node, Demand()).by == "nobody"
    assert recorded(node) == (), "looking records nothing"
    assert taken(medium, node).words() == "first seen here; an install records it"
    found = node.stat(RECORD_PATH)
    assert found
    assert (recorded(node), found.mode) == ((FIRST.signer,), 0o644)
    assert taken(medium, node).by == "the first install"
    error = refused(sign(medium, OTHER), node)
    assert isinstance(error, IntegrityError)
    assert FIRST.signer.fingerprint in (error.wanted or "")
    assert OTHER.signer.words in (error.got or "")
    assert f"--accept-signer {OTHER.signer.fingerprint}" in (error.next_step or "")
    refused(medium, node, Demand(accepted=(FIRST.signer.fingerprint,)))
    assert taken(medium, node, Demand(accepted=(OTHER.signer.fingerprint,))).by == "--accept-signer"
    assert recorded(node) == (OTHER.signer,), "the old one is trusted no more"
    refused(sign(medium, FIRST), node)


def test_what_is_not_signed_needs_a_word_even_where_nobody_is_recorded(medium: Path) -> None:
    node = FakeNode()
    sign(medium)
    assert "--allow-unsigned" in (refused(medium, node).next_step or "")
    trust = taken(medium, node, Demand(allow_unsigned=True))
    assert (trust.signers, recorded(node)) == ((), ())
    taken(sign(medium, FIRST), node)
    error = refused(sign(medium), node)
    assert FIRST.signer.fingerprint in (error.wanted or "")
    assert taken(medium, node, Demand(allow_unsigned=True)).signed == ()
    assert recorded(node) == (FIRST.signer,)
    tarball = next(medium.glob("*.tar.zst"))
    assert "a tarball alone" in (refused(tarball, node).got or "")
    assert judge(tarball, node, Demand(allow_unsigned=True)).sums is None


def test_a_signer_that_is_given_must_have_signed(medium: Path, tmp_path: Path) -> None:
    node = FakeNode()
    listed = tmp_path / "signers"
    listed.write_text(signers_text([FIRST.signer, OTHER.signer]))
    public = tmp_path / "key.pub"
    public.write_text(f"{OTHER.signer.key_text} a comment\n")
    for given in (FIRST.signer.fingerprint, str(listed)):
        assert taken(medium, node, Demand(signers=(given,))).by == "--signer"
    assert recorded(node) == (FIRST.signer,)
    for given in (OTHER.signer.fingerprint, str(public)):
        assert OTHER.signer.fingerprint in (refused(medium, node, Demand(signers=(given,))).wanted or "")
    assert "not signed" in refused(sign(medium), node, Demand(signers=(str(listed),))).message
    sign(medium, OTHER)
    assert taken(medium, node, Demand(signers=(str(public),))).by == "--signer", "what is given outweighs the record"
    assert recorded(node) == (FIRST.signer,)
    refused(medium, node)
    refused(medium, node, Demand(signers=(str(tmp_path / "none"),)))
    refused(medium, node, Demand(signers=("SHA256:short",)))


def test_what_the_site_says_holds_and_no_option_outweighs_it(medium: Path) -> None:
    node = FakeNode().with_files({SITE_PATH: signers_text([OTHER.signer])})
    assert refused(medium, node).wanted == f"the signer by {SITE_PATH}\n{OTHER.signer.fingerprint}"
    for demand in (
        Demand(signers=(FIRST.signer.fingerprint,)),
        Demand(accepted=(FIRST.signer.fingerprint,)),
        Demand(allow_unsigned=True),
    ):
        refused(medium, node, demand)
    refused(sign(medium), node, Demand(allow_unsigned=True))
    assert taken(sign(medium, OTHER), node).by == "the site"
    refused(medium, FakeNode().with_files({SITE_PATH: "nonsense"}))
    refused(medium, FakeNode().with_files({SITE_PATH: "# nobody yet\n"}))


@pytest.mark.parametrize("path", [SITE_PATH, COUNT_PATH, RECORD_PATH])
def test_a_list_that_others_can_write_says_nothing(medium: Path, path: str) -> None:
    for mode, uid in ((0o664, 0), (0o646, 0), (0o644, 1000)):
        node = FakeNode()
        node.write_file(path, signers_text([FIRST.signer]).encode() if path != COUNT_PATH else b"1", mode=mode, uid=uid)
        error = refused(medium, node)
        assert (error.where, "chmod 644" in (error.next_step or "")) == (path, True)


def test_two_persons_must_have_signed_where_two_are_wanted(medium: Path) -> None:
    three = signers_text([key.signer for key in (FIRST, OTHER, THIRD)])
    node = FakeNode().with_files({SITE_PATH: three, COUNT_PATH: "2\n"})
    assert "2 of 3 signers" in (refused(medium, node).wanted or "")
    refused(medium, node, Demand(signatures=1))
    refused(sign(medium, FIRST, FIRST), node)
    refused(sign(medium, FIRST, lab_key(4)), node)
    assert set(taken(sign(medium, THIRD, FIRST), node).signers) == {THIRD.signer, FIRST.signer}
    refused(medium, node, Demand(signatures=3))
    alone = FakeNode()
    assert taken(medium, alone, Demand(signatures=2)).by == "nobody"
    assert set(recorded(alone)) == {THIRD.signer, FIRST.signer}
    taken(sign(medium, FIRST), alone)
    refused(medium, alone, Demand(signatures=2))
    refused(medium, FakeNode(), Demand(signatures=2))
    for text in ("", "0", "100", "two", "²", "1" * 5000):
        error = refused_count(medium, text)
        assert error.where == COUNT_PATH


def refused_count(medium: Path, text: str) -> OperatorError:
    with pytest.raises(InputError) as caught:
        judge(medium, FakeNode().with_files({COUNT_PATH: text or " "}), Demand())
    return caught.value


def test_one_signature_that_does_not_hold_is_not_outweighed_by_another(medium: Path) -> None:
    node = FakeNode()
    sign(medium, FIRST, OTHER)
    second = medium / "SHA256SUMS.sig.2"
    second.write_bytes(OTHER.signature_of(b"other sums"))
    error = refused(medium, node)
    assert (error.where, "not of this SHA256SUMS" in error.message) == (str(second), True)
    second.write_bytes(b"damaged")
    assert "damaged" in refused(medium, node).message
    second.unlink()
    second.mkdir()
    assert "cannot be read" in refused(medium, node).message
    second.rmdir()
    os.mkfifo(second)
    assert "a named pipe" in (refused(medium, node).got or "")


def test_sums_changed_after_they_were_signed_are_named(medium: Path) -> None:
    sums = medium / "SHA256SUMS"
    text = sums.read_text()
    sums.write_text(text.replace(text[:8], "0" * 8, 1))
    assert "not of this SHA256SUMS" in refused(medium, FakeNode()).message
    sums.write_text("nonsense")
    assert "SHA256SUMS is damaged" in refused(medium, FakeNode()).message


@pytest.mark.parametrize(
    "demand",
    [
        Demand(signers=("x",), allow_unsigned=True),
        Demand(signers=("x",), accepted=("y",)),
        Demand(allow_unsigned=True, signatures=2),
    ],
)
def test_what_cannot_be_meant_together_is_said_so(medium: Path, demand: Demand) -> None:
    assert isinstance(refused(medium, FakeNode(), demand), InputError)


def test_an_install_judges_first_records_and_notes(desk: Desk) -> None:
    code, said = desk.run("plan", "--role", "cp")
    assert (code, FIRST.signer.words in said) == (0, True)
    node = desk.machine.node
    assert custody.last(node, 9) == () and recorded(node) == ()
    assert desk.run("--role", "cp")[0] == 0
    assert recorded(node) == (FIRST.signer,)
    told = [(entry.event, entry.result, entry.signers) for entry in custody.last(node, 9)]
    assert told == [(event, result, (FIRST.signer.fingerprint,)) for event, result in
                    (("verify", "whole"), ("install", "done"))]  # fmt: skip
    assert desk.run("--role", "cp")[0] == 0
    assert custody.last(node, 1)[0].result == "as wanted"
    desk.copied()
    sign(desk.media, OTHER)
    for words in (("--role", "cp"), ("plan", "--role", "cp"), ("preflight", "--role", "cp")):
        code, said = desk.run(*words)
        assert (code, "signed by others" in said) == (4, True), said
    assert [entry.result for entry in custody.last(node, 2)] == ["as wanted", "refused"], "by the install alone"
    assert desk.run("--role", "cp", "--accept-signer", OTHER.signer.fingerprint)[0] == 0
    assert recorded(node) == (OTHER.signer,)
    _, said = desk.run("status")
    assert "custody " in said and "verify refused" in said


def test_a_refused_medium_leaves_nothing_on_a_node_that_has_nothing(desk: Desk) -> None:
    desk.copied()
    sign(desk.media)
    code, said = desk.refused("--role", "cp")
    assert (code, "--allow-unsigned" in said) == (4, True)
    assert desk.machine.node.stat(custody.PATH) is None
    code, said = desk.run("--role", "cp", "--allow-unsigned")
    assert (code, "not signed, and allowed so" in said) == (0, True), said


def test_the_index_must_be_the_one_whose_sums_were_signed(desk: Desk) -> None:
    """Also where nothing else of the medium would be read, as its bundle is installed here already."""
    assert desk.run("--role", "cp")[0] == 0
    tarball = desk.copied()
    sums = desk.media / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(f"{'0' * 64}  bundle.json\n" if "bundle.json" in line else line for line in lines))
    sign(desk.media, FIRST)
    code, said = desk.run("--role", "cp")
    assert (code, "of another bundle" in said) == (4, True), said
    assert str(tarball) in said

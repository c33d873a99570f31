"""The words are told apart by ear: what the list promises, demanded of each pair."""

from __future__ import annotations

import itertools
import re

from installer.bundle.words import SPOKEN_BYTES, WORDS, spoken


def _distance(one: str, other: str) -> int:
    """How many letters have to be changed, added or left out (Levenshtein)."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        now = [row]
        for column, another in enumerate(other, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (letter != another)))
        before = now
    return before[-1]


def _sound(word: str) -> str:
    """Roughly what is heard: one spelling for letters that sound alike, and any vowel for any other."""
    alike = {"ph": "f", "gh": "", "kn": "n", "wr": "r", "ck": "k", "ch": "C", "sh": "C", "th": "0", "qu": "kw",
             "x": "ks", "z": "s", "y": "i"}  # fmt: skip
    for written, heard in alike.items():
        word = word.replace(written, heard)
    word = re.sub("g(?=[ei])", "j", re.sub("c(?=[ei])", "s", word)).replace("c", "k")
    return re.sub(r"(.)\1+", r"\1", re.sub("[aeiou]+", "a", word[0] + re.sub("[hw]", "", word[1:]))).rstrip("a")


def test_each_byte_has_a_word_of_four_to_six_letters() -> None:
    assert len(WORDS) == len(set(WORDS)) == 256
    assert list(WORDS) == sorted(WORDS)
    assert all(re.fullmatch("[a-z]{4,6}", word) for word in WORDS)


def test_no_two_begin_alike_look_alike_or_sound_alike() -> None:
    assert len({word[:3] for word in WORDS}) == 256
    near = [(one, other) for one, other in itertools.combinations(WORDS, 2) if _distance(one, other) < 3]
    assert near == []
    alike = [(one, other) for one, other in itertools.combinations(WORDS, 2) if _sound(one) == _sound(other)]
    assert alike == []
    assert _sound("whale") == _sound("wail") and _distance("kitten", "sitting") == 3


def test_eighty_bits_are_spoken_in_a_line_of_a_terminal() -> None:
    assert SPOKEN_BYTES * 8 == 80
    assert spoken(bytes(range(32))) == " ".join(WORDS[:10])
    longest = max(WORDS, key=len)
    assert len(spoken(bytes([WORDS.index(longest)]) * 32)) <= 69
    assert spoken(b"\x00" * 9 + b"\x01") != spoken(b"\x00" * 10)

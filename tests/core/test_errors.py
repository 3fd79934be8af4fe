"""Sentences for a person: what a file says in them can neither command the terminal nor flood it."""

import copy

import pytest

from core.errors import LONGEST, BadInput, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("one\r\ntwo", r"one\r\ntwo"),
        ("abc\u202ecba", r"abc\u202ecba"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert printable(text) == shown == str(BadInput(text))


@pytest.mark.parametrize("letter", ["x", "\x1b"])
def test_a_text_of_any_length_keeps_its_begin_and_its_end(letter):
    sentence = str(BadInput("my.log line 7 " + letter * 1_000_000 + "; run this."))
    assert len(sentence) == LONGEST
    assert sentence.startswith("my.log line 7 ") and sentence.endswith("; run this.")


def test_a_sentence_survives_the_way_from_another_process():
    """Copying takes an exception apart and puts it together as sending it does."""
    error = BadInput("\x1b" * 5_000)
    assert str(copy.copy(error)) == str(error)

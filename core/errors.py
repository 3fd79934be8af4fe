"""The one exception that a person may meet: it carries a sentence, never a traceback."""

EXIT_CODE = 2
LONGEST = 2_000  # letters of a sentence; a file that has more to say is not a mistake that a person makes


class BadInput(Exception):
    """A file, folder or option that cannot be used.

    The text is one sentence with the file, the line where there is one, and the next command to try. Programs print it
    and end with `EXIT_CODE`; nothing that existed before is changed. What a terminal would obey is written out.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence, LONGEST))


def printable(text: str, longest: int | None = None) -> str:
    r"""Return `text` with what is not to be seen written out, ESC as `\x1b`: a log must not command a terminal.

    Of more than `longest` letters the middle is left out: a sentence begins with its file and ends with the remedy.
    """
    text = _without_middle(text, longest)
    if text.isprintable():
        return text
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
    return _without_middle(shown, longest)


def _without_middle(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 3]}...{text[len(text) - end :]}"

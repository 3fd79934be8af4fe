"""The one exception that a person may meet: it carries a sentence, never a traceback."""

EXIT_CODE = 2
INTERRUPTED = 130  # what a shell says of a program that was stopped by Ctrl-C


class BadInput(Exception):
    """A file, folder or option that cannot be used.

    The text is one sentence with the file, the line where there is one, and the next command to try. Programs print it
    and end with `EXIT_CODE`; nothing that existed before is changed.
    """

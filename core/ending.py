"""How every program here ends: with an exit code, and where a person is to know something, in one sentence."""

import logging
import os
import sys
from collections.abc import Callable

from core.errors import EXIT_CODE, BadInput, printable
from core.files import disk_fault

INTERRUPTED = 130  # what a shell says of a program that was stopped by Ctrl-C
GOES_ON = "the same command goes on where it was"
PIPE_CLOSED = 141  # and of one whose output nobody reads any more


def said_in_a_sentence(work: Callable[[], int], name: str, stopped: str = GOES_ON) -> int:
    """Return the exit code of `work`; BadInput, a fault of the disk and Ctrl-C end in one sentence, no traceback.

    The sentence begins with `name`, that of the program; `stopped` says what Ctrl-C leaves.
    """
    try:
        code = work()
        sys.stdout.flush()  # here, where a pipe that nobody reads is no traceback
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return PIPE_CLOSED
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what a stopped kernel leaves behind is no news
        print(f"\n{name}: stopped; {stopped}.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        fault = error if isinstance(error, (BadInput, OSError)) else disk_fault(error)
        if fault is None:
            raise
        print(f"{name}: {printable(str(fault))}", file=sys.stderr)
        return EXIT_CODE

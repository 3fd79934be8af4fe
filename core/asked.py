"""What a person may ask for, checked before anything is touched: the same for command lines and notebooks."""

import os
from pathlib import Path

from core.errors import BadInput

UNSEEN = ("alarm", "ask", "words", "ask-words", "evolved")  # what may become of a key that training never saw
LONGEST_DATA, LONGEST_MODEL = 100, 200  # bytes; a file name has 255, and both stand in some with more around them


def check_data(name: str) -> None:
    """Refuse a DATA that is not the plain name of a folder of data/; raise BadInput."""
    if not name or name.startswith(".") or set(name) & set("/\\:") or not name.isprintable():
        raise BadInput(
            f"DATA = {shown(name)} is no plain name: give the name of a folder of data/ alone, without a path, a colon "
            "or a leading dot."
        )
    if len(os.fsencode(name)) > LONGEST_DATA:
        raise BadInput(f"DATA = {shown(name)} is longer than {LONGEST_DATA} bytes; rename that folder of data/.")


def check_model(name: str) -> None:
    """Refuse a MODEL that cannot be the name of a run folder; raise BadInput."""
    if not name or not name.isprintable():
        raise BadInput(f"MODEL = {shown(name)} is empty or holds what cannot be printed; see README for the models.")
    if len(os.fsencode(short_name(name))) > LONGEST_MODEL:
        raise BadInput(f"MODEL = {shown(name)} is longer than {LONGEST_MODEL} bytes; rename that folder.")


def check_seed(seed: int) -> None:
    """Refuse a SEED that no generator of random numbers takes; raise BadInput."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise BadInput(f"SEED = {shown(seed)} cannot be used; give a whole number from 0 to {2**32 - 1}.")


def check_alpha(alpha: float) -> None:
    """Refuse an ALPHA that is no false-alarm rate; raise BadInput."""
    if not _is_share(alpha):
        raise BadInput(f"ALPHA = {shown(alpha)} is no false-alarm rate; give one between 0 and 1, such as 0.01.")


def check_prevalence(prevalence: float | None) -> None:
    """Refuse a PREVALENCE that is no share of anomalies; None asks for none. Raise BadInput."""
    if prevalence is not None and not _is_share(prevalence):
        raise BadInput(
            f"PREVALENCE = {shown(prevalence)} is no share of anomalies; give one between 0 and 1, such as 0.0293, or "
            "leave it out."
        )


def check_unseen(unseen: str) -> None:
    """Refuse an UNSEEN that is no way to handle keys that training never saw; raise BadInput."""
    if unseen not in UNSEEN:
        raise BadInput(f"UNSEEN = {shown(unseen)} says nothing of unseen keys; give one of {', '.join(UNSEEN)}.")


def _is_share(value: float) -> bool:
    return isinstance(value, float) and 0 < value < 1  # neither holds for NaN


def short_name(model: str) -> str:
    """Return the name of a model in folders and tables: of a local checkpoint its folder alone, else as it is."""
    try:
        is_folder = Path(model).is_dir()
    except (OSError, ValueError):  # too long for a path, or no path at all
        return model
    return Path(os.path.abspath(model)).name if is_folder else model


def shown(value) -> str:
    """Return what a person gave as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

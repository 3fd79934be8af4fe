"""Variable parts blanked before mining, so that a log has few distinct messages."""

from dataclasses import dataclass

import numpy as np
import polars as pl

PARAMETER = "<*>"  # what Drain writes for a variable part; masks write the same, so that Drain counts it as variable


@dataclass(frozen=True)
class Mask:
    """A variable part that is blanked before mining. Rust syntax: no look-around, `${1}` is the first group."""

    name: str
    pattern: str
    replacement: str = PARAMETER


# What stands in for a parser (--mine none): the variable parts that LogLLM blanks (Guan et al. 2024, arXiv 2411.08561,
# prepareData/helper.py), written anew. Theirs has no word boundary at true, false and the number words, and takes all
# messages of a sequence at once; here words stay whole, and each message is blanked for itself.
_HEX = "[0-9a-fA-F]"
_VARIABLE = "|".join(
    (
        r"(?i:\b(?:true|false)\b)",
        r"(?i:\b(?:one|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand|million|billion)\b)",
        r"(?i:\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b)|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b",
        r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\s+[0-9]{1,2}\b",
        r"/?\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?\b",  # IPv4, with its port
        rf"\b{_HEX}{{2}}(?::{_HEX}{{2}}){{11}}\b|\b{_HEX}{{2}}(?::{_HEX}{{2}}){{5}}\b",  # MAC of 12 and of 6 bytes
        r"[\w.-]+@[\w.-]+",  # user@host
        r"(?:/[\w.+-]+)+/?",  # path
        rf"\b{_HEX}{{8}}\b|\b{_HEX}{{10}}\b",
        r"\b[\w-]*[0-9][\w-]*",  # any word that holds a digit; of blk_-1 and blk_1 alike
    )
)
MESSAGE_MASKS = (Mask("run of dots", r"\.{3,}", ".."), Mask("variable part", _VARIABLE))


def masked(content: pl.Expr, masks: tuple[Mask, ...]) -> pl.Expr:
    """Return `content` with every variable part blanked, masks in order."""
    for mask in masks:
        content = content.str.replace_all(mask.pattern, mask.replacement)
    return content


def distinct_messages(contents: pl.Series, masks: tuple[Mask, ...]) -> tuple[pl.Series, np.ndarray]:
    """Return the distinct masked messages in the order of their first row, and each row's place among them.

    Masks run one after the other, each on what is still distinct after the one before: numbers and addresses make
    most lines of a log differ, and the slow masks come after the fast ones have made them equal.
    """
    values, places = _distinct(_blanked(contents, masks[0]) if masks else contents)
    for mask in masks[1:]:
        values, merged = _distinct(_blanked(values, mask))
        places = merged[places]
    return values, places


def _blanked(values: pl.Series, mask: Mask) -> pl.Series:
    return values.str.replace_all(mask.pattern, mask.replacement)


def _distinct(values: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return the distinct values in the order of their first row, and each row's place among them."""
    distinct = values.unique(maintain_order=True)
    numbers = np.arange(len(distinct), dtype=np.uint32)
    # The cast is for an empty series: replace_strict gives it the type String, whatever return_dtype says.
    places = values.replace_strict(distinct, numbers, return_dtype=pl.UInt32).cast(pl.UInt32).to_numpy()
    return distinct, places

"""Messages to templates, templates to log keys.

Masking leaves few distinct messages (114 of 222,579 in 2 % of HDFS), so Drain3 sees each of them once, in the order
of its first line. Drain's answer to a message depends on what it saw before, but a message that it has seen rarely
changes its state, which is why the partition equals that of Drain3 fed line by line (tests/test_mine.py on the
sample, benchmarks/parsing.py on any log).
"""

import hashlib

import polars as pl
from drain3.drain import Drain

from parsing.specs import DrainSettings, Mask


def masked(content: pl.Expr, masks: tuple[Mask, ...]) -> pl.Expr:
    """`content` with every variable part blanked, masks in order."""
    for mask in masks:
        content = content.str.replace_all(mask.pattern, mask.replacement)
    return content


def new_drain(settings: DrainSettings) -> Drain:
    """An empty Drain3 parse tree. Tokens with digits get no branch of their own, Drain's rule for parameters."""
    return Drain(depth=settings.depth, sim_th=settings.similarity, max_children=settings.max_children, param_str="<*>")


def mine(messages: list[str], settings: DrainSettings) -> list[str]:
    """The final template of each distinct masked message; templates still change while Drain reads, keys must not."""
    drain = new_drain(settings)
    clusters = [drain.add_log_message(message)[0] for message in messages]
    return [cluster.get_template() for cluster in clusters]


def template_key(template: str) -> str:
    """The log key: 8 hex digits of the template's SHA-256, so it is the same in every run and on every machine."""
    return hashlib.sha256(template.encode()).hexdigest()[:8]


class MessageTable:
    """Numbers distinct masked messages while a log streams by, so that no column of text stays in memory."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, messages: pl.Series) -> pl.Series:
        """The message numbers, uint32, in the order of `messages`; new messages get the next number."""
        distinct = messages.unique(maintain_order=True).to_list()
        codes = [self.numbers.setdefault(message, len(self.numbers)) for message in distinct]
        return messages.replace_strict(distinct, codes, return_dtype=pl.UInt32)

    def keys(self, settings: DrainSettings) -> pl.DataFrame:
        """`message: uint32, key, template`, one row a distinct masked message; two templates never share a key."""
        templates = mine(list(self.numbers), settings)
        frame = pl.DataFrame(
            {
                "message": pl.Series(list(self.numbers.values()), dtype=pl.UInt32),
                "key": [template_key(template) for template in templates],
                "template": templates,
            },
            schema_overrides={"key": pl.String, "template": pl.String},
        )
        assert frame["key"].n_unique() == frame["template"].n_unique(), "two templates share their 8-digit key"
        return frame

"""Messages to templates, templates to log keys.

Masking leaves few distinct messages (114 of 222,579 in 2 % of HDFS), so Drain3 sees each of them once, in the order
of its first line. Drain's answer to a message depends on what it saw before, but a message that it has seen rarely
changes its state, which is why the partition equals that of Drain3 fed line by line (tests/test_parse.py on the
sample, benchmarks/parsing.py on any log).
"""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
from drain3.drain import Drain, LogCluster

from core.errors import BadInput
from parsing.datasets import PARAMETER, DrainSettings, Mask

UNMATCHED = "unmatched"  # the key of lines that no known template matches; training never holds it


def masked(content: pl.Expr, masks: tuple[Mask, ...]) -> pl.Expr:
    """`content` with every variable part blanked, masks in order."""
    for mask in masks:
        content = content.str.replace_all(mask.pattern, mask.replacement)
    return content


def new_drain(settings: DrainSettings) -> Drain:
    """An empty Drain3 parse tree. Tokens with digits get no branch of their own, Drain's rule for parameters."""
    return Drain(
        depth=settings.depth, sim_th=settings.similarity, max_children=settings.max_children, param_str=PARAMETER
    )


def mine(messages: list[str], settings: DrainSettings) -> list[str]:
    """The final template of each distinct masked message; templates still change while Drain reads, keys must not."""
    drain = new_drain(settings)
    clusters = [drain.add_log_message(message)[0] for message in messages]
    return [cluster.get_template() for cluster in clusters]


def mine_some(messages: list[str], chosen: np.ndarray, settings: DrainSettings) -> list[str | None]:
    """Templates mined on the chosen messages (bool, one a message) alone; what matches none of them has None."""
    drain = new_drain(settings)
    clusters = [
        drain.add_log_message(message)[0] if known else None for message, known in zip(messages, chosen, strict=True)
    ]
    return [
        _template(cluster or drain.match(message, "fallback"))
        for message, cluster in zip(messages, clusters, strict=True)
    ]


def match_templates(messages: list[str], templates: list[str], settings: DrainSettings) -> list[str | None]:
    """The one of `templates` that each message matches word for word but for its parameters, or None."""
    drain = new_drain(settings)
    for number, template in enumerate(templates, start=1):
        cluster = LogCluster(template.split(), number)
        drain.id_to_cluster[number] = cluster
        drain.add_seq_to_prefix_tree(drain.root_node, cluster)
    return [_template(drain.match(message, "fallback")) for message in messages]


def _template(cluster: LogCluster | None) -> str | None:
    return cluster.get_template() if cluster else None


def template_key(template: str | None) -> str:
    """The log key: 8 hex digits of the template's SHA-256, so it is the same in every run and on every machine."""
    return UNMATCHED if template is None else hashlib.sha256(template.encode()).hexdigest()[:8]


def read_templates(path: Path) -> list[str]:
    """The templates of a templates.csv that an earlier run wrote."""
    try:
        table = pl.read_csv(path, infer_schema=False)
        known = pl.col("template").is_not_null() | (pl.col("key") == template_key(""))  # a CSV spells None as ""
        templates = table.filter(known)["template"].fill_null("").to_list()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path} is not a templates.csv of an earlier run; give data/<name>/templates.csv.") from error
    if not templates:
        raise BadInput(f"{path} holds no template; key sequences made elsewhere have none. Parse a raw log first.")
    return templates


def distinct_messages(contents: pl.Series, masks: tuple[Mask, ...]) -> tuple[pl.Series, np.ndarray]:
    """The distinct masked messages in the order of their first row, and each row's place among them.

    Masks run one after the other, each on what is still distinct after the one before: numbers and addresses make
    most lines of a log differ, and the slow masks come after the fast ones have made them equal.
    """
    values, places = contents, None
    for mask in masks:
        values, places = _distinct(values.str.replace_all(mask.pattern, mask.replacement), places)
    return (values, places) if masks else _distinct(values, None)


def _distinct(values: pl.Series, places: np.ndarray | None) -> tuple[pl.Series, np.ndarray]:
    """The distinct values in the order of their first row; `places` are the rows' places among `values` so far."""
    distinct = values.unique(maintain_order=True)
    numbers = np.arange(len(distinct), dtype=np.uint32)
    own = values.replace_strict(distinct, numbers, return_dtype=pl.UInt32).cast(pl.UInt32).to_numpy()  # none: String
    return distinct, own if places is None else own[places]


class MessageTable:
    """Numbers distinct masked messages while a log streams by, so that no column of text stays in memory."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.examples: list[str] = []
        self.counts = np.zeros(0, np.int64)
        self.first_lines = np.zeros(0, np.int64)

    def number(self, messages: pl.Series, places: np.ndarray, contents: pl.Series) -> np.ndarray:
        """The message number of each row, uint32; new messages get the next number and their row as example.

        `messages` and `places` are those of `distinct_messages(contents)`.
        """
        known = len(self.numbers)
        numbers = np.array([self.numbers.setdefault(message, len(self.numbers)) for message in messages], np.uint32)
        if len(self.numbers) > known:
            first = np.empty(len(messages), np.int64)
            first[places[::-1]] = np.arange(len(places))[::-1]  # the last write of each place wins: its first row
            self.examples += contents.gather(first[numbers >= known]).to_list()
        return numbers[places]

    def tally(self, events: pl.DataFrame) -> None:
        """Count the lines of each message; `events` has `line, message`, a line of several sessions in a row."""
        lines = events.filter(pl.col("line") != pl.col("line").shift(1, fill_value=0))
        grown = len(self.numbers) - len(self.counts)
        self.counts = np.pad(self.counts, (0, grown))
        self.first_lines = np.pad(self.first_lines, (0, grown), constant_values=np.iinfo(np.int64).max)
        numbers = lines["message"].to_numpy()
        self.counts += np.bincount(numbers, minlength=len(self.counts))
        np.minimum.at(self.first_lines, numbers, lines["line"].to_numpy())

    def keys(self, templates: list[str | None]) -> pl.DataFrame:
        """`key, template, count (lines), first_line, example`, one row a distinct message, by their numbers.

        Two templates never share a key.
        """
        frame = pl.DataFrame(
            {
                "key": [template_key(template) for template in templates],
                "template": pl.Series(templates, dtype=pl.String),
                "count": self.counts,
                "first_line": self.first_lines,
                "example": self.examples,
            }
        )
        assert frame["key"].n_unique() == frame["template"].n_unique(), "two templates share their 8-digit key"
        return frame

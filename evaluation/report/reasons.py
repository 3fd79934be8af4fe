"""The reason of a verdict: where detections come from, and sequences with each event shaded by how odd it was."""

import re
from collections.abc import Mapping, Sequence
from math import log10

import polars as pl
from markupsafe import Markup

from evaluation.rules import PAPER_RULE, RULE_TITLES

END = "<end>"
FIRST_YEAR = 1970  # of times that a log may name, those since its own start included
SIGNS = ("unseen key", "unlikely key", "unlikely end", "excused by its counts", "missed")
Choices = Sequence[tuple[str, float]]  # keys with their probabilities, the likeliest first

_BETWEEN = re.compile(r"; (?=[<>]?\d+% )")  # a template may hold a semicolon of its own
# Inline, because a notebook has no style sheet of ours: it would set every cell to the right.
_LEFT = Markup('style="text-align:left"')


# ------------------------------------------------------------------------------------------- words and numbers


def as_share(share: float) -> str:
    """Write a probability for people: `45%`, and `<1%` or `>99%` at the ends, because no model is certain."""
    if share < 0.01:
        return "<1%"
    return ">99%" if share > 0.99 else f"{share:.0%}"


def as_tail(tail: float) -> str:
    """Write a tail probability for people, with two digits that count: `0.031`, `1.2e-05`."""
    return f"{tail:.2g}"


def dated(times: str) -> pl.Expr:
    """Return a column of times, null where the log names no year: parsing puts such times before `FIRST_YEAR`."""
    return pl.when(pl.col(times).dt.year() >= FIRST_YEAR).then(times).alias(times)


def in_words(key: str, templates: Mapping[str, str | None]) -> str:
    """Return what a key stands for: its template, or the key itself where it has none."""
    return "end of the sequence" if key == END else templates.get(key) or key


def as_text(choices: Choices, templates: Mapping[str, str | None]) -> str:
    """Write what was expected as a cell of a table: `62% Received block <*>; 5% end of the sequence`."""
    return "; ".join(f"{as_share(share)} {in_words(key, templates)}" for key, share in choices)


def read_choices(text: str | None) -> list[tuple[str, str]]:
    """Return shares and words of what `as_text` has written."""
    return [(share, words) for share, _, words in (one.partition(" ") for one in _BETWEEN.split(text or "") if one)]


def place(event: int, length: int, line: int | None) -> str:
    """Say where an event is, both counted from 1; the event after the last one is the end. A line is never grouped."""
    where = f"end after {length:,} events" if event > length else f"event {event:,} of {length:,}"
    return where if line is None else f"{where}, line {line}"


# ------------------------------------------------------------------------------------------------------ sources


def judged_rules(judged: pl.DataFrame) -> list[str]:
    """Return the rules that `judged` scores have verdicts of, without the one that keeps no alpha."""
    return [rule for rule in RULE_TITLES if rule != PAPER_RULE and f"flagged_{rule}" in judged.columns]


def detection_sources(scores: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count, for each rule, how many anomalous sequences it caught by which sign, and how many it missed.

    An unseen key wins over an unlikely one; an unlikely end means that the worst event was the sequence's ending. What
    the confirmation by counts let go had been caught by its tail probability.
    """
    anomalous = scores.filter(pl.col("label") == 1)
    at_end = pl.col("worst_event") == pl.col("length")
    sources = {}
    for rule in judged_rules(scores):
        flagged, unconfirmed = pl.col(f"flagged_{rule}"), f"flagged_{rule.removesuffix('_and_counts')}"
        sign = (
            pl.when(~flagged & pl.col(unconfirmed))  # never true of a rule without a confirmation
            .then(pl.lit("excused by its counts"))
            .when(~flagged)
            .then(pl.lit("missed"))
            .when("has_unseen_key")
            .then(pl.lit("unseen key"))
            .when(at_end)
            .then(pl.lit("unlikely end"))
            .otherwise(pl.lit("unlikely key"))
        )
        found = dict(anomalous.select(sign.alias("sign"))["sign"].value_counts().iter_rows())
        sources[rule] = {name: found.get(name, 0) for name in SIGNS}
    return sources


# ------------------------------------------------------------------------------------------------------ gallery


def pick(scores: pl.DataFrame, rule: str, count: int = 3) -> dict[str, pl.DataFrame]:
    """Pick `count` sequences each of false alarms, misses and hits: the least expected, distinct event for event.

    Without labels they are alarms, right or wrong.
    """
    flagged, anomalous = pl.col(f"flagged_{rule}"), pl.col("label") == 1
    cases = {"false alarms": flagged & ~anomalous, "misses": ~flagged & anomalous, "hits": flagged & anomalous}
    if scores["label"].is_null().all():
        cases = {"alarms": flagged}
    distinct = scores.unique("event_tail_probabilities", keep="first", maintain_order=True).sort(
        "tail_probability", maintain_order=True
    )
    return {name: distinct.filter(case).head(count) for name, case in cases.items()}


def describe_sequences(
    rows: list[dict],
    events: list[list[dict]],
    choices: Sequence[Choices],
    templates: Mapping[str, str | None],
) -> list[tuple[Markup, str]]:
    """Describe each sequence as `describe_sequence` does, the first one unfolded."""
    end = {"line": None, "key": END, "event": in_words(END, templates)}
    return [
        describe_sequence(
            row,
            [*own, end],
            [(as_share(share), in_words(key, templates)) for key, share in expected],
            opened=number == 0,
        )
        for number, (row, own, expected) in enumerate(zip(rows, events, choices, strict=True))
    ]


def describe_sequence(
    scores: dict, events: list[dict], expected: list[tuple[str, str]], opened: bool
) -> tuple[Markup, str]:
    """Describe one sequence as HTML, an event a row shaded by its tail probability, and as one line of text.

    `scores` is a row of the judged scores, `events` its `line, key, event` with the end as last one, `expected` what
    the model thought likeliest in place of the worst event, as share and words: it stands below that event. `opened`
    unfolds the table. `Markup.format` escapes whatever is filled in, so no text of a log becomes markup.
    """
    worst, tails = scores["worst_event"], scores["event_tail_probabilities"]
    where = place(worst + 1, scores["length"], events[worst]["line"])
    rank, tail = scores["event_ranks"][worst], as_tail(tails[worst])
    title = f"{scores['sequence_id']}: {where}, rank {rank}, tail probability {tail}"
    rows = [_event_row(event, tail) for event, tail in zip(events, tails, strict=True)]
    rows.insert(worst + 1, _expected_row(expected))
    html = Markup(
        '<details{}><summary>{}</summary><table class="events"><tr><th>line</th><th>key</th><th {}>event</th>'
        "<th>tail probability</th></tr>{}</table></details>"
    ).format(" open" * opened, title, _LEFT, Markup().join(rows))
    return html, f"  {title}: {events[worst]['event'] or events[worst]['key']}"


def _event_row(event: dict, tail: float) -> Markup:
    line, shown = "" if event["line"] is None else event["line"], event["event"] or event["key"]
    row = Markup('<tr style="background:{}"><td>{}</td><td><code>{}</code></td><td {}>{}</td><td>{}</td></tr>')
    return row.format(_shade(tail), line, event["key"], _LEFT, shown, as_tail(tail))


def _expected_row(expected: list[tuple[str, str]]) -> Markup:
    choices = Markup().join(Markup("<br>{} {}").format(share, words) for share, words in expected)
    return Markup("<tr><td></td><td></td><td {}><i>expected instead:{}</i></td><td></td></tr>").format(_LEFT, choices)


def _shade(tail: float) -> str:
    """Return a color: none for an expected event, red from one in a hundred thousand on, by the logarithm between."""
    strength = min(max(-log10(max(tail, 1e-5)) / 5, 0.0), 1.0)
    return f"rgba(196, 78, 82, {0.75 * strength:.2f})"

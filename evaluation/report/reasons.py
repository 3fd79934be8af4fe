"""The reason of a verdict: where detections come from, and sequences with each event shaded by how odd it was."""

from html import escape

import numpy as np
import polars as pl

from evaluation.rules import RULES

_LEFT = '<td style="text-align:left">'
SIGNS = ("unseen key", "unlikely key", "unlikely end", "excused by its counts", "missed")


def detection_sources(scores: pl.DataFrame) -> dict[str, dict[str, int]]:
    """For each rule, how many anomalous sequences it caught by which sign, and how many it missed.

    An unseen key wins over an unlikely one; an unlikely end means that the worst event was the sequence's ending. What
    the confirmation by counts let go had been caught by its tail probability.
    """
    anomalous = scores.filter(pl.col("label") == 1)
    at_end = pl.col("worst_event") == pl.col("length")
    excused = pl.col(f"flagged_{RULES[1]}") & ~pl.col(f"flagged_{RULES[2]}")
    sources = {}
    for rule in RULES:
        sign = (
            pl.when(~pl.col(f"flagged_{rule}") & excused & (rule == RULES[2]))
            .then(pl.lit("excused by its counts"))
            .when(~pl.col(f"flagged_{rule}"))
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


def pick(scores: pl.DataFrame, rule: str, count: int = 3) -> dict[str, pl.DataFrame]:
    """`count` sequences each of false alarms, misses and hits: the least expected ones, distinct event for event.

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
    rows: list[dict], events: list[list[dict]], choices: list[list[tuple[str, float]]], templates: dict
) -> list[tuple[str, str]]:
    """Each sequence as in `describe_sequence`, the first one unfolded; `choices` are keys with their probabilities."""
    return [
        describe_sequence(
            row,
            [*own, {"line": None, "key": "<end>", "event": "end of the sequence"}],
            [f"{templates.get(key) or key} ({share:.0%})" for key, share in expected],
            opened=number == 0,
        )
        for number, (row, own, expected) in enumerate(zip(rows, events, choices, strict=True))
    ]


def describe_sequence(scores: dict, events: list[dict], expected: list[str], opened: bool) -> tuple[str, str]:
    """One sequence as HTML, an event a row shaded by its tail probability, and as one line of text.

    `scores` is a row of the judged scores, `events` its `line, key, event` with the end as last one, `expected` what
    the model thought likeliest in place of the worst event, which stands below it. `opened` unfolds the table.
    """
    worst, tails = scores["worst_event"], scores["event_tail_probabilities"]
    title = (
        f"{scores['sequence_id']}: {_place(worst, scores['length'])}, rank {scores['event_ranks'][worst]}, "
        f"tail probability {tails[worst]:.2g}"
    )
    rows = [_event_row(event, tail) for event, tail in zip(events, tails, strict=True)]
    rows.insert(
        worst + 1, f"<tr><td></td><td></td>{_LEFT}<i>expected: {escape('; '.join(expected))}</i></td><td></td></tr>"
    )
    head = f"<tr><th>line</th><th>key</th>{_LEFT.replace('td', 'th')}event</th><th>tail probability</th></tr>"
    html = (
        f"<details{' open' * opened}><summary>{escape(title)}</summary><table>{head}{''.join(rows)}</table></details>"
    )
    return html, f"  {title}: {events[worst]['event'] or events[worst]['key']}"


def _place(worst: int, length: int) -> str:
    return f"end after {length} events" if worst == length else f"event {worst + 1} of {length}"


def _event_row(event: dict, tail: float) -> str:
    line = "" if event["line"] is None else f"{event['line']:,}"
    shown = escape(event["event"] or event["key"])
    style = f'style="background:{_shade(tail)}"'
    key = f"<code>{escape(event['key'])}</code>"
    return f"<tr {style}><td>{line}</td><td>{key}</td>{_LEFT}{shown}</td><td>{tail:.2g}</td></tr>"


def _shade(tail: float) -> str:
    """Transparent for an expected event, red from one in a hundred thousand on, by the logarithm between."""
    strength = min(-np.log10(max(tail, 1e-5)) / 5, 1.0)
    return f"rgba(196, 78, 82, {0.75 * strength:.2f})"

"""A judged log as one HTML file, dressed as the page of a run: no script, nothing loaded from elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.files import write
from evaluation.report.page import PAGES, POLICY
from evaluation.report.ranked import SHOWN
from evaluation.report.reasons import read_choices
from evaluation.verdicts import today

MOST_NEW = 200  # new templates that the page lists; templates.csv has them all


def write_judged_page(
    folder: Path,
    name: str,
    simulated: bool,
    said: Sequence[str],
    listed: pl.DataFrame,
    new: pl.DataFrame,
    changes: pl.DataFrame,
) -> Path:
    """Write report.html of a judged log into `folder`; return its path.

    `said` are the sentences at its head, `listed` is `ranked.ranked`, `new` the templates that training never saw,
    `changes` are those of `difference.changes`. Each value is escaped.
    """
    values = {
        "policy": POLICY,
        "today": today(),
        "name": name,
        "simulated": simulated,
        "said": said,
        "rows": [row | {"expected": read_choices(row["expected"])} for row in listed.head(SHOWN).to_dicts()],
        "labeled": bool(listed["label"].is_not_null().any()),
        "count": len(listed),
        "new": new.head(MOST_NEW).to_dicts(),
        "new_count": len(new),
        "changes": changes.filter(pl.col("kind") != "new").head(MOST_NEW).to_dicts(),
    }
    path = folder / "report.html"
    write(path, PAGES.get_template("judged.html.j2").render(values))
    return path

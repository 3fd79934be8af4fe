"""Every field of every JSON of a data folder and a run folder, damaged and read again.

A damage is refused in one sentence, or it changes nothing: verdicts from a damaged decision, or HTML from a damaged
title, are wrongly accepted; so is a page that shows a text of the file as markup.
"""

import contextlib
import copy
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from core.errors import BadInput
from evaluation.report import page
from methods.deeplog import DeepLog
from runs import steps
from runs.folder import open_run

MARKUP = "<b>x"
DAMAGES = {"deleted": None, "null": None, "markup": MARKUP, "negative": -1}
RUN = Path("results") / "small" / "deeplog-lstm-s0"
FILES = [
    Path("data") / "small" / "manifest.json",
    *(RUN / name for name in ("config.json", "decision.json", "environment.json", "metrics.json")),
    RUN / "model" / "detector.json",
]


def try_all(folder: Path, every: int = 1) -> Counter:
    """Damage each field, or one in `every`, of a finished run of DeepLog on data/small in `folder`; count what happens.

    `damages`, `refused`, `harmless`, and what must be 0: `tracebacks` and `wrong acceptances`.
    """
    found: Counter = Counter()
    with contextlib.chdir(folder):
        _write_report()
        reference = read_all()
        for path in FILES:
            whole = path.read_text(encoding="utf-8")
            for field, kind, text in islice(damaged(json.loads(whole)), 0, None, every):
                path.write_text(text, encoding="utf-8")
                outcome = _outcome(reference)
                found.update({"damages": 1, outcome: 1})
                if outcome in ("tracebacks", "wrong acceptances"):
                    print(f"{outcome}: {path.as_posix()} {'.'.join(map(str, field))} {kind}", flush=True)
                _restore(path, whole)
    return found


def damaged(content: dict) -> Iterator[tuple[list, str, str]]:
    """Yield each field, how it was damaged, and the file with this one damage."""
    for field in fields(content):
        for kind, value in DAMAGES.items():
            changed = copy.deepcopy(content)
            inside = changed
            for step in field[:-1]:
                inside = inside[step]
            if kind == "deleted":
                del inside[field[-1]]
            elif type(inside[field[-1]]) is type(value):
                continue
            else:
                inside[field[-1]] = value
            yield field, kind, json.dumps(changed)


def fields(content: dict | list, above: tuple = ()) -> Iterator[list]:
    """Yield the way to every field, through objects and lists; of a list the first entry alone."""
    steps_into = content.items() if isinstance(content, dict) else list(enumerate(content))[:1]
    for step, value in steps_into:
        yield [*above, step]
        if isinstance(value, dict | list):
            yield from fields(value, (*above, step))


def read_all() -> tuple[pl.DataFrame, str]:
    """Return verdicts and the report as the finished run gives them, everything read from disk."""
    run = open_run("small", "lstm", 0, "deeplog")
    run.read_environment()
    html = page.write_page(run.folder, {}, run.data.templates).read_text(encoding="utf-8")
    decision = run.read_decision()
    detector = DeepLog.load(run.model_folder, run.data.keys("train"))
    scores = steps.score(run, "test", detector.score)
    judged, found = steps.judge(run, scores, decision)
    steps.record(run, found, decision)
    return judged.select(pl.col("^flagged_.*$")), html


def _write_report() -> None:
    run = open_run("small", "lstm", 0, "deeplog")
    judged = pl.read_parquet(run.folder / "test_scores.parquet")
    steps.report(run, judged, {}, lambda prefixes: [[] for _ in prefixes])


def _outcome(reference: tuple[pl.DataFrame, str]) -> str:
    kept = {path: path.read_bytes() for path in RUN.iterdir() if path.is_file()}
    ledger = Path("results/runs.csv").read_bytes()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            flags, html = read_all()
    except BadInput:
        return "refused"
    except Exception:
        return "tracebacks"
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
        Path("results/runs.csv").write_bytes(ledger)
    return "harmless" if flags.equals(reference[0]) and MARKUP not in html else "wrong acceptances"


def _restore(path: Path, whole: str) -> None:
    path.write_text(whole, encoding="utf-8")
    for left in RUN.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)

"""What the notebooks share: data and run folders, the steps of a run, and the parts of evaluation/ that show them.

A notebook imports this and brings one detector from methods/. Importing this file does not import torch.
"""

import polars as pl
from markupsafe import Markup
from matplotlib.figure import Figure

from core.data import Data, open_data
from core.environment import describe_environment
from core.errors import BadInput
from evaluation import compare, floors, rules, unseen, verdicts
from evaluation.report import markdown, reasons
from evaluation.show import compare_plots, notebook, plots, tables
from evaluation.show.notebook import show_sentence, show_table
from runs import steps
from runs.folder import REFERENCE, Run, open_run, start_run

__all__ = [
    "BadInput", "Data", "Run", "compare", "compare_plots", "floors", "open_data", "open_run", "plots", "published",
    "reasons", "reference", "rules", "show_environment", "show_gallery", "show_plot", "show_sentence", "show_table",
    "start_run", "steps", "tables", "unseen", "verdicts",
]  # fmt: skip


def show_environment() -> None:
    """Show the machine and the versions, for a bug report."""
    show_sentence(describe_environment())


def show_plot(run: Run, figure: Figure, name: str) -> None:
    """Show a figure and keep it as figures/<name>.png of the run, labeled with data, model and seed."""
    notebook.show_plot(figure, run.folder / "figures" / f"{name}.png", run.label)


def show_gallery(run: Run, gallery: steps.Gallery, rule: str) -> None:
    """Show the sequences of `steps.explain`."""
    for case, sequences in gallery.items():
        title = Markup("<b>{}</b> of {}, {}: {} shown").format(case, rules.RULE_TITLES[rule], run.label, len(sequences))
        notebook.show_html(title, f"{case}: {len(sequences)} shown")
        for html, text in sequences:
            notebook.show_html(html, text)


def published(data: Data) -> pl.DataFrame:
    """Return the published figures of the data set, or of the one `data` is a sample of, with their protocols."""
    of = markdown.SAMPLES.get(data.base, data.base)
    figures = markdown.read_published().filter(pl.col("data") == of)
    return tables.published(figures, data.base, data.base not in markdown.SAMPLES)


def reference(data: Data) -> pl.DataFrame:
    """Return the rows of the reference ledger on this data set."""
    return verdicts.ledger.read(REFERENCE).filter(pl.col("data") == data.base)

"""Tables, plots and galleries for people: HTML and pictures in a notebook, plain text in a terminal log."""

import base64
import io
from html import escape
from pathlib import Path

import polars as pl
from IPython.display import display
from matplotlib.figure import Figure

from core.errors import printable
from evaluation.show.text import as_cells, as_text


def show_table(frame: pl.DataFrame, caption: str) -> None:
    """Show a frame with figures rounded for reading: shares in percent, a dash for what is undefined."""
    display({"text/html": as_html(frame, caption), "text/plain": as_text(frame, caption)}, raw=True)


def as_html(frame: pl.DataFrame, caption: str) -> str:
    """Return the table as HTML."""
    return _html(*as_cells(frame), caption)


def show_plot(figure: Figure, path: Path, label: str) -> None:
    """Show a figure and save it as PNG at `path`; `label` (data, model, seed) is printed in its corner."""
    figure.text(0.995, 0.005, label, ha="right", va="bottom", fontsize=7, color="gray", parse_math=False)
    figure.set_layout_engine("constrained", rect=(0, 0.035, 1, 0.965))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    picture = base64.b64encode(buffer.getvalue()).decode()
    display({"image/png": picture, "text/plain": f"[figure] {path.as_posix()}"}, raw=True)


def show_html(html: str, text: str) -> None:
    """Show HTML in a notebook; `text` stands for it in a log."""
    display({"text/html": html, "text/plain": printable(text)}, raw=True)


def show_sentence(sentence: str) -> None:
    """Show a sentence as text that wraps between words."""
    show_html(f"<p>{escape(sentence)}</p>", sentence)


def _html(heads: list[str], cells: list[list[str]], right: list[bool], caption: str) -> str:
    sides = ["right" if is_right else "left" for is_right in right]

    def row(tag: str, values: list[str]) -> str:
        columns = zip(sides, values, strict=True)
        filled = (f'<{tag} style="text-align:{side}">{escape(value)}</{tag}>' for side, value in columns)
        return f"<tr>{''.join(filled)}</tr>"

    style = "caption-side:top;text-align:left;font-weight:bold;white-space:nowrap"
    title = f'<caption style="{style}">{escape(caption)}</caption>'
    body = "".join(row("td", values) for values in cells)
    return f"<table>{title}<thead>{row('th', heads)}</thead><tbody>{body}</tbody></table>"

"""Tables, plots and galleries for people: HTML and pictures in a notebook, plain text in a terminal log."""

import base64
import io
from html import escape
from pathlib import Path

import polars as pl
from IPython.display import display
from matplotlib.figure import Figure

from core.errors import printable
from evaluation.show.formats import head, readable


def show_table(frame: pl.DataFrame, caption: str) -> None:
    """Show a frame with figures rounded for reading: shares in percent, a dash for what is undefined."""
    display({"text/html": as_html(frame, caption), "text/plain": as_text(frame, caption)}, raw=True)


def as_html(frame: pl.DataFrame, caption: str) -> str:
    """Return the same table as HTML."""
    return _html(*_cells(frame), caption)


def as_text(frame: pl.DataFrame, caption: str) -> str:
    """Return the same table for a terminal."""
    heads, cells, right = _cells(frame)
    widths = [max(len(values[column]) for values in [heads, *cells]) for column in range(len(heads))]

    def row(values: list[str]) -> str:
        columns = zip(values, widths, right, strict=True)
        return "  " + "  ".join(
            text.rjust(width) if is_right else text.ljust(width) for text, width, is_right in columns
        )

    rule = "  " + "  ".join("-" * width for width in widths)
    return "\n".join(line.rstrip() for line in [printable(caption), row(heads), rule, *map(row, cells)])


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


def _cells(frame: pl.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return heads, cells as text, and which columns are figures; what a terminal would obey is written out."""
    heads = [printable(head(name)) for name in frame.columns]
    cells = [
        [printable(readable(name, value)) for name, value in zip(frame.columns, row, strict=True)]
        for row in frame.iter_rows()
    ]
    return heads, cells, [dtype.is_numeric() for dtype in frame.dtypes]


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

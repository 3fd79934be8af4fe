"""For logs too large for one machine: the same blocks, read and masked by Ray Data on a cluster, numbered here.

Optional: `pip install -r requirements/ray.txt`. Every worker runs `blocks.read_block` on a stretch of the file, which
all of them must see under the same path; blocks come back in order, so the data folder is the same byte for byte.
"""

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from core.cluster import joined
from core.errors import BadInput
from core.logs import BLOCK_BYTES, BYTE_ORDER_MARK, UTF16_MARKS, LogFile
from core.packed import is_plain
from parsing.datasets import Spec
from parsing.lines.blocks import Block, read_block
from parsing.lines.headers import compile_header


def read_with_ray(spec: Spec, source: LogFile) -> Iterator[Block]:
    """Yield the blocks of a plain log in order, each read by a worker of the cluster that Ray finds or starts here."""
    stretches = cut(source.path)
    rows = [{"path": str(source.path.resolve()), "start": start, "stop": stop} for start, stop in stretches]
    with joined():
        import ray.data  # not loaded by `ray` itself

        ray.data.DataContext.get_current().execution_options.preserve_order = True
        ray.data.DataContext.get_current().enable_progress_bars = False
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(lambda row: read_stretch(row, spec))
        for (_, stop), row in zip(stretches, dataset.iter_rows(), strict=True):
            source.done = stop / stretches[-1][1]
            yield unpack(row, source)


def cut(path: Path) -> list[tuple[int, int]]:
    """Return stretches of whole lines of about BLOCK_BYTES, as byte positions; raise BadInput if there can be none."""
    if not path.is_file():
        raise BadInput(f"{path} does not exist or is a folder; check the path with: ls {path.parent}")
    if not is_plain(path):
        raise BadInput(f"{path} is packed, so workers cannot begin inside it; unpack it, or leave out --engine.")
    edges, size = [0], path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) in UTF16_MARKS:
            raise BadInput(f"{path} is UTF-16, so workers cannot begin inside it; convert it, or leave out --engine.")
        while edges[-1] < size:
            file.seek(min(edges[-1] + BLOCK_BYTES, size))
            file.readline()
            edges.append(file.tell())
    if size == 0:
        raise BadInput(f"{path} is empty; give a log with at least one line.")
    return list(pairwise(edges))


def read_stretch(row: dict, spec: Spec) -> dict:
    """Return a stretch of the file as one row of bytes and counts, lines numbered from 1; `unpack` renumbers them."""
    with open(row["path"], "rb") as file:
        file.seek(row["start"])
        text = file.read(row["stop"] - row["start"])
    if row["start"] == 0:
        text = text.removeprefix(BYTE_ORDER_MARK)
    part = LogFile(Path(row["path"]))
    block = read_block(part.number_lines(text), spec, compile_header(spec.header))
    frames = {"events": block.events, "messages": block.messages.to_frame("message"), "refused": block.refused}
    return {name: _packed(frame) for name, frame in frames.items()} | {
        "places": block.places.astype(np.uint32).tobytes(),
        "lines": block.lines,
        "undecodable": part.undecodable,
        "first_undecodable": part.first_undecodable or 0,
    }


def unpack(row: dict, source: LogFile) -> Block:
    """Return the block of a row, lines numbered after the previous ones; `source` counts as if it had read them."""
    moved = pl.col("line") + source.lines
    if row["undecodable"] and source.first_undecodable is None:
        source.first_undecodable = source.lines + row["first_undecodable"]
    source.undecodable += row["undecodable"]
    source.lines += row["lines"]
    events, messages, refused = (pl.read_ipc(io.BytesIO(row[name])) for name in ("events", "messages", "refused"))
    places = np.frombuffer(row["places"], np.uint32)
    return Block(row["lines"], events.with_columns(moved), messages["message"], places, refused.with_columns(moved))


def _packed(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()

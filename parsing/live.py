"""A log that is still being written, read as a trained run read its own: blocks of lines to events with keys.

A line has the key that the batch would give it. A template that the run never saw gets a key of its own, which stays
the same; where the run was mined by Drain, which learns of the new messages, its name may still change, but not that
it is new.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from core.data import Data
from core.errors import printable
from core.events import Event
from core.logs import BLANK
from parsing.datasets import Spec
from parsing.judged import described, plan_of
from parsing.lines.blocks import Block, read_block
from parsing.lines.events import JOIN, Whole, find_start
from parsing.lines.headers import compile_header
from parsing.lines.sessions import Begun
from parsing.lines.times import names_year
from parsing.lines.years import Years
from parsing.sequences.cut import Pauses
from parsing.sequences.group import Grouping
from parsing.templates.messages import read_templates, template_key
from parsing.templates.miners import miner_of

MOST_NEW = 5_000  # new templates that are told apart
OTHERS = "one of more new templates than are told apart"
MOST_MESSAGES = 100_000  # distinct masked messages whose key is remembered; the table begins anew beyond them
STRETCH, FEWEST_UNREAD = 1_000, 20  # lines over which it is counted how many are not read
QUIET_SECONDS = 1.0  # a program that writes a trace writes all of it by then


class Unread:
    """Lines that were not read: said when most of a stretch are, and again after one of which most were read."""

    def __init__(self) -> None:
        self._lines, self._refused, self._was_said = 0, 0, False
        self._first: str | None = None

    def count(self, block: Block) -> None:
        """Count the lines of a block."""
        refused = block.refused.filter(pl.col("reason") != BLANK)
        if self._lines >= STRETCH:
            self._was_said = self._was_said and 2 * self._refused > self._lines
            self._lines, self._refused, self._first = 0, 0, None
        self._lines += block.lines
        self._refused += len(refused)
        if self._first is None and len(refused):
            self._first = refused["text"][0]

    def said(self, at_end: bool = False) -> list[dict]:
        """Return a sentence if most lines are not read; of few lines at the end alone."""
        if self._was_said or 2 * self._refused <= self._lines or not (at_end or self._lines >= FEWEST_UNREAD):
            return []
        self._was_said = True
        reason = (
            f"{self._refused:,} of {self._lines:,} lines were not read, such as {printable(self._first or '', 160)!r}: "
            "the log has another format than that of the run, or lines without a session id."
        )
        return [{"kind": "unread", "reason": reason}]


class LiveReader:
    """Blocks of lines to events, one block after the other; `templates` are the new ones by key."""

    def __init__(self, learned: Data, templates: Path | None = None) -> None:
        """`learned` is what a run carries of its data; raise BadInput if it does not say how the log was read.

        `templates` are those of an earlier judged log, the new ones among them, to which a person's answers belong.
        """
        self._spec = described(learned, "spec", Spec)
        plan = plan_of(learned)
        self.grouping: Grouping = plan.grouping
        self.pauses: Pauses | None = plan.pauses
        # How far behind others a line of training was: microseconds, as the clock.
        self.latest = learned.manifest["counts"].get("seconds_back_in_time", 0) * 1_000_000
        self.templates: dict[str, str] = {}
        self.has_times = self._spec.time is not None
        self._header = compile_header(self._spec.header)
        known = templates or learned.folder / "templates.csv"
        miner = miner_of(self._spec.miner, self._spec.drain)
        self._reader = None if plan.mine == "none" else miner.reader(read_templates(known))
        self._learned = learned.templates  # new ones are added, for whatever reads words
        self._years = Years() if self._spec.time and not names_year(self._spec.time) else None
        self._keys: dict[str, str] = {}
        joins = self._spec.continuation == JOIN
        self._whole = Whole(find_start(self._header, self._spec.time)) if joins else None
        self._grown = time.monotonic()
        self._begun = Begun()
        self.unread = Unread()

    def read(self, block: pl.DataFrame) -> Iterator[Event]:
        """Yield the events of a block of lines, a line of several sessions once for each of them.

        Where events have several lines the last one is held back until another begins, or nothing has come for
        `QUIET_SECONDS`: then its message is what the batch will read.
        """
        if self._whole is None:
            yield from self._events(block)
        elif len(block):
            self._grown = time.monotonic()
            yield from self._events(self._whole.add(block))
        elif time.monotonic() - self._grown >= QUIET_SECONDS:
            yield from self._events(self._whole.flush())

    def finish(self) -> Iterator[Event]:
        """Yield the event that was held back."""
        if self._whole is not None:
            yield from self._events(self._whole.finish())

    def _events(self, block: pl.DataFrame | None) -> Iterator[Event]:
        if block is None or block.is_empty():
            return
        found = read_block(block, self._spec, self._header)
        self.unread.count(found)
        numbered = self._begun.add(found.events)
        events = numbered.with_columns(clock=self._clock(found), key=self._keys_of(found))
        if "id" not in events.columns:
            events = events.with_columns(id=pl.lit(None, pl.String))
        events = events.join(block.rename({"text": "raw"}), on="line", how="left", maintain_order="left")
        yield from map(Event._make, events.select("line", "clock", "id", "key", "raw").iter_rows())

    def _clock(self, block: Block) -> pl.Series:
        """Return the time of each event, with the years that have passed where times name none; else its line."""
        if not self.has_times:
            return block.events["line"].alias("clock")
        times = block.events["time"]
        return (self._years.add(times) if self._years and len(times) else times).cast(pl.Int64).alias("clock")

    def _keys_of(self, block: Block) -> pl.Series:
        """Return the key of each event."""
        messages = block.messages.to_list()
        fresh = [message for message in messages if message not in self._keys]
        if len(self._keys) + len(fresh) > MOST_MESSAGES:
            self._keys.clear()
            fresh = messages
        for message in fresh:
            self._keys[message] = self._key_of(message)
        return pl.Series("key", [self._keys[message] for message in messages], pl.String).gather(block.places)

    def _key_of(self, message: str) -> str:
        """Return the key of a message: that of its template, or of the message where each is a key of its own."""
        template = self._reader.template(message) if self._reader else message
        key = template_key(template)
        if key not in self._learned and len(self.templates) >= MOST_NEW:
            key, template = template_key(OTHERS), OTHERS
        if key not in self._learned:
            self.templates[key] = self._learned[key] = template
        return key

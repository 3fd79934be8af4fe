"""A raw log, a block at a time: header -> masks -> Drain templates -> keys -> labeled sessions."""

import time
from pathlib import Path

import polars as pl

from errors import BadInput
from parsing.folder import Parsed
from parsing.group import by_session, label_sessions
from parsing.mine import MessageTable, masked
from parsing.read import LogFile, split_header
from parsing.specs import Spec


def parse_log(spec: Spec, log: Path, labels: Path) -> Parsed:
    """Sessions of `log`; each of its lines is an event of at least one of them, or rejected with the reason."""
    source, messages, events, rejected = LogFile(log), MessageTable(), [], []
    started = time.perf_counter()
    for block in source.blocks():
        matched, unmatched = split_header(block, spec.header, spec.time_format)
        found, without_session = find_sessions(matched, spec)
        events.append(found.with_columns(messages.number(found["message"])))
        rejected += [unmatched.with_columns(reason=pl.lit("header")), without_session]
        rate = source.lines / (time.perf_counter() - started)
        print(f"  {source.lines:>12,} lines read {rate:>12,.0f} lines/s", flush=True)
    refused = pl.concat(rejected).sort("line")
    refuse_wrong_format(spec, source, refused)
    note_undecodable(source)
    keyed = pl.concat(events).join(messages.keys(spec.drain), on="message", maintain_order="left")
    counts = {
        "lines": source.lines,
        "lines_in_sequences": len(keyed),
        "rejected": len(refused),
        "undecodable": source.undecodable,
    }
    sequences = label_sessions(by_session(keyed), labels)
    return Parsed(sequences, count_templates(keyed), refused, [log, labels], counts)


def find_sessions(matched: pl.DataFrame, spec: Spec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events `line, timestamp, message (masked text), sessions`, and the rejected lines that name no session."""
    content = pl.col("content")
    sessions = content.str.extract_all(spec.session).list.unique(maintain_order=True)
    found = matched.with_columns(message=masked(content, spec.masks), sessions=sessions)
    named = pl.col("sessions").list.len() > 0
    without = found.filter(~named).select("line", text="content", reason=pl.lit("no session id"))
    return found.filter(named).drop("content"), without


def count_templates(keyed: pl.DataFrame) -> pl.DataFrame:
    """`key, template, count (lines), first_line`, by first line."""
    grouped = keyed.group_by("key", "template")
    return grouped.agg(pl.len().alias("count"), pl.col("line").min().alias("first_line")).sort("first_line")


def refuse_wrong_format(spec: Spec, source: LogFile, rejected: pl.DataFrame) -> None:
    """Raises BadInput if most lines were rejected: then it is another log than `spec` describes."""
    if 2 * len(rejected) <= source.lines:
        return
    line, text, reason = rejected.row(0)
    raise BadInput(
        f"{source.path} line {line:,} does not match ({reason}), nor do {len(rejected) - 1:,} others of "
        f"{source.lines:,} lines: {text[:160]!r}; the {spec.name} pattern is {spec.header} with session ids "
        f"{spec.session}; see what the log looks like with: head {source.path}"
    )


def note_undecodable(source: LogFile) -> None:
    """One sentence where bytes had to be replaced; the lines stay in their sequences."""
    if source.undecodable:
        print(
            f"  {source.path} line {source.first_undecodable:,} is not UTF-8 ({source.undecodable:,} such lines): "
            f"their bad bytes were read as U+FFFD and the lines kept; to convert the log: iconv -t UTF-8"
        )

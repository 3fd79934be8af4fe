"""The named data sets beside hand-made templates: Loghub's 2,000 lines of HDFS, BGL, Thunderbird (Zhu et al. 2023).

    python -m benchmarks.data_set_templates --folder FOLDER [--json FILE]

FOLDER holds HDFS_2k.log.gz and HDFS_2k.log_structured.csv.gz, and so for BGL and Thunderbird.

`ours` is the parser of these data sets: header, masks and Drain settings of the set, Drain3 on distinct masked
messages. `drain3` is Drain3 fed the same contents line by line with the masks and settings of logparser's benchmark of
Drain (github.com/logpai/logparser, logparser/Drain/benchmark.py). `loghub` is the same on the contents that Loghub
cut out, which differ for Thunderbird alone: there Loghub's header ends after `component[pid]:`, ours before it.

Grouping accuracy (Zhu et al. 2019): the share of lines whose group holds the very lines of its true group.
Parsing accuracy (Dai et al. 2020): the share of lines whose template is the true one but for the width of blanks. Where
our content starts before Loghub's, as many leading words of the template are left out as are of the line. The truth
writes blk_<*> and <*>:<*> where masks blank whole words, so lenient parsing accuracy takes every word that contains
<*> for <*> on both sides.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from benchmarks.command import parser_of, run
from benchmarks.templates import grouped_alike, lenient_words
from core.logs import LogFile
from parsing.datasets import SPECS, Spec
from parsing.lines.blocks import read_block
from parsing.lines.headers import compile_header
from parsing.templates.drain import DrainSettings, mine, new_drain
from parsing.templates.masks import Mask, distinct_messages, masked

PUBLISHED = {  # logparser's benchmark; its depths are those of Drain3
    "hdfs": (r"blk_-?[0-9]+", r"([0-9]+\.){3}[0-9]+(:[0-9]+)?"),
    "bgl": (r"core\.[0-9]+",),
    "thunderbird": (r"([0-9]+\.){3}[0-9]+",),
}
PUBLISHED_DRAIN = DrainSettings(depth=4, similarity=0.5, max_children=100)
MEASURES = ("grouping_accuracy", "parsing_accuracy", "parsing_accuracy_lenient")
SHOWN = 10  # differing templates of a data set

Parser = Callable[[pl.DataFrame], list[str]]  # from `Content` to the template of each line


@dataclass(frozen=True)
class Truth:
    """`line, Content, EventId, EventTemplate` of every line, and `line, Content` as our header cuts it."""

    labeled: pl.DataFrame
    events: pl.DataFrame

    @classmethod
    def read(cls, folder: Path, spec: Spec) -> "Truth":
        """Read both files of a sample; a line that our header refuses has an empty content."""
        log = folder / f"{spec.title.split()[0]}_2k.log.gz"
        labeled = pl.read_csv(log.with_name(f"{log.stem}_structured.csv.gz"), infer_schema=False)
        labeled = labeled.select(pl.col("LineId").cast(pl.Int64).alias("line"), "Content", "EventId", "EventTemplate")
        blocks = (read_block(block, spec, compile_header(spec.header)).events for block in LogFile(log).blocks())
        read = pl.concat(blocks).select("line", "Content").unique("line", keep="first")
        events = labeled.select("line").join(read, on="line", how="left", maintain_order="left")
        return cls(labeled, events.with_columns(pl.col("Content").fill_null("")))

    def extra_words(self) -> list[int]:
        """Return how many words each of our contents has before Loghub's."""
        words = [contents["Content"].str.count_matches(r"\S+") for contents in (self.events, self.labeled)]
        return (words[0].cast(pl.Int64) - words[1].cast(pl.Int64)).to_list()


def ours(contents: pl.DataFrame, spec: Spec) -> list[str]:
    """Return the template of each line by the parser as it stands."""
    messages, places = distinct_messages(contents["Content"], spec.masks)
    templates = mine(messages.to_list(), spec.drain)
    return [templates[place] for place in places]


def line_by_line(contents: pl.DataFrame, patterns: tuple[str, ...], settings: DrainSettings) -> list[str]:
    """Return the final template of each line, Drain3 seeing every line with the patterns blanked."""
    drain = new_drain(settings)
    messages = contents.select(masked(pl.col("Content"), tuple(Mask("", pattern) for pattern in patterns)))
    clusters = [drain.add_log_message(message)[0] for message in messages["Content"]]
    return [cluster.get_template() for cluster in clusters]


def words_of(templates: list[str], leave_out: list[int], lenient: bool) -> list[list[str]]:
    """Return the words of each template without so many leading ones; lenient: a word that contains <*> is <*>."""
    both = zip(templates, leave_out, strict=True)
    return [(lenient_words(text) if lenient else text.split())[max(count, 0) :] for text, count in both]


def measure(truth: Truth, templates: list[str], leave_out: list[int]) -> dict[str, float]:
    """Return the three measures of the templates of the lines of a sample."""
    figures = {MEASURES[0]: grouped_alike(truth.labeled["EventId"], pl.Series(templates)).mean()}
    for name, lenient in zip(MEASURES[1:], (False, True), strict=True):
        true = words_of(truth.labeled["EventTemplate"].to_list(), [0] * len(templates), lenient)
        found = words_of(templates, leave_out, lenient)
        figures[name] = sum(a == b for a, b in zip(true, found, strict=True)) / len(true)
    return figures


def differences(truth: Truth, templates: list[str]) -> list[tuple[int, str, str, str]]:
    """Return `lines, true template, what became of it, our main template` of each true group that is none of ours.

    Most lines first.
    """
    frame = truth.labeled.with_columns(found=pl.Series(templates))
    frame = frame.filter(~grouped_alike(frame["EventId"], frame["found"]))
    rows = []
    for (event,), lines in frame.group_by("EventId", maintain_order=True):
        found = lines["found"].value_counts(sort=True)["found"]
        others = frame.filter(pl.col("found").is_in(found.implode()), pl.col("EventId") != event)["EventId"].unique()
        reasons = [f"split into {len(found)}"] * (len(found) > 1)
        reasons += [f"merged with {', '.join(sorted(others))}"] * (len(others) > 0)
        rows.append((len(lines), f"{event} {lines['EventTemplate'][0]}", "; ".join(reasons), found[0]))
    return sorted(rows, key=lambda row: -row[0])


def compare(truth: Truth, spec: Spec) -> tuple[dict[str, float], list[tuple[int, str, str, str]]]:
    """Return all figures of a data set and what our parser groups differently."""
    published: Parser = partial(line_by_line, patterns=PUBLISHED[spec.name], settings=PUBLISHED_DRAIN)
    extra, own = truth.extra_words(), ours(truth.events, spec)
    none = [0] * len(extra)
    found = {"": (own, extra), "_drain3": (published(truth.events), extra), "_loghub": (published(truth.labeled), none)}
    figures = {}
    for suffix, (templates, leave_out) in found.items():
        for name, value in measure(truth, templates, leave_out).items():
            figures[f"{spec.name}_{name}{suffix}"] = value
        figures[f"{spec.name}_templates{suffix}"] = len(set(templates))
    figures[f"{spec.name}_templates_true"] = truth.labeled["EventId"].n_unique()
    figures[f"{spec.name}_refused_lines"] = truth.events["Content"].eq("").sum()
    return figures, differences(truth, own)


def report(spec: Spec, figures: dict[str, float], rows: list[tuple[int, str, str, str]]) -> None:
    """Print the table of a data set and the true templates that our parser groups differently."""
    suffixes = {"ours": "", "drain3": "_drain3", "loghub": "_loghub"}
    print(f"\n{spec.title:<28}{''.join(f'{name:>10}' for name in suffixes)}")
    for name in MEASURES:
        values = (figures[f"{spec.name}_{name}{suffix}"] for suffix in suffixes.values())
        print(f"{name.replace('_', ' '):<28}{''.join(f'{value:>10.4f}' for value in values)}")
    counts = (figures[f"{spec.name}_templates{suffix}"] for suffix in suffixes.values())
    print(f"{'templates':<28}{''.join(f'{value:>10}' for value in counts)}")
    true, refused = (figures[f"{spec.name}_{name}"] for name in ("templates_true", "refused_lines"))
    print(f"{true} true templates, {len(rows)} grouped differently by ours; {refused} lines refused by our header")
    for lines, template, reason, found in rows[:SHOWN]:
        print(f"  {lines:>4} lines  {template[:60]:<60}  {reason[:40]:<40}  ours: {found[:60]}")


def measure_all(options: argparse.Namespace) -> dict:
    """Measure all three samples, print the tables and return the figures."""
    found = {}
    for spec in map(SPECS.get, PUBLISHED):
        figures, rows = compare(Truth.read(options.folder, spec), spec)
        report(spec, figures, rows)
        found |= figures
    return found


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the three samples of Loghub")
    run(parser.parse_args(), measure_all, table=False)

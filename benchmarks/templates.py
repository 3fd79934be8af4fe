"""Templates of logs that nothing is known about, beside hand-made ones: Loghub's samples of 2,000 lines.

    python -m benchmarks.templates --folder FOLDER [--json FILE]

Every NAME_2k.log.gz that lies in FOLDER beside its NAME_2k.log_structured*.csv.gz is a row (`_corrected` is preferred,
the truth of Khan et al. 2022). All sides parse the column Content, with nothing set for a system:

`ours` is the way of an own log (parsing/templates: own_masks, slots). `before` is that of versions up to 0.9: masks of
addresses and numbers, Drain3 on the distinct masked messages. `drain3` is Drain3 fed line by line with the masks and
settings of its documented example (github.com/logpai/Drain3, examples/drain3.ini), but for its extra delimiter `_`,
which splits words of the truth.

GA, grouping accuracy (Zhu et al. 2019): the share of lines whose group holds the very lines of its true group.
FGA, F1 of groups (Jiang et al. 2024): a found group is right if it holds the very lines of a true group.
Lenient PA: the share of lines with the words of the true template, where a word that contains <*> is <*>.
"""

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from drain3.masking import LogMasker, MaskingInstruction

from benchmarks.command import parser_of, run
from core.errors import BadInput
from parsing.templates.drain import DrainSettings, mine, new_drain
from parsing.templates.masks import PARAMETER, Mask, distinct_messages
from parsing.templates.own_masks import OWN_MASKS
from parsing.templates.slots import mine as mine_slots

_NUMBER = r"(^|[^A-Za-z0-9])[-+]?[0-9]+([^A-Za-z0-9]|$)"
BEFORE_MASKS = (
    Mask("address", r"/?[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(?::[0-9]+)?:?"),
    Mask("number", _NUMBER, "${1}<*>${2}"),
    Mask("number next to a number", _NUMBER, "${1}<*>${2}"),
)
_START, _END = r"((?<=[^A-Za-z0-9])|^)", r"((?=[^A-Za-z0-9])|$)"
EXAMPLE_MASKS = [
    MaskingInstruction(rf"{_START}(([0-9a-f]{{2,}}:){{3,}}([0-9a-f]{{2,}})){_END}", "ID"),
    MaskingInstruction(rf"{_START}(\d{{1,3}}\.\d{{1,3}}\.\d{{1,3}}\.\d{{1,3}}){_END}", "IP"),
    MaskingInstruction(rf"{_START}([0-9a-f]{{6,}} ?){{3,}}{_END}", "SEQ"),
    MaskingInstruction(rf"{_START}([0-9A-F]{{4}} ?){{4,}}{_END}", "SEQ"),
    MaskingInstruction(rf"{_START}(0x[a-f0-9A-F]+){_END}", "HEX"),
    MaskingInstruction(rf"{_START}([\-\+]?\d+){_END}", "NUM"),
    MaskingInstruction(r"(?<=executed cmd )(\".+?\")(?=[\s;\:\]\.\,])", "CMD"),
]
EXAMPLE_DRAIN = DrainSettings(depth=4, similarity=0.4, max_children=100)
COLUMNS = ("Content", "EventId", "EventTemplate")
MEASURES = ("ga", "fga", "lenient_pa")


def ours(contents: pl.Series) -> list[str]:
    """Return the template of each message as an own log gets it."""
    messages, places = distinct_messages(contents, OWN_MASKS)
    counts = pl.Series(places).value_counts().sort("")["count"].to_list()
    return pl.Series(mine_slots(messages.to_list(), counts), dtype=pl.String).gather(places).to_list()


def before(contents: pl.Series) -> list[str]:
    """Return the template of each message as an own log got it before."""
    messages, places = distinct_messages(contents, BEFORE_MASKS)
    return pl.Series(mine(messages.to_list(), DrainSettings()), dtype=pl.String).gather(places).to_list()


def drain3(contents: pl.Series) -> list[str]:
    """Return the final template of each message, Drain3 seeing every line with the masks of its example."""
    masker, drain = LogMasker(EXAMPLE_MASKS, "<:", ":>"), new_drain(EXAMPLE_DRAIN)
    clusters = [drain.add_log_message(masker.mask(content))[0] for content in contents]
    return [re.sub("<:[A-Z]+:>", PARAMETER, cluster.get_template()) for cluster in clusters]


SIDES: dict[str, Callable[[pl.Series], list[str]]] = {"ours": ours, "before": before, "drain3": drain3}


def samples(folder: Path) -> dict[str, pl.DataFrame]:
    """Return `Content, EventId, EventTemplate` of each sample in the folder, by its name; raise BadInput for none."""
    found = {}
    for log in sorted(folder.glob("*_2k.log.gz")):
        truths = sorted(folder.glob(f"{log.stem}_structured*.csv.gz"), key=lambda path: "_corrected" not in path.name)
        if truths:
            found[log.name.removesuffix("_2k.log.gz")] = read_truth(truths[0])
    if not found:
        raise BadInput(f"{folder} holds no NAME_2k.log.gz with its NAME_2k.log_structured.csv.gz; try: ls {folder}")
    return found


def read_truth(path: Path) -> pl.DataFrame:
    """Return the three columns of a structured file, empty texts for missing ones."""
    try:
        return pl.read_csv(path, columns=list(COLUMNS), infer_schema=False).with_columns(pl.col(COLUMNS).fill_null(""))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path} has no columns {', '.join(COLUMNS)}; look into it with: zcat {path} | head") from error


def grouped_alike(truth: pl.Series, found: pl.Series) -> pl.Series:
    """Return, for each line, whether its found group holds the very lines of its true group."""
    both = pl.DataFrame({"truth": truth, "found": found})
    shared, true, own = (pl.len().over(names) for names in (["truth", "found"], "truth", "found"))
    return both.select((shared == true) & (shared == own)).to_series()


def lenient_words(template: str) -> list[str]:
    """Return the words of a template; one that contains <*> is <*>."""
    return [PARAMETER if PARAMETER in word else word for word in template.split()]


def measure(truth: pl.DataFrame, templates: list[str]) -> dict[str, float]:
    """Return the three measures of the templates of the lines of a sample."""
    found = pl.Series(templates, dtype=pl.String)
    alike = grouped_alike(truth["EventId"], found)
    right = found.filter(alike).n_unique()
    same = (lenient_words(a) == lenient_words(b) for a, b in zip(truth["EventTemplate"], templates, strict=True))
    values = (alike.mean(), 2 * right / (found.n_unique() + truth["EventId"].n_unique()), sum(same) / len(templates))
    return dict(zip(MEASURES, map(float, values), strict=True))


def timed(side: Callable[[pl.Series], list[str]], contents: pl.Series) -> tuple[list[str], float]:
    """Return the templates, and messages a second in the faster of two runs: the first compiles the masks."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        templates = side(contents)
        seconds.append(time.perf_counter() - started)
    return templates, len(contents) / min(seconds)


def measure_all(options: argparse.Namespace) -> dict[str, float]:
    """Measure all samples of the folder, print a table and return the figures, the means as those of `mean`."""
    figures: dict[str, float] = {}
    names = (*MEASURES, "templates", "messages_per_second")
    print(f"{'GA, FGA, lenient PA, templates, messages/s':<44}{'true':>6}")
    for system, truth in samples(options.folder).items():
        figures[f"{system}_templates_true"] = truth["EventId"].n_unique()
        for name, side in SIDES.items():
            templates, speed = timed(side, truth["Content"])
            values = measure(truth, templates) | {"templates": len(set(templates)), names[-1]: round(speed)}
            figures |= {f"{system}_{name}_{measured}": values[measured] for measured in names}
        show(system, figures)
    systems = [name.removesuffix("_templates_true") for name in figures if name.endswith("_templates_true")]
    for name in SIDES:
        for measured in names:
            values_of = [figures[f"{system}_{name}_{measured}"] for system in systems]
            figures[f"mean_{name}_{measured}"] = sum(values_of) / len(values_of)
    show("mean", figures)
    return figures


def show(system: str, figures: dict[str, float]) -> None:
    """Print the lines of a system."""
    for name in SIDES:
        ga, fga, pa, templates, speed = (
            figures[f"{system}_{name}_{measured}"] for measured in (*MEASURES, "templates", "messages_per_second")
        )
        true = figures.get(f"{system}_templates_true", "") if name == "ours" else ""
        print(f"{system:<14}{name:<8}{ga:>7.3f}{fga:>7.3f}{pa:>7.3f}{templates:>7.0f}{speed:>9,.0f}{true:>6}")


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of samples of Loghub")
    run(parser.parse_args(), measure_all, table=False)

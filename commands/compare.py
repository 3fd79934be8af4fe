"""notebooks/compare.ipynb from the command line, and what it calls: every detector with every seed on one data set.

    python -m commands.compare                                      all methods on the simulated sample
    python -m commands.compare --data hdfs_keys --methods deeplog/lstm loganomaly/lstm --seeds 0 1 2 --prevalence 0.0293

`make compare DATA=... METHODS="..." SEEDS="..."` calls it. One seed sets both weights and split, as in sweep.py.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from commands.folders import parse, split_folder
from commands.notebooks import execute, prepare_environment
from commands.options import check, parser_of, said
from core.asked import check_alpha, check_prevalence, short_name
from core.cluster import LOCAL
from core.data import Data, open_data
from core.errors import BadInput
from core.files import read_parquet
from evaluation import compare, ledger
from evaluation.show import notebook, text
from runs.folder import LEDGER, RESULTS, run_folder
from runs.many import run_all
from runs.steps import Make
from runs.task import Wanted


def places(data: Data, seeds: list[int], splits: list[int] | None = None) -> list[compare.Place]:
    """Return the seeds of split and weights of every run: each seed on each split, or on the split of the same seed.

    Where there is one split alone it is that one.
    """
    if data.has_one_split:
        return [(data.manifest["split"]["seed"], seed) for seed in seeds]
    return [(split, seed) for split in splits for seed in seeds] if splits else [(seed, seed) for seed in seeds]


def run_missing(
    detectors: Mapping[str, Make],
    data: str | list[str],
    seeds: list[int],
    alpha: float,
    prevalence: float | None,
    splits: list[int] | None = None,
    engine: str = LOCAL,
) -> pl.DataFrame:
    """Do what the ledger lacks, on the splits of `places`; return one row a run, see `many.run_all`.

    Of several data folders the runs of one detector come one after the other, so that a slow one is soon begun on all.
    Raise BadInput if the data folder of a seed cannot be made, if there are no labels to compare by, if a detector is
    not what its name in `detectors` says, and if none is done with all seeds: there is nothing to compare then.
    """
    check_alpha(alpha)
    check_prevalence(prevalence)
    names = [data] if isinstance(data, str) else data
    of_each = []
    for opened in map(open_data, names):
        if not (opened.split("test")["label"] == 1).any():
            raise BadInput(
                f"The test of data/{opened.name} has no labeled anomaly to compare by; make run DATA={opened.name} "
                "needs none."
            )
        of_each.append(list(_wanted(detectors, opened.name, places(opened, seeds, splits), alpha, prevalence)))
    wanted = [run for runs in zip_longest(*of_each) for run in runs if run]
    found = run_all(wanted, engine)
    done = found.group_by("method").agg(pl.col("status").str.starts_with("done").all())
    if not done["status"].any():
        failed = next(run for run, status in zip(wanted, found["status"], strict=True) if status.startswith("failed"))
        shown = ", ".join(f"data/{name}" for name in names)
        raise BadInput(f"No run on {shown} came to its end with every seed; {failed.log.as_posix()} says why.")
    return found.drop("data") if isinstance(data, str) else found


def _wanted(
    detectors: Mapping[str, Make], data: str, wanted: list[compare.Place], alpha: float, prevalence: float | None
) -> Iterator[Wanted]:
    for split, seed in wanted:
        folder = split_folder(data, split)
        templates = open_data(folder).templates
        for name, make in detectors.items():
            detector = make(seed=seed, templates=templates)
            model = short_name(detector.name)  # of a local checkpoint its folder alone, as in the ledger
            if name != f"{detector.method}/{model}":
                raise BadInput(f"The detector called {name!r} is {detector.method}/{model}; name it so.")
            yield Wanted(make, detector.method, model, folder, seed, detector.describe(), alpha, prevalence)


# --------------------------------------------------------------------------------------- what the notebook shows


def choose(detectors: Mapping[str, Make], names: list[str] | None) -> dict[str, Make]:
    """Return the detectors of these names, all without names; raise BadInput for a name that is not there."""
    unknown = [name for name in names or () if name not in detectors]
    if unknown:
        raise BadInput(f"There is no method {unknown[0]!r}; choose among {', '.join(detectors)}.")
    return {name: detectors[name] for name in names or detectors}


def ledger_rows(data: Data, seeds: list[int], names: Iterable[str], splits: list[int] | None = None) -> pl.DataFrame:
    """Return your ledger's rows of these detectors and seeds, and the trivial ones; columns as in `compare.select`."""
    return compare.select(ledger.read(LEDGER), data.base, places(data, seeds, splits), list(names))


def judged(names: Iterable[str], data: str, seed: int) -> dict[str, pl.DataFrame]:
    """Return test_scores.parquet of the finished runs with this seed, by the name of the detector."""
    folder, found = split_folder(data, seed), {}
    for name in names:
        method, _, model = name.partition("/")
        path = run_folder(folder, model, seed, method) / "test_scores.parquet"
        if path.is_file():
            found[name] = read_parquet(path, {"label": pl.Int8}, "remove it and make compare does it again.")
    return found


def test_sequences(data: str, seed: int) -> pl.DataFrame:
    """Return the test split of a seed."""
    return open_data(split_folder(data, seed)).split("test")


def plot(figure: Figure, name: str, data: Data, folder: str = "compare") -> None:
    """Show a figure and keep it as results/<data>/<folder>/<name>.png."""
    notebook.show_plot(figure, RESULTS / data.name / folder / f"{name}.png", data.label)


# ------------------------------------------------------------------------------------------------------ command line


def main(arguments: list[str] | None = None) -> int:
    """Execute compare.ipynb with these parameters; return the exit code."""
    options = read_options(arguments)
    return said(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Make the sample if it is wanted and missing, and execute the notebook."""
    check(options)
    if options.data == "sample" and not Path("data/sample/manifest.json").is_file():
        parse(["sample"], Path("data/sample"))
    open_data(options.data)  # a missing folder is said at once, not by a kernel that had to start first
    parameters = {"DATA": options.data, "METHODS": options.methods, "SEEDS": options.seeds}
    parameters |= {"PREVALENCE": options.prevalence, "ENGINE": options.engine}
    output = RESULTS / options.data / "compare" / "compare.ipynb"
    execute("notebooks/compare", output, parameters)
    print_standing(open_data(options.data), options.seeds, options.prevalence)
    print(f"\nOpen {output.as_posix()}; `make table PROMOTE={options.data}` takes the rows into the tables")
    return 0


def print_standing(data: Data, seeds: list[int], prevalence: float | None) -> None:
    """Print the default verdict of every method that ran on these seeds, and who is above what learns nothing."""
    runs = ledger.read(LEDGER)
    names = runs.select(pl.format("{}/{}", "method", "model")).to_series().drop_nulls().unique()
    selected = compare.select(runs, data.base, places(data, seeds), names.to_list())
    table = compare.table(selected, prevalence, pl.DataFrame())
    shown = table.filter(pl.col("rule").str.ends_with(compare.DEFAULT))
    columns = (
        "method",
        "learned_from",
        "rule",
        "seeds",
        "f1",
        "f1_from",
        "f1_to",
        "average_precision",
        "false_alarm_rate",
    )
    print(f"\n{text.as_text(shown.select(columns), f'Default verdicts on {data.label}')}")
    print(f"\n{compare.standing(table)}")


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "--data", "--seeds", "--prevalence", "--engine")
    parser.add_argument("--methods", nargs="+", help="METHODS of the notebook (default: all)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())

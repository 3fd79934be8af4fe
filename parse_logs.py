"""Raw logs to sequences of log keys: header -> masks -> Drain templates -> sessions -> split -> data/<name>/.

    python parse_logs.py sample                                         a simulated log, made here
    python parse_logs.py hdfs --log HDFS.log.gz --labels labels.csv     a real one
    python parse_logs.py mine --keys normal.txt.gz abnormal.txt.gz      key sequences that somebody else made

The steps are the modules of parsing/; what the folder holds is described in data/README.md.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

from errors import EXIT_CODE, BadInput
from parsing.folder import replaced_folder, write_contents
from parsing.raw import parse_log
from parsing.ready import parse_keys
from parsing.simulate import simulate
from parsing.specs import SPECS, SplitSettings
from parsing.split import split_normals


def main(arguments: list[str] | None = None) -> int:
    """Write the data folder that the command line asks for; returns the exit code."""
    started = time.perf_counter()
    try:
        options = read_options(arguments)
        manifest = make_folder(options)
    except BadInput as error:
        print(f"parse_logs.py: {error}", file=sys.stderr)
        return EXIT_CODE
    print_summary(manifest, options.out, time.perf_counter() - started)
    return 0


def make_folder(options: argparse.Namespace) -> dict:
    """Parse, split and write the data folder; returns its manifest."""
    spec = None if options.keys else SPECS[options.name]
    with replaced_folder(options.out) as folder:
        if spec is None:
            parsed = parse_keys(options.keys)
            about = {"title": f"key sequences {options.out.name}", "simulated": False, "spec": None}
        else:
            log, labels = write_sample_log(folder, options.seed) if spec.simulated else (options.log, options.labels)
            parsed = parse_log(spec, log, labels)
            about = {"title": spec.title, "simulated": spec.simulated, "spec": asdict(spec)}
        settings = split_settings(options, spec.split if spec else SplitSettings())
        split = split_normals(parsed.sequences["label"], settings, options.seed)
        about["split"] = split.protocol | {"seed": options.seed}
        return write_contents(folder, options.out.name, parsed, split.names, about)


def write_sample_log(folder: Path, seed: int) -> tuple[Path, Path]:
    """The simulated log and its label file, kept in the data folder so that an alarm can show its raw line."""
    simulated = simulate(seed)
    log, labels = folder / "simulated.log", folder / "simulated_labels.csv"
    log.write_text("\n".join(simulated.lines) + "\n", encoding="utf-8", newline="")
    rows = [f"{block},{label},{simulated.kinds.get(block, '')}" for block, label in simulated.labels.items()]
    labels.write_text("\n".join(["BlockId,Label,Kind", *rows]) + "\n", encoding="utf-8", newline="")
    return log, labels


def split_settings(options: argparse.Namespace, default: SplitSettings) -> SplitSettings:
    """The data set's own split, with what the command line changes."""
    settings = SplitSettings(
        default.train_normals if options.train_normals is None else options.train_normals,
        default.validation_share if options.validation_share is None else options.validation_share,
    )
    if settings.train_normals < 2 or not 0 < settings.validation_share < 1:
        raise BadInput("The split needs --train-normals of at least 2 and a --validation-share between 0 and 1.")
    return settings


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; raises BadInput where options do not go together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("name", help=f"{', '.join(SPECS)}, or a name of your own together with --keys")
    add("--log", type=Path, help="raw log, plain or .gz")
    add("--labels", type=Path, help="CSV with BlockId,Label")
    add("--keys", type=Path, nargs="+", metavar="FILE", help="NORMAL [ABNORMAL] key sequences, plain or .gz")
    add("--out", type=Path, help="data folder to write (default: data/<name>)")
    add("--seed", type=int, default=0, help="of the split, and of the simulated log (default: 0)")
    add("--train-normals", type=int, help="normal sequences to train and validate on")
    add("--validation-share", type=float, help="share of those to validate on")
    options = parser.parse_args(arguments)
    options.out = options.out or Path("data") / options.name
    if options.keys:
        if len(options.keys) > 2:
            raise BadInput("--keys takes one or two files: normal sequences, then abnormal ones.")
    elif options.name not in SPECS:
        raise BadInput(
            f"There is no data set {options.name!r}; choose {' or '.join(SPECS)}, or give --keys NORMAL [ABNORMAL]."
        )
    elif not SPECS[options.name].simulated and not (options.log and options.labels):
        raise BadInput(
            f"{options.name} needs its log and its labels: python parse_logs.py {options.name} --log FILE --labels FILE"
        )
    return options


def print_summary(manifest: dict, out: Path, seconds: float) -> None:
    """Where every line went and what the split is, for the person at the terminal."""
    counts, expected = manifest["counts"], (manifest["spec"] or {}).get("expected", {})
    print(f"{manifest['title']} -> {out}/  in {seconds:.1f} s, data hash {manifest['data_hash']}")
    for name, count in counts.items():
        published = f"   published for the whole log: {expected[name]:,}" if name in expected else ""
        print(f"  {name.replace('_', ' '):<20}{count:>12,}{published}")
    for note in manifest["split"]["notes"]:
        print(f"  note: {note}")


if __name__ == "__main__":
    sys.exit(main())

"""notebooks/workflows.ipynb from the command line: jobs of scientific workflows, their workers, and what text adds.

    python -m commands.workflows                                                    two simulated workflows
    python -m commands.workflows --data 1000genome montage --log FOLDER             job tables of FlowBench

`make workflows DATA="..." LOG=FOLDER SPLITS="..." MODEL=...` calls it.
"""

import argparse
import sys
from pathlib import Path

from commands.folders import parse
from commands.notebooks import execute, prepare_environment
from commands.options import check, parser_of, said
from core.data import open_data
from core.errors import BadInput
from parse_logs import ALL, SIMULATED
from runs.folder import RESULTS

PUBLISHED = "_published"  # what the folder with the published split is called after


def main(arguments: list[str] | None = None) -> int:
    """Execute workflows.ipynb with these parameters; return the exit code."""
    options = read_options(arguments)
    return said(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Make the data folders that are missing, and execute the notebook."""
    check(options)
    for name in options.data:
        if name not in ALL:
            raise BadInput(f"There is no workflow {name!r}; choose among {', '.join(ALL)}.")
    for name in options.data:
        make_folders(name, options.log)
    wanted = ("data", "splits", "model", "asked")
    parameters = {name.upper(): getattr(options, name) for name in wanted}
    output = RESULTS / options.data[0] / "workflows" / "workflows.ipynb"
    execute("notebooks/workflows", output, parameters)
    print(f"\nOpen {output.as_posix()}; `make table PROMOTE={options.data[0]}` takes the rows into the tables")
    return 0


def make_folders(name: str, log: Path | None) -> None:
    """Make the data folders of a workflow, whole runs held out and as published, unless they are there."""
    source = ["--log", str(log)] if log else []
    for folder, protocol in ((name, "runs"), (f"{name}{PUBLISHED}", "published")):
        place = Path("data") / folder
        if not (place / "manifest.json").is_file():
            parse([name, *source, "--protocol", protocol, "--out", str(place)], place)
        if not open_data(folder).has_jobs:
            raise BadInput(f"{place.as_posix()} holds no jobs; remove it, and the same command makes it again.")


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("--data", nargs="+", default=[*SIMULATED], help=f"among {', '.join(ALL)} (default: simulated)")
    parser.add_argument("--log", type=Path, help="the folder of FlowBench with their runs (default: downloaded)")
    parser.add_argument("--splits", nargs="+", type=int, default=[0], help="seeds of the split of runs (default: 0)")
    parser.add_argument("--model", help="MODEL of the notebook: a pretrained model to fine-tune, by name or folder")
    parser.add_argument("--asked", help="ASKED of the notebook: a causal model to ask with examples in its prompt")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())

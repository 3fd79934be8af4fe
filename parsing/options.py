"""The command line of parse_logs.py, read and checked: which data set, which files, which grouping and split."""

import argparse
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.log_files import find_files
from parsing.datasets import PROTOCOLS, SPECS, Spec, grouping_of
from parsing.first_look import find_sessions, first_look, in_order_of_time
from parsing.lines.events import JOIN, REJECT
from parsing.lines.sessions import LINE, MESSAGE
from parsing.option_table import OPTIONS
from parsing.own_spec import load_own_spec
from parsing.sequences.assemble import Plan
from parsing.sequences.group import Grouping
from parsing.sequences.split import SplitSettings
from parsing.templates.drain import DrainSettings
from parsing.templates.masks import MESSAGE_MASKS, Mask
from parsing.templates.own_masks import OWN_MASKS, own_masks
from parsing.workflows import specs as workflows

MOST_SECONDS = 100 * 366 * 86_400
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
ENDINGS = (
    "", "log", "txt", "csv", "json", "jsonl", "parquet", "yaml", "yml", "gz", "tgz", "tar", "bz2", "xz", "zst", "zip"
)  # fmt: skip
MOST_SEED = 2**32 - 1  # what every library that draws takes
WINDOWS = ("window", "step", "window_lines", "step_lines")


@dataclass(frozen=True)
class Job:
    """What the command line asks for; `options` are complete. `spec` is None for keys made elsewhere."""

    spec: Spec | None
    plan: Plan
    protocol: str
    lines: tuple[int, int | None]
    options: argparse.Namespace


def read_options(description: str, arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line; --help lists them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    data_sets = ", ".join([*SPECS, *workflows.ALL])
    add("name", help=f"{data_sets}; a log of your own; a YAML spec; or, with keys, a name")
    for group, rows in OPTIONS.items():
        section = parser.add_argument_group(group)
        for name, settings in rows.items():
            section.add_argument(name, **settings)
    options = parser.parse_args(arguments)
    options.logs = options.log or []
    options.log = options.logs[0] if options.logs else None
    return options


def job_of(options: argparse.Namespace) -> Job:
    """Return the checked job; raise BadInput for options that do not go together."""
    spec = None
    if not (options.keys or options.key_stream or options.resplit):
        spec, options = find_spec(options)
    if options.keys and len(options.keys) > 2:
        raise BadInput("--keys takes one or two files: normal sequences, then abnormal ones.")
    if options.engine == "ray" and options.lines:
        raise BadInput("--engine ray reads a whole log; cut the lines out of it first, or leave out --engine.")
    name = options.protocol or (spec.protocol if spec else "complete")
    if name not in PROTOCOLS:
        raise BadInput(
            f"--protocol {name} is for the jobs of {', '.join(workflows.ALL)}; choose {', '.join(PROTOCOLS)}."
        )
    if options.evolve and not (spec and options.templates):
        raise BadInput("--evolve compares a raw log with known templates; add --log and --templates, or leave it out.")
    protocol = PROTOCOLS[name]
    if name == "loggpt" and spec and spec.loggpt:
        spec = replace(spec, masks=spec.loggpt[0], drain=spec.loggpt[1])
    faults = (protocol.shortest, protocol.longest) if options.paper_faults else (1, None)
    grouping = find_grouping(options, spec, name)
    has_sessions = bool(options.keys or (spec and spec.session))
    split = find_split(options, spec, (has_sessions and protocol.of_sessions) or protocol.split)
    if options.mine == "none":
        spec = without_parser(options, spec)
    plan = Plan(grouping, split, options.seed, options.mine, options.templates, *faults, evolve=options.evolve)
    out = options.out or Path("data") / folder_name(options.name)
    return Job(spec, plan, name, find_lines(options, spec, name), _changed(options, out=out))


def workflow_options(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options of a workflow, complete; raise BadInput for one that means nothing to jobs."""
    means_something = {"name", "log", "logs", "protocol", "seed", "out", "replace"}
    parsed_nothing = vars(read_options("", [options.name]))
    for name, value in vars(options).items():
        if name not in means_something and value != parsed_nothing[name]:
            raise BadInput(
                f"--{name.replace('_', '-')} is for logs, and {options.name} is a table of jobs; leave it out."
            )
    if len(options.logs) > 1:
        raise BadInput(f"--log takes one folder for {options.name}, that of its runs; leave out the others.")
    _check_seed(options)
    protocol = options.protocol or "runs"
    if protocol not in workflows.PROTOCOLS:
        raise BadInput(f"--protocol {protocol} is for logs; of jobs choose {', '.join(workflows.PROTOCOLS)}.")
    return _changed(options, protocol=protocol, out=options.out or Path("data") / options.name)


def folder_name(name: str) -> str:
    """Return the data folder of a log: its name without endings, so that app.log.2026-01 and app.log.2026-02 differ."""
    parts = [part for part in Path(name).name.split(".") if part.lower() not in ENDINGS]
    found = re.sub(r"[^\w-]+", "-", "-".join(parts)).strip("-")
    if not found:
        raise BadInput(f"{name!r} gives the data folder no name; choose one, such as --out data/mine.")
    return found


def _changed(options: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **changes})


def find_spec(options: argparse.Namespace) -> tuple[Spec, argparse.Namespace]:
    """Return the data set by its name, or your own log by --format or a YAML file, and the options with its log.

    Windows that a YAML file asks for are added to the options.
    """
    if options.name in SPECS:
        return SPECS[options.name], with_files(options)
    if options.name.endswith((".yaml", ".yml")):
        return _from_yaml(options)
    if options.format:
        options = with_files(_changed(options, logs=options.logs or [Path(options.name)]))
        spec = _own(options, {})
        return spec, _changed(options, logs=in_order_of_time(options.logs, spec))
    if Path(options.name).is_file():
        raise BadInput(
            f"{options.name} is a file: say how its lines begin, or let it be guessed with: "
            f"python parse_logs.py check {options.name} --format auto"
        )
    raise BadInput(
        f"There is no data set {options.name!r}; choose {', '.join(SPECS)}, give a log with --format, "
        "or --keys NORMAL [ABNORMAL]."
    )


def _from_yaml(options: argparse.Namespace) -> tuple[Spec, argparse.Namespace]:
    given = load_own_spec(Path(options.name))
    if not options.log:
        raise BadInput(f"{options.name} says how a log is read, not where it is; add --log FILE.")
    if not any(getattr(options, name) for name in WINDOWS):  # the command line wins as a whole
        options = _changed(options, **{name: given.get(name) for name in WINDOWS})
    spec = _own(options := with_files(options), given)
    return spec, _changed(options, logs=in_order_of_time(options.logs, spec))


def with_files(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options with every file of the log, those of its folders, too."""
    logs = [path for path in find_files(options.logs) if path != options.labels] if options.logs else []
    return _changed(options, logs=logs, log=logs[0] if logs else None)


def _own(options: argparse.Namespace, given: dict) -> Spec:
    """Return a spec from options and the keys of a YAML file; options win."""
    look = first_look(options.log, options.format or given["format"], options.time or given.get("time"))
    continuation = options.continuation or given.get("continuation")
    if options.engine == "ray":  # its workers begin anywhere
        if continuation == JOIN:
            raise BadInput("--engine ray reads a line as an event; give --continuation reject, or leave out --engine.")
        if len(options.logs) > 1:
            raise BadInput("--engine ray reads one file; leave out the others, or --engine.")
        continuation = REJECT
    look, session, session_by = find_sessions(options, given, look)
    label = options.label_field or (given.get("label") or "").removesuffix(" != -") or None
    masked_ids = session if session_by in (MESSAGE, LINE) else None  # each session has its own: none says what happens
    masks = own_masks(masked_ids, tuple(Mask(**mask) for mask in given["masks"]) if "masks" in given else OWN_MASKS)
    return Spec(
        name=Path(options.name).name.split(".")[0],
        title=f"own log {Path(options.name).name}",
        origin=str(options.log.name),
        license="its owner's",
        header=look.header,
        time=look.time,
        session=session,
        session_by=session_by,
        label_field=label,
        continuation=continuation or look.continuation,
        masks=masks,
        miner="drain" if "drain" in given else "slots",
        drain=DrainSettings(**given.get("drain", {})),
    )


def find_grouping(options: argparse.Namespace, spec: Spec | None, protocol: str) -> Grouping:
    """Return what the command line asks for, otherwise the data set's sessions, otherwise the protocol's windows."""
    by_time, by_lines = options.window is not None, options.window_lines is not None
    if by_time and by_lines:
        raise BadInput("--window and --window-lines are two ways to cut a log; give one of them.")
    if (options.step is not None and not by_time) or (options.step_lines is not None and not by_lines):
        raise BadInput("--step needs --window, and --step-lines needs --window-lines; give both, or neither.")
    if spec and spec.session and (by_time or by_lines):
        raise BadInput(f"{spec.name} is grouped by its sessions; leave out --window and --window-lines, or --session.")
    if by_lines:
        step = options.window_lines if options.step_lines is None else options.step_lines
        return Grouping("lines", options.window_lines, step)
    if by_time and not spec:
        raise BadInput("Ready-made keys have no times; group them with --window-lines.")
    if by_time:
        window = seconds(options.window)
        return Grouping("seconds", window, window if options.step is None else seconds(options.step))
    if spec:
        return grouping_of(spec, PROTOCOLS[protocol])
    windows = PROTOCOLS[protocol].windows
    return windows if windows.kind == "lines" else Grouping("lines", 100, 100)  # a key stream has no times


def seconds(text: str) -> float:
    """Return '60s', '5m', '1h' or '2d' in seconds."""
    found = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)([smhd]?)", str(text))
    length = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if not 1e-3 <= length <= MOST_SECONDS:
        raise BadInput(f"{text!r} is no length of time from a millisecond to a century; write it like 60s, 5m or 1h.")
    return length


def find_split(options: argparse.Namespace, spec: Spec | None, default: SplitSettings) -> SplitSettings:
    """Return the protocol's split, with what the command line or the data set changes."""
    settings = default
    if spec and settings.kind == "random":
        settings = replace(settings, train_normals=spec.train_normals)
    if options.train_normals is not None:
        settings = replace(settings, train_normals=options.train_normals)
    if options.validation_share is not None:
        settings = replace(settings, validation_share=options.validation_share)
    if options.anomalies is not None or options.labels_share is not None:
        settings = _with_labels(options, settings)
    _check_seed(options)
    if (settings.train_normals or 2) < 2 or not 0 < settings.validation_share < 1:
        raise BadInput("The split needs --train-normals of at least 2 and a --validation-share between 0 and 1.")
    return settings


def _check_seed(options: argparse.Namespace) -> None:
    if not 0 <= options.seed <= MOST_SEED:
        raise BadInput(f"--seed {options.seed} cannot be used; give one from 0 to {MOST_SEED:,}.")


def _with_labels(options: argparse.Namespace, settings: SplitSettings) -> SplitSettings:
    """Return the split with as many labeled anomalies as the command line asks for; raise BadInput."""
    if not settings.keeps_anomalies:
        raise BadInput(
            "--anomalies and --labels-share are for a split that learns from labels; add --protocol supervised."
        )
    if options.anomalies is not None and options.labels_share is not None:
        raise BadInput("--anomalies and --labels-share say the same in two ways; give one of them.")
    if options.anomalies is not None and options.anomalies < 1:
        raise BadInput(f"--anomalies {options.anomalies} leaves nothing to learn from; give 1 or more.")
    if options.labels_share is not None and not 0 < options.labels_share <= 1:
        raise BadInput(f"--labels-share {options.labels_share} is no share; give more than 0 and at most 1.")
    return replace(settings, anomalies=options.anomalies, labels_share=options.labels_share)


def without_parser(options: argparse.Namespace, spec: Spec | None) -> Spec:
    """Return the spec with the masks that stand in for a parser, after a person's own; raise BadInput without a log."""
    if spec is None:
        raise BadInput("--mine none is for raw logs; ready-made keys are not mined anyway, so leave it out.")
    if options.templates:
        raise BadInput("--mine none makes every message a key of its own; leave out --templates, or --mine none.")
    own = () if spec.name in SPECS else tuple(mask for mask in spec.masks if mask not in OWN_MASKS)
    return replace(spec, masks=(*own, *MESSAGE_MASKS))


def find_lines(options: argparse.Namespace, spec: Spec | None, protocol: str) -> tuple[int, int | None]:
    """Return first and last line to read: --lines, otherwise the slice that the protocol's paper uses, or all."""
    if not options.lines:
        return (spec.slices if spec else {}).get(protocol, (1, None))
    found = re.fullmatch(r"([0-9]+)-([0-9]*)", options.lines)
    if not found or int(found[1]) < 1 or (found[2] and int(found[2]) < int(found[1])):
        raise BadInput(f"--lines {options.lines!r} is no range of lines; write it like 1-20000000.")
    return int(found[1]), int(found[2]) if found[2] else None

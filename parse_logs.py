"""Raw logs to sequences of log keys: header -> masks -> Drain templates -> sequences -> split -> data/<name>/.

    python parse_logs.py sample                                         a simulated log, made here
    python parse_logs.py bgl [--protocol loggpt]                        downloaded, or --log FILE
    python parse_logs.py hdfs --log HDFS.log.gz --labels labels.csv
    python parse_logs.py my.log --format '<Date> <Time> <Level> <Component>: <Content>' --session 'req-[0-9a-f]+'
    python parse_logs.py check my.log --format auto                     the first lines, what fails and why
    python parse_logs.py mine --keys normal.txt.gz abnormal.txt.gz      key sequences made elsewhere
    python parse_logs.py mine-split1 --resplit data/mine --seed 1       the same sequences, split again
    python parse_logs.py montage --log FOLDER [--protocol published]    jobs of a workflow: a table, and each worker's

The steps are the modules of parsing/; what the folder holds is described in data/README.md.
"""

import shutil
import sys
import time
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from core.data import Data, open_folder
from core.ending import said_in_a_sentence
from core.errors import BadInput, printable
from core.evolution import EVOLUTION, EVOLUTION_SCHEMA, keep_answers, read_evolution, write_evolution
from core.log_files import KEPT, kept_input, open_log
from core.logs import LogFile
from core.raw_lines import keep_place
from parsing.datasets import PROTOCOLS, UPDATED_SAMPLE, Spec
from parsing.lines.blocks import read_here, read_log
from parsing.lines.download import fetch
from parsing.lines.on_ray import read_with_ray
from parsing.options import Job, job_of, read_options, workflow_options
from parsing.own_log import check
from parsing.sequences.assemble import assemble
from parsing.sequences.folder import CsvFile, describe_sources, sizes, write_manifest
from parsing.sequences.labels import read_labels
from parsing.sequences.place import refuse_lost_answers, refuse_other_sources, refuse_overlap, replaced_folder
from parsing.sequences.ready import write_key_files, write_key_stream
from parsing.sequences.resplit import resplit
from parsing.simulate import LABELED_SESSIONS, SESSIONS, SimulatedLog, simulate
from parsing.templates.own_masks import own_masks
from parsing.update import updated
from parsing.workflows.fetching import fetch_workflow
from parsing.workflows.folder import Made, write_workflow
from parsing.workflows.simulate import SAMPLE_EFFECT, SAMPLE_RUNS, write_runs
from parsing.workflows.specs import ALL, SIMULATED, Workflow

SHOWN = 10  # new templates that are printed


def main(arguments: list[str] | None = None) -> int:
    """Write the data folder that the command line asks for; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    work = check_log if arguments[:1] == ["check"] else parse_log
    stopped = "nothing was changed, the same command does it all"
    return said_in_a_sentence(lambda: work(arguments), "parse_logs.py", stopped)


def check_log(arguments: list[str]) -> int:
    """Print what the first lines of a log look like, what fails and why; return the exit code."""
    options = read_options(__doc__, arguments[1:])
    with kept_input([Path(options.name)]) as (log,):
        return check(log, options.format or "auto", options.session, own_masks(options.session))


def parse_log(arguments: list[str]) -> int:
    """Parse; return the exit code."""
    options = read_options(__doc__, arguments)
    with kept_input(options.logs) as logs:
        return parse_options(Namespace(**vars(options) | {"logs": logs, "log": logs[0] if logs else None}))


def parse_options(options: Namespace) -> int:
    """Parse what the options say; return the exit code."""
    if options.name in ALL and not options.resplit:
        parse_workflow(workflow_options(options))
    else:
        parse(job_of(options))
    return 0


def parse_workflow(options: Namespace) -> None:
    """Write the data folder of a workflow's jobs in place of what was made of the same runs; print what is in it."""
    started, workflow = time.perf_counter(), ALL[options.name]
    if options.log:
        refuse_overlap(options.out, [options.log])
    with replaced_folder(options.out) as folder:
        if workflow.imitates:
            made = make_sample_jobs(folder, workflow, options)
        else:
            log = options.log or fetch_workflow(workflow, options.protocol, Path("data") / "raw" / "flowbench")
            made = write_workflow(folder, workflow, log, options.protocol, options.seed)
        manifest = write_manifest(folder, options.out.name, made.about, made.sources, made.counts)
        if not options.replace:
            refuse_other_sources(options.out, manifest)
    print_summary(manifest, options.out, time.perf_counter() - started)


def parse(job: Job) -> None:
    """Write the data folder of a job in place of what was made of the same sources, and print where every line went."""
    started, options = time.perf_counter(), job.options
    logs = [path for path in (*options.logs, options.key_stream, *(options.keys or [])) if path]
    refuse_overlap(options.out, [*logs, *(path for path in (options.labels, options.templates) if path)])
    if not (options.evolve or options.replace):
        refuse_lost_answers(options.out)
    with replaced_folder(options.out) as folder:
        if logs and all(path.is_file() for path in logs) and not options.replace:  # by size; by content after the work
            refuse_other_sources(
                options.out, {"simulated": False, "spec": job.spec, "sources": sizes(logs), "logs": len(options.logs)}
            )
        manifest = make_folder(folder, job)
        if not options.replace:
            refuse_other_sources(options.out, manifest)
    print_summary(manifest, options.out, time.perf_counter() - started)


def make_sample_jobs(folder: Path, workflow: Workflow, options: Namespace) -> Made:
    """Simulate the runs of both sample workflows and write the data folder of one."""
    with TemporaryDirectory() as place:
        for one in SIMULATED.values():
            write_runs(Path(place), one.name, SAMPLE_RUNS, options.seed, one.imitates, SAMPLE_EFFECT)
        return write_workflow(folder, workflow, Path(place), options.protocol, options.seed)


def make_folder(folder: Path, job: Job) -> dict:
    """Write the four files of contract 1; return the manifest."""
    options, plan = job.options, job.plan
    if options.resplit:
        about, sources, counts = resplit(folder, options.resplit, plan.seed)
        return write_manifest(folder, options.out.name, about, sources, counts)
    about = {"title": f"log keys {options.out.name}", "simulated": False, "spec": None}
    if job.spec:
        sources, protocol, counts, pauses = make_from_log(folder, job.spec, job)
        about = {"title": job.spec.title, "simulated": job.spec.simulated, "spec": asdict(job.spec)} | pauses
        about |= {"logs": len(options.logs)} if len(options.logs) > 1 else {}
    elif options.keys:
        protocol, counts = write_key_files(folder, options.keys, plan)
        sources = describe_sources(options.keys)
    else:
        protocol, counts = write_key_stream(folder, options.key_stream, plan)
        sources = describe_sources([options.key_stream])
    if options.templates and not job.spec:
        about["words"] = describe_sources([options.templates])[0]
    if not options.keys:
        about["grouping"] = asdict(plan.grouping)
        protocol["protocol"] = {"name": job.protocol, "source": PROTOCOLS[job.protocol].source}
    shutil.rmtree(folder / ".events", ignore_errors=True)
    return write_manifest(folder, options.out.name, about | {"split": protocol}, sources, counts)


def make_from_log(folder: Path, spec: Spec, job: Job) -> tuple[list[dict], dict, dict, dict]:
    """Read, group, mine and write a raw log; return its sources, the split protocol, the counts and the pauses."""
    log, labels = find_files(folder, spec, job)
    rejected = CsvFile(folder / "rejected.csv", ("line", "reason", "text"))
    blocks = read_with_ray(spec, log) if job.options.engine == "ray" else read_here(spec, log, job.lines)
    raw = read_log(spec, log, blocks, folder / ".events", rejected, read_labels(labels) if labels else None)
    with ThreadPoolExecutor(1) as pool:  # hashing keeps the core busy that assembling leaves idle
        sources = pool.submit(describe_sources, [*log.paths, *([labels.path] if labels else [])])
        protocol, counts, pauses = assemble(folder, spec, raw, job.plan)
    if job.plan.evolve and job.plan.templates:
        sequences = pl.scan_parquet(folder / "sequences.parquet", glob=False)
        answered = job.options.out / EVOLUTION
        print_evolution(ask_about_new(folder, open_folder(job.plan.templates.parent), sequences, answered), answered)
    if log.path.name == KEPT:  # standard input is gone, and alarms show its lines
        shutil.copyfile(log.path, folder / KEPT)
    else:
        keep_place(folder, log)
    if raw.further_lines:
        print(
            f"  {raw.further_lines:,} lines without a header belong to the event before them (--continuation reject "
            "leaves them out)"
        )
    if log.undecodable:
        print(
            f"  {printable(str(log.path))} line {log.first_undecodable:,} is not UTF-8 ({log.undecodable:,} such "
            "lines): their bad bytes were read as U+FFFD and the lines kept; to convert the log: iconv -t UTF-8"
        )
    read = {"lines": raw.read_lines, "lines_in_sequences": raw.read_lines - rejected.rows, "rejected": rejected.rows}
    told = {"further_lines": raw.further_lines, "lines_without_session": raw.without_session}
    read |= {name: count for name, count in told.items() if count}
    read |= {"undecodable": log.undecodable, "anomalous_lines": raw.anomalous_lines}
    return sources.result(), protocol, read | counts, pauses


def ask_about_new(folder: Path, old: Data, sequences: pl.LazyFrame, answered: Path) -> pl.DataFrame:
    """Write evolution.csv into `folder`: which of the templates of `old` each other one may be; return it.

    `sequences` are those of the new log, read only if there is such a template. What a person has said in `answered`,
    the table before this one, is kept.
    """
    table = pl.read_csv(
        folder / "templates.csv", columns=["key", "template", "count"], schema_overrides={"key": pl.String}
    )
    table = table.filter(~pl.col("key").is_in(list(old.templates))).sort("count", descending=True)
    asked = pl.DataFrame(schema=EVOLUTION_SCHEMA)
    if len(table):
        asked = propose(old, table, sequences.select("keys").collect()["keys"].to_list())
    if answered.is_file():
        asked = keep_answers(asked, read_evolution(answered))
    write_evolution(folder, asked)
    return asked


def propose(old: Data, table: pl.DataFrame, sequences: list[list[str]]) -> pl.DataFrame:
    """Return what is asked about each new template of `table`, by words and by what a bigram expects at its places."""
    from methods.words import matching  # scikit-learn, which takes a second and no other log needs
    from methods.words.places import Expected

    known = {key: text for key, text in old.templates.items() if text is not None}
    new = dict(table.select("key", pl.col("template").fill_null("")).iter_rows())
    asked = matching.propose(known, new, sequences, Expected.by_bigram(old.keys("train")))
    return asked.with_columns(lines=table["count"])


def print_evolution(asked: pl.DataFrame, path: Path) -> None:
    """Print the commonest new templates with what they may be, and that only a person can say so."""
    print(f"  {len(asked):,} templates are new, {asked['proposed_key'].count():,} of them perhaps an old one reworded:")
    for template, proposed, lines in asked.select("template", "proposed_template", "lines").head(SHOWN).iter_rows():
        print(printable(f"  {lines:>9,}  {template}  <-  {proposed or 'nothing speaks for any'}"))
    print(
        f"  Nothing is mapped: write same or new into the column answer of {printable(str(path))}. Similarity and "
        "context cannot tell a reworded event from a really new one (AUROC .27 to .35 where all words were replaced)."
    )


def find_files(folder: Path, spec: Spec, job: Job) -> tuple[LogFile, LogFile | None]:
    """Return the log and its labels: made here, given, or downloaded to data/raw/."""
    options = job.options
    if spec.simulated:
        log = simulate(options.seed, LABELED_SESSIONS if options.protocol == "supervised" else SESSIONS)
        return write_sample_log(folder, updated(log, options.seed) if spec.name == UPDATED_SAMPLE.name else log)
    if spec.download and not options.log:
        archive = fetch(spec.download, Path("data") / "raw")
        return LogFile(archive, spec.log_member), LogFile(archive, spec.label_member) if spec.label_member else None
    if spec.label_member and not options.labels:
        raise BadInput(f"{spec.name} also needs its labels: python parse_logs.py {spec.name} --log FILE --labels FILE")
    return open_log(options.logs), LogFile(options.labels) if options.labels else None


def write_sample_log(folder: Path, simulated: SimulatedLog) -> tuple[LogFile, LogFile]:
    """Write a simulated log and its labels into the data folder, so that an alarm can show its raw line."""
    log, labels = folder / "simulated.log", folder / "simulated_labels.csv"
    log.write_text("\n".join(simulated.lines) + "\n", encoding="utf-8", newline="")
    rows = [f"{block},{label},{simulated.kinds.get(block, '')}" for block, label in simulated.labels.items()]
    labels.write_text("\n".join(["BlockId,Label,Kind", *rows]) + "\n", encoding="utf-8", newline="")
    return LogFile(log), LogFile(labels)


def print_summary(manifest: dict, out: Path, seconds: float) -> None:
    """Print where every line went and what the split is."""
    counts, spec = manifest["counts"], manifest["spec"] or {"expected": {}, "published": {}}
    expected = spec["expected"] | spec["published"].get(manifest["split"].get("protocol", {}).get("name"), {})
    print(printable(f"{manifest['title']} -> {out}/  in {seconds:.1f} s, data hash {manifest['data_hash']}"))
    for name, count in counts.items():
        published = f"   published: {expected[name]:,}" if name in expected else ""
        print(f"  {name.replace('_', ' '):<28}{count:>12,}{published}")
    for note in manifest["split"]["notes"]:
        print(f"  note: {note}")


if __name__ == "__main__":
    sys.exit(main())

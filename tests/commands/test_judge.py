"""A log judged by a run of another one: the same verdicts as the test of the run, on a copy of its folder alone."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from commands import judge
from commands import run as commands_run
from core.data import open_data
from methods.classical import Classical
from methods.next_key import NextKey
from parsing.simulate import simulate
from runs import steps
from runs.folder import Run

ROOT = Path(__file__).resolve().parents[2]


def jobs_log(days: int, missing: tuple[int, ...] = (), extra: dict[int, str] | None = None) -> str:
    """Return a plain log of jobs, four lines each; a job in `missing` has no heartbeat, one in `extra` a line more."""
    lines = []
    for number in range(300 * days):
        at = f"2026-03-{2 + number // 300:02d} {8 + number % 300 // 60:02d}:{number % 60:02d}"
        job = f"job {number:08x}"
        lines += [f"{at}:01 INFO queue: picked {job} from queue q{number % 3}"]
        lines += [f"{at}:02 INFO worker: started {job} on host node{number % 7}"]
        lines += [] if number in missing else [f"{at}:03 INFO worker: heartbeat of {job}"]
        lines += [f"{at}:04 INFO worker: {(extra or {})[number]} {job}"] if number in (extra or {}) else []
        lines += [f"{at}:05 INFO worker: finished {job} in {number % 90} ms"]
    return "\n".join(lines) + "\n"


OWN = ["--format", "<Date> <Time> <Level> <Component>: <Content>", "--session", "job [0-9a-f]{8}"]


@pytest.fixture(scope="module")
def carried(tmp_path_factory) -> Path:
    """The folder of a run on a plain log of jobs without labels, alone: neither its data nor its log are at hand."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        (place / "jobs.log").write_text(jobs_log(2))
        assert parse_logs.main(["jobs.log", *OWN, "--out", "data/jobs"]) == 0
        run = trained(lambda **own: NextKey("tiny-gpt2", own["seed"], templates=own["templates"]), "jobs")
        copy = tmp_path_factory.mktemp("elsewhere") / "copied"
        shutil.copytree(run.folder, copy)
    return copy


def trained(make, data: str) -> Run:
    """A run with its rules and test scores; the report is no part of it."""
    opened = open_data(data)
    return steps.complete(make, opened.name, 0, 0.05, None)


def judged(folder: Path, text: str, tmp_path: Path, *options: str) -> tuple[int, pl.DataFrame, dict]:
    log = tmp_path / "tomorrow.log"
    log.write_text(text)
    code = judge.main([str(folder), str(log), "--out", str(tmp_path / "judged"), *options])
    out = tmp_path / "judged" / "tomorrow"
    return code, pl.read_csv(out / "alarms.csv"), json.loads((out / "judged.json").read_text())


def test_the_lines_that_are_missing_or_new_come_first_with_time_line_and_reason(carried, tmp_path, capsys):
    """logdeep#8, loglizer#32: which line, when. No label is at hand, and the data folder of the run is not either."""
    text = jobs_log(1, missing=(100,), extra={200: "disk failure while writing"})
    code, listed, figures = judged(carried, text, tmp_path)
    assert code == 0 and figures["alarms"] == 2 and figures["new_templates"] == 1 and "f1" not in figures
    assert set(listed["sequence_id"][:2]) == {"job 00000064", "job 000000c8"} and len(listed) == 50
    new = listed.filter(pl.col("sequence_id") == "job 000000c8").row(0, named=True)
    assert new["raw"] == text.splitlines()[new["line"] - 1] and "disk failure" in new["raw"]
    assert new["time"].startswith("2026-03-02T11:20:04") and "new template" in new["reason"]
    missed = listed.filter(pl.col("sequence_id") == "job 00000064").row(0, named=True)
    assert "finished" in missed["raw"] and "heartbeat" in missed["expected"]
    printed = capsys.readouterr().out
    assert "the strangest first" in printed and "disk failure" in printed
    page = (tmp_path / "judged" / "tomorrow" / "report.html").read_text()
    assert "disk failure" in page and "2 of 300 sequences are alarms" in page


def test_a_pipeline_can_fail_on_an_alarm(carried, tmp_path):
    assert judged(carried, jobs_log(1), tmp_path, "--fail-on-alarm")[0] == 0
    assert judged(carried, jobs_log(1, missing=(5,)), tmp_path, "--fail-on-alarm")[0] == judge.ALARMED


def test_a_log_without_anything_odd_is_ranked_all_the_same(carried, tmp_path):
    """A ranked list is there whatever the threshold: an empty alarms.csv helps nobody."""
    _, listed, figures = judged(carried, jobs_log(1), tmp_path)
    assert figures["alarms"] == 0 and len(listed) == 50 and not listed["is_alarm"].any()


def test_labels_give_figures(carried, tmp_path):
    labels = tmp_path / "labels.csv"
    rows = [f"job {number:08x},{'Anomaly' if number == 7 else 'Normal'}" for number in range(300)]
    labels.write_text("\n".join(["BlockId,Label", *rows]) + "\n")
    _, listed, figures = judged(carried, jobs_log(1, missing=(7, 8)), tmp_path, "--labels", str(labels))
    assert figures["recall"] == 1.0 and figures["precision"] == 0.5 and listed["label"].sum() == 1


@pytest.mark.parametrize("unseen", ["words", "ask", "ask-words"])
def test_new_templates_are_handled_as_asked(carried, tmp_path, unseen):
    """What reads most like a fault comes first; what was asked of a person waits in triage.csv of the judged log."""
    text = jobs_log(1, extra={10: "lease renewed for", 20: "fatal error, aborting"})
    _, listed, figures = judged(carried, text, tmp_path, "--unseen", unseen)
    assert (figures["unseen"] == unseen and listed["sequence_id"][0] == "job 00000014") or unseen == "ask"
    assert ("reads like a fault" in listed["reason"][0]) == (unseen != "ask")
    assert (tmp_path / "judged" / "tomorrow" / "triage.csv").is_file() == (unseen != "words")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda **own: NextKey("tiny-gpt2", own["seed"], templates=own["templates"]),
        lambda **own: Classical("pca", own["seed"], templates=own["templates"]),
    ],
    ids=["next_key", "classical"],
)
def test_the_verdicts_of_a_judged_log_are_those_of_the_test(make, tmp_path, monkeypatch):
    """The same lines, once as the test of the run and once as a new log: same keys, same scores, same alarms."""
    monkeypatch.chdir(tmp_path)
    simulated = simulate(seed=5, sessions=900)
    Path("all.log").write_text("\n".join(simulated.lines) + "\n")
    Path("labels.csv").write_text(
        "\n".join(["BlockId,Label", *(f"{block},{label}" for block, label in simulated.labels.items())]) + "\n"
    )
    source = ["--log", "all.log", "--labels", "labels.csv", "--protocol", "chronological"]
    assert parse_logs.main(["hdfs", *source, "--out", "data/days"]) == 0
    run = trained(make, "days")
    test = pl.read_parquet(run.folder / "test_scores.parquet")
    assert judge.main([str(run.folder), "all.log", "--labels", "labels.csv"]) == 0
    found = pl.read_parquet(run.folder / "judged" / "all" / "test_scores.parquet")
    both = test.join(found, on="sequence_id", suffix="_judged")
    column = "tail_probability" if "tail_probability" in test.columns else "score"
    assert len(both) == len(test)
    assert (both[column] - both[f"{column}_judged"]).abs().max() < 1e-5
    assert both["has_unseen_key"].equals(both["has_unseen_key_judged"], null_equal=True)
    figures = json.loads((run.folder / "judged" / "all" / "judged.json").read_text())
    assert figures["labeled"] == 900


def test_torch_is_only_imported_where_the_method_needs_it(tmp_path, monkeypatch):
    """Judging by counts waited seconds for torch, and for papermill, which runs no notebook here."""
    monkeypatch.chdir(tmp_path)
    Path("jobs.log").write_text(jobs_log(2))
    assert parse_logs.main(["jobs.log", *OWN, "--out", "data/jobs"]) == 0
    run = trained(lambda **own: Classical("pca", own["seed"], templates=own["templates"]), "jobs")
    Path("next.log").write_text(jobs_log(1, missing=(5,)))
    arguments = [str(run.folder), "next.log"]
    code = f"import sys; from commands.judge import main; main({arguments}); "
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code += "sys.exit(bool({'torch', 'papermill'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert (run.folder / "judged" / "next" / "judged.json").is_file()


def test_a_log_in_a_folder_whose_name_is_a_pattern_is_judged(carried, tmp_path):
    """`run[1]` was taken for a pattern of file names, and the run for damaged."""
    copy = tmp_path / "run[1]"
    shutil.copytree(carried, copy)
    assert judged(copy, jobs_log(1, missing=(5,)), tmp_path / "")[0] == 0


def test_lines_that_were_not_read_are_said_and_those_that_name_an_error_shown(carried, tmp_path, capsys):
    """A hundred lines of a failing disk, without the id of a job, were in rejected.csv alone."""
    text = jobs_log(1) + "2026-03-02 23:00:00 ERROR disk: I/O error on sda, data lost\n" * 100
    _, _, figures = judged(carried, text, tmp_path)
    printed = capsys.readouterr().out
    assert figures["rejected"] == 100 and "100 of 1,300 lines were not read" in printed
    assert "I/O error on sda" in printed
    assert "100 of 1,300 lines" in (tmp_path / "judged" / "tomorrow" / "report.html").read_text()


def test_two_logs_of_another_content_are_compared_by_a_run_of_their_own(tmp_path, monkeypatch):
    """The run of another log that was called app.log, too, judged them: everything was an alarm."""
    monkeypatch.chdir(tmp_path)
    made = []
    monkeypatch.setattr(commands_run, "main", lambda arguments: made.append(arguments[1]) or 0)
    for folder, text in (("a", jobs_log(1)), ("b", jobs_log(1).replace("heartbeat", "pulse"))):
        Path(folder).mkdir()
        (Path(folder) / "app.log").write_text(text)
    for before, more in (("a", []), ("b", []), ("a", ["--window", "60s"]), ("a", [])):
        options = judge.read_options(["--before", f"{before}/app.log", "--after", "b/app.log", *more])
        judge.compared(options)
    assert len(set(made)) == 3 and made[0] == made[3]


def said(capsys, *arguments: str) -> str:
    assert judge.main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and error.count("\n") == 1
    return error


def test_what_was_judged_before_stays_when_a_later_question_fails(carried, tmp_path, capsys):
    """A missing encoder was found after the log had been read again, and the earlier alarms were gone."""
    assert judged(carried, jobs_log(1, missing=(5,)), tmp_path)[2]["alarms"] == 1
    before = (tmp_path / "judged" / "tomorrow" / "alarms.csv").read_text()
    log, out = str(tmp_path / "tomorrow.log"), ["--out", str(tmp_path / "judged")]
    said(capsys, str(carried), log, *out, "--unseen", "words", "--encoder", str(tmp_path / "gone"))
    sentence = said(capsys, str(carried), log, *out, "--unseen", "evolved")
    assert (tmp_path / "judged" / "tomorrow" / "evolution.csv").as_posix() in sentence and ".new" not in sentence
    assert (tmp_path / "judged" / "tomorrow" / "alarms.csv").read_text() == before


def test_blank_lines_are_no_loss_and_labels_of_other_sessions_are_said(carried, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text("BlockId,Label\n" + "".join(f" job {number:08x} ,0\n" for number in range(310)))
    figures = judged(carried, jobs_log(1).replace("\n", "\n\n"), tmp_path, "--labels", str(labels))[2]
    assert figures["rejected"] == 0 and figures["labeled"] == 300, "blanks around an id are none of it"
    assert "10 labels name sessions that the log does not have" in capsys.readouterr().out


def test_a_pipe_is_judged(carried, tmp_path, monkeypatch):
    """`judge RUN <(zcat app.log.gz)` said that the log does not exist or is a folder."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(jobs_log(1, missing=(5,))))
    writer.start()
    assert judge.main([str(carried), str(pipe), "--out", str(tmp_path / "out"), "--fail-on-alarm"]) == judge.ALARMED
    writer.join()
    assert (tmp_path / "out" / "pipe-pipe" / "alarms.csv").is_file()


def test_the_data_of_a_training_are_never_replaced(carried, tmp_path, capsys):
    """`--out data` with a log called as a data folder removed what another run had learned from."""
    shutil.copytree(carried / "parser", tmp_path / "data" / "day2")
    (tmp_path / "day2.log").write_text(jobs_log(1))
    sentence = said(capsys, str(carried), str(tmp_path / "day2.log"), "--out", str(tmp_path / "data"))
    assert "holds data that runs learn from" in sentence


def test_two_logs_of_one_name_share_no_folder(carried, tmp_path, capsys):
    sentence = said(capsys, str(carried), str(tmp_path / "a" / "app.log"), str(tmp_path / "b" / "app.log.gz"))
    assert "Two of the logs have one name" in sentence


def test_what_cannot_be_judged_is_said_in_one_sentence(carried, tmp_path, capsys):
    log = tmp_path / "tomorrow.log"
    log.write_text(jobs_log(1))
    out = ["--out", str(tmp_path / "out")]
    assert "no run folder" in said(capsys, str(tmp_path), str(log), *out)
    assert "gone.log" in said(capsys, str(carried), str(tmp_path / "gone.log"), *out)
    other = tmp_path / "other.log"
    other.write_text("2026-03-02 08:00:01 INFO shop: customer 7 paid job 00000001\n" * 9)
    assert "another program" in said(capsys, str(carried), str(other), *out)
    for name in ("model", "decision.json", "parser"):
        broken = tmp_path / f"without-{name}"
        shutil.copytree(carried, broken)
        shutil.rmtree(broken / name) if (broken / name).is_dir() else (broken / name).unlink()
        assert f"lacks {name}" in said(capsys, str(broken), str(log), *out)
    mixed = tmp_path / "mixed"
    shutil.copytree(carried, mixed)
    manifest = json.loads((mixed / "parser" / "manifest.json").read_text())
    (mixed / "parser" / "manifest.json").write_text(json.dumps(manifest | {"learned_of": "0" * 16}))
    assert "calibrated on parser" in said(capsys, str(mixed), str(log), *out)
    assert not list((tmp_path / "out").glob("*/judged.json")), "what could not be judged leaves no figures"


def test_a_run_without_the_pauses_of_its_log_says_so(carried, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(carried, old)
    path = old / "parser" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["pauses"]
    path.write_text(json.dumps(manifest))
    log = tmp_path / "tomorrow.log"
    log.write_text(jobs_log(1))
    assert "another version" in said(capsys, str(old), str(log), "--out", str(tmp_path / "out"))


def test_sessions_that_go_on_beyond_the_log_are_judged_so_far(carried, tmp_path):
    """Without the pauses of training the last session of a live log is always an early end."""
    text = "\n".join(jobs_log(1).splitlines()[:-2]) + "\n"
    figures = judged(carried, text, tmp_path)[2]
    assert figures["open_sequences"] >= 1 and figures["alarms"] == 0

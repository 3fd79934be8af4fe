"""Files and options that are no workflow end in one sentence, exit code 2 and no folder; archives stay in theirs."""

import csv
import shutil
import zipfile
from pathlib import Path

import pytest

import parse_logs
from core.data import open_folder
from core.errors import BadInput
from parsing.workflows import fetching
from parsing.workflows.simulate import write_runs
from parsing.workflows.specs import WORKFLOWS

RUN = "1000genome/1000genome-run0002.csv"
GRAPH, ORDER = "adjacency_list_dags/1000genome.json", "run_order.json"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_runs(tmp_path_factory.mktemp("flowbench") / "fb", runs=12)


@pytest.fixture
def broken(runs, tmp_path):
    """A copy of the runs that a test may break."""
    return shutil.copytree(runs, tmp_path / "fb")


def refused(capsys, *words) -> str:
    """The one sentence, without a traceback, that ends a command with exit code 2."""
    capsys.readouterr()
    assert parse_logs.main([*map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("parse_logs.py: ")
    return said


def refused_log(capsys, log, *words) -> str:
    out = log.parent / "data"
    said = refused(capsys, "1000genome", "--log", log, "--out", out, *words)
    assert not out.exists()
    return said


def change(path, column, value, line=3) -> None:
    """Put a value into a cell of a line, counted from 1 with the header."""
    rows = list(csv.reader(path.open(encoding="utf-8", newline="")))
    rows[line - 1][rows[0].index(column)] = value
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


# ---------------------------------------------------------------------------------------------------- what is missing


def test_no_folder_and_a_file_in_its_place_are_said_with_what_to_give(runs, tmp_path, capsys):
    for log in (tmp_path / "none", runs / RUN):
        said = refused(capsys, "1000genome", "--log", log, "--out", tmp_path / "data")
        assert f"{log} is no folder; give the one that holds 1000genome/" in said


def test_a_folder_without_runs_is_said_with_the_name_that_they_have(broken, capsys):
    shutil.rmtree(broken / "1000genome")
    assert f"{broken} holds no runs of 1000genome: there is no file like {RUN[:-8]}0001.csv" in refused_log(
        capsys, broken
    )


def test_runs_without_their_adjacency_list_name_it(broken, capsys):
    (broken / GRAPH).unlink()
    said = refused_log(capsys, broken)
    assert f"{broken} has runs of 1000genome without" in said and GRAPH in said


def test_two_files_of_one_run_are_not_counted_twice(broken, capsys):
    shutil.copy(broken / RUN, broken / "1000genome" / "copy-run2.csv")
    assert f"{broken} has two tables of run 2, 1000genome-run0002.csv and copy-run2.csv" in refused_log(capsys, broken)


def test_too_few_runs_to_hold_any_out_are_said_to_be(tmp_path, capsys):
    assert "Of 4 runs none leaves a normal worker for the validation" in refused_log(
        capsys, write_runs(tmp_path / "fb", runs=4)
    )


def test_one_workflow_alone_teaches_nothing_about_itself(broken, capsys):
    assert f"{broken} holds no workflow beside 1000genome" in refused_log(capsys, broken, "--protocol", "workflow")


# ------------------------------------------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("anomaly_type", "cpu_9", "'cpu_9' is no known anomaly"),
        ("anomaly_type", "", "missing in column anomaly_type"),  # the word None is normal, an empty cell is nothing
        ("kickstart_hostname", "", "missing in column kickstart_hostname"),
        ("execute_end", "", "missing in column execute_end"),
        ("runtime", "long", "'long' is no number"),
        ("runtime", "inf", "'inf' is no number"),
        ("stage_in_bytes", "nan", "'nan' is no number"),
        ("submit", "1e400", "'1e400' is no number"),
        ("execute_end", "1e300", "line 3"),
    ],
)
def test_a_bad_cell_is_named_with_file_and_line(broken, capsys, column, value, said):
    change(broken / RUN, column, value)
    found = refused_log(capsys, broken)
    assert f"{broken / RUN} line 3: " in found and said in found


def test_a_job_that_stands_there_twice_is_named_with_its_line(broken, capsys):
    with (broken / RUN).open("a", encoding="utf-8") as file:
        file.write((broken / RUN).read_text(encoding="utf-8").split("\n")[1] + "\n")
    found = refused_log(capsys, broken)
    assert f"{broken / RUN} line 30: " in found and "twice" in found


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (RUN, b"", "cannot be read (empty CSV)"),
        (RUN, b"job,anomaly_type\na,None\n", "has no column kickstart_hostname"),
        (RUN, b"\x00\xff\xfe\x01" * 40, "no column"),
        (GRAPH, b"{", "is no JSON"),
        (GRAPH, b"\xff\xfe{", "is no JSON"),
        (GRAPH, b"[" * 100_000, "is no JSON"),
        (GRAPH, b'["a", "b"]', "is no adjacency list"),
        (GRAPH, b"{}", "is no adjacency list"),
        (ORDER, b"{", "is no JSON"),
        (ORDER, b'{"1000genome": "all"}', "must hold a list of run numbers"),
        (ORDER, b'{"1000genome": [1.5]}', "must hold a list of run numbers"),
        (ORDER, b'{"1000genome": [true]}', "must hold a list of run numbers"),
        (ORDER, b"[1, 2]", "must hold a list of run numbers"),
    ],
)
def test_a_file_of_another_kind_is_named(broken, capsys, name, content, said):
    (broken / name).write_bytes(content)
    found = refused_log(capsys, broken)
    assert f"{broken / name} " in found and said in found


def test_a_table_of_no_job_and_one_with_a_row_too_long_are_named(broken, capsys):
    head, row, *_ = (broken / RUN).read_text(encoding="utf-8").split("\n")
    for text, said in ((head, "has no job"), (f"{head}\n{row},1,2", "found more fields")):
        (broken / RUN).write_text(f"{text}\n", encoding="utf-8")
        found = refused_log(capsys, broken)
        assert f"{broken / RUN} " in found and said in found


@pytest.mark.parametrize("protocol", ["runs", "published"])
def test_runs_in_a_folder_with_brackets_in_its_name_are_read(runs, tmp_path, capsys, protocol):
    log = shutil.copytree(runs, tmp_path / "runs[1]")
    assert parse_logs.main(["1000genome", "--log", str(log), "--out", str(tmp_path / "d"), "--protocol", protocol]) == 0


# ------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "words",
    [
        "--mine none",
        "--labels x.csv",
        "--keys a.txt",
        "--key-stream a.parquet",
        "--window 60s",
        "--window-lines 5",
        "--lines 1-5",
        "--format auto",
        "--session x",
        "--label-field L",
        "--anomalies 3",
        "--labels-share 0.5",
        "--train-normals 5",
        "--validation-share 0.3",
        "--templates x.csv",
        "--paper-faults",
        "--engine ray",
    ],
)
def test_an_option_for_logs_is_not_silently_without_effect(runs, tmp_path, capsys, words):
    option, *value = words.split()
    said = refused(capsys, "1000genome", "--log", runs, "--out", tmp_path / "d", option, *value)
    assert f"{option} is for logs, and 1000genome is a table of jobs" in said and not (tmp_path / "d").exists()


@pytest.mark.parametrize("protocol", ["supervised", "complete", "loggpt", "chronological"])
def test_a_protocol_of_logs_is_none_of_jobs(runs, tmp_path, capsys, protocol):
    said = refused(capsys, "1000genome", "--log", runs, "--out", tmp_path / "d", "--protocol", protocol)
    assert f"--protocol {protocol} is for logs; of jobs choose runs, published, workflow" in said


@pytest.mark.parametrize("protocol", ["runs", "published", "workflow"])
def test_a_protocol_of_jobs_is_none_of_logs(tmp_path, capsys, protocol):
    said = refused(capsys, "sample", "--protocol", protocol, "--out", tmp_path / "d")
    assert f"--protocol {protocol} is for the jobs of 1000genome" in said and not (tmp_path / "d").exists()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_nothing_can_draw_by_is_refused_as_of_logs(runs, tmp_path, capsys, seed):
    words = ("1000genome", "--log", runs, "--out", tmp_path / "d", "--seed", seed)
    assert f"--seed {seed} cannot be used" in refused(capsys, *words)


# ----------------------------------------------------------------------------------------------------------- downloads


@pytest.fixture
def remote(runs, tmp_path, monkeypatch):
    """A folder in the place of the server: what lies in it is what comes."""
    store = tmp_path / "remote"
    store.mkdir()
    for name in WORKFLOWS:
        shutil.copy(runs / GRAPH, store / f"{name}.json")

    def fetch(download, folder):
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(store / download.url.rpartition("/")[2], folder))

    monkeypatch.setattr(fetching, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    return store


def pack(runs, archive, inside="data/", workflow="1000genome", **more) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted((runs / "1000genome").iterdir()):
            file.write(path, f"{inside}{path.name.replace('1000genome', workflow)}")
        for name, content in more.items():
            file.writestr(name, content)


def test_what_is_fetched_is_unpacked_once_and_read(runs, remote, tmp_path):
    pack(runs, remote / "1000genome.zip", "deep/down/")
    assert parse_logs.main(["1000genome", "--protocol", "published"]) == 0
    assert len(open_folder(tmp_path / "data" / "1000genome").jobs) == 336
    inner = tmp_path / "data" / "raw" / "flowbench" / "1000genome"
    assert sorted(path.name for path in inner.iterdir()) == sorted(
        path.name for path in (runs / "1000genome").iterdir()
    )
    (inner / "1000genome-run0012.csv").unlink()
    assert parse_logs.main(["1000genome", "--protocol", "published", "--replace"]) == 0
    assert len(open_folder(tmp_path / "data" / "1000genome").jobs) == 308


def test_names_in_an_archive_lead_out_of_no_folder_and_only_runs_are_taken(runs, remote, tmp_path):
    names = {
        "../../../up-run0091.csv": "a",
        "/tmp/root-run0092.csv": "b",
        "__MACOSX/._x-run0001.csv": "c",
        "READ.me": "d",
    }
    pack(runs, remote / "1000genome.zip", **names)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    folder = fetching.fetch_workflow(WORKFLOWS["1000genome"], "runs", tmp_path / "raw")
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    own = {path.name for path in (runs / "1000genome").iterdir()} | {"up-run0091.csv", "root-run0092.csv"}
    expected = {folder / "1000genome" / name for name in own} | {folder / "1000genome.zip", folder / GRAPH}
    assert new == expected


def test_to_test_one_workflow_by_the_others_all_are_fetched(runs, remote, tmp_path):
    for name in WORKFLOWS:
        pack(runs, remote / f"{name}.zip", workflow=name)
    fetching.fetch_workflow(WORKFLOWS["montage"], "workflow", tmp_path / "raw")
    assert all(len(list((tmp_path / "raw" / name).glob("*.csv"))) == 12 for name in WORKFLOWS)
    assert parse_logs.main(["montage", "--log", str(tmp_path / "raw"), "--protocol", "workflow"]) == 0


@pytest.mark.parametrize("damage", ["text", "half", "checksum", "stream"])
def test_a_broken_archive_is_one_sentence_and_leaves_no_half_folder(runs, remote, tmp_path, capsys, damage):
    """A folder that holds some of the runs would be taken for all of them by the next command."""
    pack(runs, remote / "1000genome.zip")
    content = bytearray((remote / "1000genome.zip").read_bytes())
    if damage == "text":
        content = bytearray(b"<html>not found</html>")
    elif damage == "half":
        del content[len(content) // 2 :]
    elif damage == "checksum":
        place = content.rindex(b"PK\x01\x02") + 16  # of the last run, so that the others are written before
        content[place : place + 4] = b"none"
    else:
        content[80:120] = b"\xff" * 40
    (remote / "1000genome.zip").write_bytes(content)
    said = refused(capsys, "1000genome")
    assert "1000genome.zip cannot be unpacked" in said and "rm data/raw/flowbench/1000genome.zip" in said
    assert not list((tmp_path / "data").rglob("*.csv")) and not (tmp_path / "data" / "1000genome").exists()


def test_an_archive_that_unpacks_to_a_whole_disk_is_refused(runs, remote, tmp_path, monkeypatch):
    pack(runs, remote / "1000genome.zip")
    monkeypatch.setattr(fetching, "MOST_BYTES", 1_000)
    with pytest.raises(BadInput, match=r"holds 1000genome-run0001\.csv of [\d,]+ bytes, which is no run"):
        fetching.fetch_workflow(WORKFLOWS["1000genome"], "runs", tmp_path / "raw")
    assert not list((tmp_path / "raw").rglob("*.csv"))

"""Jobs of scientific workflows: the published files byte for byte, whole runs held out, a worker's jobs in sequence."""

import csv
import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parse_logs
from core.data import open_folder
from core.errors import BadInput
from core.jobs import FEATURES, IN_RUN, NUMBERS, OWN, SO_FAR, Worker, numbers_of, sentences
from parsing.workflows import published, split
from parsing.workflows.simulate import JOBS, write_runs
from parsing.workflows.specs import WORKFLOWS
from parsing.workflows.words import RuntimeClasses

RUNS = 13  # 364 jobs of 1000 Genome: 0.9 of them is 327.6, so that rounding would show


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of all three workflows in one folder."""
    folder = tmp_path_factory.mktemp("flowbench")
    for workflow in JOBS:
        write_runs(folder, workflow, RUNS)
    return folder


@pytest.fixture(scope="module")
def data(runs, tmp_path_factory):
    """The data folder of 1000 Genome, its runs split by seed 0."""
    return parsed(runs, tmp_path_factory.mktemp("data") / "genome")


def parse(*words) -> int:
    return parse_logs.main([*map(str, words)])


def parsed(log, out, *words, workflow="1000genome"):
    assert parse(workflow, "--log", log, "--out", out, *words) == 0
    return open_folder(out)


def read(folder, workflow, run) -> list[dict]:
    path = folder / workflow / f"{workflow}-run{run:04}.csv"
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


def runs_of(data, part) -> set:
    return set(data.jobs.filter(pl.col("split") == part)["run"])


# --------------------------------------------------------------------------------------------------------- as published


def test_a_sentence_has_values_as_python_prints_them_nan_and_a_blank_at_the_end():
    """A tokenizer that keeps blanks would see two kinds of texts if some lacked the last one."""
    values = [1.0, 0.0, 1022.5, 5.0, None, 0.1, 1014283276.0, 1e16, None]
    jobs = pl.DataFrame({name: [value] for name, value in zip(FEATURES, values, strict=True)})
    assert sentences(jobs.cast(pl.Float64)) == [
        "wms_delay is 1.0 queue_delay is 0.0 runtime is 1022.5 post_script_delay is 5.0 stage_in_delay is nan "
        "stage_out_delay is 0.1 stage_in_bytes is 1014283276.0 stage_out_bytes is 1e+16 "
        "kickstart_executables_cpu_time is nan "
    ]


@pytest.mark.parametrize("workflow", JOBS)
def test_published_lines_follow_the_listed_runs_and_in_each_the_graph(runs, tmp_path, workflow):
    """Of any other order each shuffled row is another one, and no figure is comparable."""
    data = parsed(runs, tmp_path / "d", "--protocol", "published", workflow=workflow)
    graph = list(json.loads((runs / "adjacency_list_dags" / f"{workflow}.json").read_text()))
    places = {name: place for place, name in enumerate(graph)}
    if workflow == "predict_future_sales":  # the names of its table are cut, those of its graph are not
        places = {name: place for name, place in places.items() if not name.startswith(("create_dir_", "cleanup_"))}
    expected = ["text,label"]
    for run in json.loads((runs / "run_order.json").read_text())[workflow]:
        rows = read(runs, workflow, run)
        for place in np.argsort([places.get(row[""], np.nan) for row in rows], kind="heapsort"):
            values = [f"{name} is {float(rows[place][name] or 'nan')} " for name in FEATURES]
            expected.append(f"{''.join(values)},{int(rows[place]['anomaly_type'] != 'None')}")
    assert (data.folder / "all.csv").read_bytes().decode() == "\n".join(expected) + "\n"


def in_order(names, graph, workflow) -> list[str]:
    jobs = pl.DataFrame({"run": 1, "row": range(len(names)), "job": names})
    return published.in_order(jobs, graph, None, WORKFLOWS[workflow])["job"].to_list()


def test_names_of_auxiliary_jobs_are_cut_at_the_first_hyphen_on_both_sides():
    graph = ["create_dir_1000-genome_0_a", "two_ID2", "one-ID1", "cleanup_1000-genome_0_a", "one-ID2"]
    names = ["one-ID1", "one-ID2", "cleanup_1000-genome_7_b", "two_ID2", "create_dir_1000-genome_7_b"]
    assert in_order(names, graph, "1000genome") == [names[place] for place in (4, 3, 0, 2, 1)]


def test_auxiliary_jobs_of_sales_have_no_place_and_go_last_in_no_stable_order():
    """A graph whose names are cut, or a stable sort, gives other files than the published ones."""
    auxiliary = [f"cleanup_predict-future-sales_{number}_a" for number in range(12)]
    own = [f"fit_ID{number}" for number in range(12)]
    names = [name for pair in zip(auxiliary, reversed(own), strict=True) for name in pair]
    found = in_order(names, [*auxiliary, *own], "predict_future_sales")
    places = [np.nan if name in auxiliary else own.index(name) for name in names]
    assert found == [names[place] for place in np.argsort(places, kind="heapsort")]
    assert found[:12] == own and sorted(found[12:]) == sorted(auxiliary) and found[12:] != auxiliary


def test_runs_that_no_list_names_come_after_the_others_by_number():
    jobs = pl.DataFrame({"run": [4, 9, 10, 2], "row": 0, "job": "a"})
    found = [published.in_order(jobs, ["a"], order, WORKFLOWS["montage"])["run"].to_list() for order in ([9, 2], None)]
    assert found == [[9, 2, 4, 10], [2, 4, 9, 10]]


@given(st.integers(1, 3_000))
def test_every_row_is_in_one_part_of_the_published_size_and_permutation(rows):
    parts = published.split_rows(rows)
    train, until = int(0.8 * rows), int(0.9 * rows)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [train, until - train, rows - until]
    assert sorted(np.concatenate([*parts.values()])) == list(range(rows))
    shuffled = pd.RangeIndex(rows).to_frame().sample(frac=1, random_state=42)
    assert list(np.concatenate([*parts.values()])) == shuffled.index.to_list()


def test_the_three_files_are_the_shuffled_lines_of_all_and_the_split_of_the_folder(runs, tmp_path):
    data = parsed(runs, tmp_path / "d", "--protocol", "published")
    lines = {name: (data.folder / f"{name}.csv").read_text().split("\n") for name in published.PARTS}
    assert {(found[0], found[-1]) for found in lines.values()} == {("text,label", "")}
    rows = {name: found[1:-1] for name, found in lines.items()}
    assert [len(found) for found in rows.values()] == [364, 291, 36, 37]
    shuffled = pd.Series(rows["all"]).sample(frac=1, random_state=42).to_list()
    assert rows["train"] + rows["validation"] + rows["test"] == shuffled
    texts = [f"{text},{label}" for text, label in zip(sentences(data.jobs), data.jobs["label"], strict=True)]
    for name in ("train", "validation", "test"):
        kept = data.whole(name)
        assert sorted(rows[name]) == sorted(texts[own[0] - 1] for own in kept["lines"])
        words = [text[0] for text in data.texts(kept["keys"].to_list())]
        assert words == [texts[own[0] - 1].rpartition(",")[0] for own in kept["lines"]]
    assert set(data.sequences["lines"].list.len()) == {1} and data.manifest["counts"]["workers_in_training_and_test"]


def test_other_tables_than_the_published_ones_are_said_to_be_and_serve_all_the_same(
    runs, tmp_path, capsys, monkeypatch
):
    notes = parsed(runs, tmp_path / "d", "--protocol", "published").manifest["split"]["notes"]
    assert len(notes) == 1 and "another version" in notes[0] and f"note: {notes[0]}" in capsys.readouterr().out
    files = {name: (tmp_path / "d" / f"{name}.csv").read_bytes() for name in published.PARTS}
    for name, content in files.items():
        monkeypatch.setitem(WORKFLOWS["1000genome"].md5, name, hashlib.md5(content).hexdigest())
    assert "byte for byte" in parsed(runs, tmp_path / "d", "--protocol", "published").manifest["split"]["notes"][0]


def test_without_the_order_of_runs_a_note_says_so(tmp_path):
    (write_runs(tmp_path / "fb", runs=4) / "run_order.json").unlink()
    data = parsed(tmp_path / "fb", tmp_path / "d", "--protocol", "published")
    assert ["No run_order.json says" in note for note in data.manifest["split"]["notes"]] == [True]


def test_job_names_that_the_graph_lacks_are_counted(tmp_path):
    graph = write_runs(tmp_path / "fb", runs=12) / "adjacency_list_dags" / "1000genome.json"
    graph.write_text(json.dumps({name: [] for name in json.loads(graph.read_text()) if "sifting" not in name}))
    (note,) = parsed(tmp_path / "fb", tmp_path / "d").manifest["split"]["notes"]
    assert note == "3 job names, such as sifting_ID0000001, are not in 1000genome.json."


# -------------------------------------------------------------------------------------------------- whole runs held out


@given(st.lists(st.sampled_from(["None", "cpu_2", "hdd_5", "hdd_10"]), min_size=4, max_size=40), st.integers(0, 99))
def test_no_run_is_on_both_sides_and_every_kind_of_two_runs_trains_and_tests(kinds, seed):
    rows = [("montage", run, int(kind != "None"), kind) for run, kind in enumerate(kinds)]
    rows += [("montage", run, 0, "None") for run in range(len(kinds))]
    jobs = pl.DataFrame(rows, schema=["workflow", "run", "label", "kind"], orient="row")
    try:
        parts = jobs.with_columns(split.split_runs(jobs, seed))
    except BadInput:  # too few runs to validate on
        return
    found = parts.group_by("run").agg(pl.col("split").unique()).sort("run")
    assert set(found["split"].list.len()) == {1}
    by_run = found["split"].explode().to_list()
    for kind in set(kinds):
        own = [part for part, other in zip(by_run, kinds, strict=True) if other == kind]
        assert len(own) < 2 or {"train", "test"} <= set(own)
    mixed = jobs.sample(fraction=1, shuffle=True, seed=seed)
    again = mixed.with_columns(split.split_runs(mixed, seed)).group_by("run").agg(pl.col("split").unique()).sort("run")
    assert again.equals(found)


def test_another_seed_holds_out_other_runs_and_the_first_one_the_same_again(data, runs, tmp_path):
    assert parsed(runs, tmp_path / "same").manifest["data_hash"] == data.manifest["data_hash"]
    for name, source, seed in (("one", data.folder, 1), ("back", tmp_path / "one", 0)):
        assert parse("x", "--resplit", source, "--seed", seed, "--out", tmp_path / name) == 0
    one, back = open_folder(tmp_path / "one"), open_folder(tmp_path / "back")
    assert runs_of(one, "test") != runs_of(data, "test") and one.jobs.drop("split").equals(data.jobs.drop("split"))
    assert back.jobs.equals(data.jobs) and back.sequences.equals(data.sequences)
    assert one.manifest["split"]["of"] == data.name and one.manifest["split"]["seed"] == 1
    assert one.sequences.drop("split", "keys").equals(data.sequences.drop("split", "keys"))


def test_the_published_split_is_the_only_one_and_a_seed_is_refused(runs, tmp_path, capsys):
    parsed(runs, tmp_path / "d", "--protocol", "published")
    assert parse("x", "--resplit", tmp_path / "d", "--seed", 1, "--out", tmp_path / "e") == 2
    assert "data/d has the published split" in capsys.readouterr().err and not (tmp_path / "e").exists()


def test_a_workflow_is_tested_by_what_the_others_teach(runs, tmp_path):
    data = parsed(runs, tmp_path / "d", "--protocol", "workflow", workflow="montage")
    jobs = data.jobs
    assert set(jobs.filter(pl.col("split") == "test")["workflow"]) == {"montage"}
    for part in ("train", "validation"):
        own = jobs.filter(pl.col("split") == part)
        assert set(own["workflow"]) == {"1000genome", "predict_future_sales"}
        assert set(own["kind"]) == {"None", "cpu_2", "hdd_5", "hdd_10"}
    assert not (jobs.group_by("workflow", "run").agg(pl.col("split").n_unique())["split"] > 1).any()
    assert parse("x", "--resplit", tmp_path / "d", "--seed", 1, "--out", tmp_path / "e") == 0
    again = open_folder(tmp_path / "e").jobs
    assert set(again.filter(pl.col("split") == "test")["workflow"]) == {"montage"}
    assert again.drop("split").equals(jobs.drop("split")) and not again.equals(jobs)


# -------------------------------------------------------------------------------------------------- sequences and words


def test_a_sequence_is_one_worker_in_one_run_in_the_order_in_which_its_jobs_ended(data, runs):
    jobs, rows = data.jobs, []
    for sequence in data.sequences.iter_rows(named=True):
        own = jobs[[line - 1 for line in sequence["lines"]]]
        (run,), (worker,) = set(own["run"]), set(own["worker"])
        assert sequence["sequence_id"] == f"1000genome-run{run:04}/{worker}" and own["end"].is_sorted()
        theirs = {row[""]: row for row in read(runs, "1000genome", run) if row["kickstart_hostname"] == worker}
        assert set(own["job"]) == set(theirs)
        assert {sequence["label"]} == set(own["label"]) == {int(r["anomaly_type"] != "None") for r in theirs.values()}
        assert [key.rpartition(".")[0] for key in sequence["keys"]] == own["type"].to_list()
        assert own["runtime"].to_list() == [float(theirs[job]["runtime"]) for job in own["job"]]
        rows += sequence["lines"]
    assert jobs["end"].is_sorted()  # of all workers: ratios so far are to the jobs that ended before
    assert sorted(rows) == list(range(1, len(jobs) + 1)) and 0 < data.sequences["label"].sum() < len(data.sequences)
    assert jobs["end"][0].timestamp() == pytest.approx(jobs["start"][0].timestamp() + jobs["runtime"][0])
    assert set(jobs["type"]) == {*JOBS["1000genome"], "create_dir", "cleanup", "stage_out_local_condorpool"}


def test_runtime_classes_end_at_the_fifths_of_their_type_and_say_so():
    train = pl.DataFrame({"type": ["a"] * 11 + ["b"], "runtime": [float(n) for n in range(1, 12)] + [100.0]})
    classes = RuntimeClasses.of(train)
    assert classes.ends == {"a": [3.0, 5.0, 7.0, 9.0], "b": [100.0] * 4}
    jobs = pl.DataFrame({"type": ["a", "a", "a", "a", "new"], "runtime": [3.0, 3.5, 9.0, 9.1, 1e9]})
    assert classes.keys(jobs).to_list() == ["a.shortest", "a.short", "a.long", "a.longest", "new.longest"]
    assert classes.template("a.short") == "a, short runtime, 3 to 5 s"


def test_what_a_test_run_took_changes_no_class_of_the_training(data, runs, tmp_path):
    """Fifths of all jobs would tell a method how long those of the test are."""
    folder, run = shutil.copytree(runs, tmp_path / "fb"), min(runs_of(data, "test"))
    rows = read(folder, "1000genome", run)
    with (folder / "1000genome" / f"1000genome-run{run:04}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(row | {"runtime": str(float(row["runtime"]) * 10)} for row in rows)
    slow = parsed(folder, tmp_path / "d")
    assert slow.jobs["split"].equals(data.jobs["split"])
    shared = slow.templates.keys() & data.templates.keys()
    assert len(shared) > 20 and all(slow.templates[key] == data.templates[key] for key in shared)
    for part in ("train", "validation"):
        assert slow.whole(part, "keys").equals(data.whole(part, "keys"))
    assert not slow.whole("test", "keys").equals(data.whole("test", "keys"))


# ------------------------------------------------------------------------------------------------ numbers of a worker


def test_ratios_are_logarithms_to_the_median_so_far_and_to_that_of_the_run(data):
    jobs = data.jobs.head(6).with_columns(
        run=pl.Series([1, 1, 1, 1, 1, 2]),
        type=pl.Series(["a", "b", "a", "a", "a", "a"]),
        runtime=pl.Series([10.0, 7.0, None, 40.0, 20.0, 5.0]),
        kickstart_executables_cpu_time=pl.Series([5.5, 8.0, 1.0, 0.0, None, 6.0]),
    )
    found = pl.DataFrame(numbers_of(jobs), schema=list(NUMBERS))
    share = [0.5, 1.0, None, 0.0, None, 1.0]
    assert found["cpu_share"].fill_nan(None).to_list() == share
    so_far, in_run = np.array([10, 7, np.nan, 25, 20, 5]), np.array([20, 7, np.nan, 20, 20, 5])  # medians
    for name, medians in (("runtime_so_far", so_far), ("runtime_in_run", in_run)):
        own = np.array([10, 7, np.nan, 40, 20, 5])
        np.testing.assert_allclose(found[name].fill_null(np.nan), np.log((own + 1e-3) / (medians + 1e-3)), atol=1e-6)


def test_what_a_job_is_shown_so_far_is_the_same_whatever_comes_later(data):
    """A verdict during a run must not know its end."""
    numbers, known = numbers_of(data.jobs), [NUMBERS.index(name) for name in (*OWN, *SO_FAR)]
    ahead = [NUMBERS.index(name) for name in IN_RUN]
    for jobs in (5, 12, 27):
        early = data.jobs.select(pl.int_range(pl.len()).over("run") < jobs).to_series()
        found = numbers_of(data.jobs.filter(early))
        np.testing.assert_array_equal(found[:, known], numbers[early.to_numpy()][:, known])
        assert not np.array_equal(found[:, ahead], numbers[early.to_numpy()][:, ahead], equal_nan=True)


def test_the_head_of_a_worker_is_its_first_jobs(data):
    lines = data.sequences["lines"].to_list()
    for worker, own in zip(data.workers(lines[:5]), lines[:5], strict=True):
        jobs = data.jobs[[line - 1 for line in own]]
        assert (worker.workflow, worker.run, worker.name) == jobs.select("workflow", "run", "worker").row(0)
        assert list(worker) == jobs["type"].to_list() and len(worker) == len(own) == len(worker.numbers)
        head = worker.head(2)
        assert list(head) == list(worker)[:2] and (head.run, head.name) == (worker.run, worker.name)
        np.testing.assert_array_equal(head.numbers, worker.numbers[:2])
        np.testing.assert_array_equal(worker.numbers[:, NUMBERS.index("runtime")], jobs["runtime"].cast(pl.Float32))
    assert len(Worker("montage", 1, "w", (), np.empty((0, len(NUMBERS)))).head(3)) == 0

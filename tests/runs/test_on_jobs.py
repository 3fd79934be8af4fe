"""Verdicts of jobs, workers and runs, early ones, and those of another workflow, on a small simulated workflow."""

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import parse_logs
from core.data import Data, Labeled, open_data, open_folder
from core.errors import BadInput
from core.jobs import FEATURES, NUMBERS, STAGES
from methods.supervised.job_texts import JobTexts
from methods.supervised.job_transformer import JobTransformer, Settings
from methods.supervised.jobs import Jobs
from methods.supervised.workers import WorkerBoosting
from parsing.workflows.simulate import write_runs
from runs import on_jobs, steps
from tests.changed import set_manifest
from tests.fits import fitted

WORKER = ["run", "worker"]
NONE = Labeled([], np.empty(0, np.int8))  # no job of the target


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with data/genome, data/genome_published and data/montage, in which detectors are fitted."""
    folder, before = tmp_path_factory.mktemp("jobs"), Path.cwd()
    os.chdir(folder)
    for workflow in ("1000genome", "montage"):
        write_runs(Path("flowbench"), workflow, 24, 0)
    wanted = {"genome": ("1000genome", "runs"), "montage": ("montage", "runs")}
    for name, (workflow, protocol) in (wanted | {"genome_published": ("1000genome", "published")}).items():
        words = ["--log", "flowbench", "--protocol", protocol, "--out", f"data/{name}"]
        assert parse_logs.main([workflow, *words]) == 0
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def data(place) -> Data:
    return open_data("genome")


@pytest.fixture(scope="module")
def boosting(data):
    return fitted(partial(Jobs, "boosting"), data)


@pytest.fixture(scope="module")
def after(boosting, data) -> pl.DataFrame:
    """The verdicts of the test after each job."""
    return on_jobs.after_each_job(boosting, data)


# ------------------------------------------------------------------------------------------------ jobs, workers, runs


def test_every_job_has_one_verdict_and_the_label_of_its_worker(boosting, data):
    """A row too few or in another order would judge jobs by labels of others."""
    found = on_jobs.verdicts_of_jobs(boosting, data)
    jobs = data.jobs.filter(pl.col("split") == "test").select(
        pl.format("1000genome {}", "run").alias("run"), "worker", "label"
    )
    assert found.drop("log_odds").sort(*WORKER).equals(jobs.sort(*WORKER))
    workers, labels = on_jobs.workers_of(data, "test")
    one = found.filter((pl.col("run") == f"1000genome {workers[3].run}") & (pl.col("worker") == workers[3].name))
    assert one["log_odds"].to_list() == boosting.log_odds_of_jobs([workers[3]]).tolist()
    assert set(one["label"]) == {labels[3]}


def test_verdicts_of_workers_are_the_scores_of_the_detector_and_means_of_its_jobs(boosting, data):
    found = on_jobs.verdicts_of_workers(boosting, data)
    assert found["log_odds"].equals(boosting.score(on_jobs.workers_of(data, "test")[0])["log_odds"])
    means = on_jobs.verdicts_of_jobs(boosting, data).group_by(WORKER, maintain_order=True).agg(pl.mean("log_odds"))
    np.testing.assert_allclose(found["log_odds"], means["log_odds"])


def test_a_run_looks_as_its_highest_worker_does_and_is_anomalous_if_one_is():
    frame = pl.DataFrame(
        [("a 1", "x", 0, 3.0), ("a 1", "y", 1, -1.0), ("a 2", "x", 0, -2.0), ("a 2", "z", 0, -3.0)],
        schema=["run", "worker", "label", "log_odds"],
        orient="row",
    )
    assert on_jobs.verdicts_of_runs(frame).rows() == [("a 1", 1, 3.0), ("a 2", 0, -2.0)]


def test_a_row_of_a_table_has_what_it_is_about_and_intervals_that_hold_the_figures(boosting, data):
    verdicts = on_jobs.verdicts_of_workers(boosting, data)
    row = on_jobs.figures({"method": "m"}, verdicts)
    assert (row["method"], row["rows"], row["anomalous"]) == ("m", len(verdicts), verdicts["label"].sum())
    assert all(row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] for name in on_jobs.FIGURES)
    assert on_jobs.lead(verdicts, verdicts) == (0.0, 0.0, 0.0)


# --------------------------------------------------------------------------------------------------------------- early


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_what_was_known_after_some_jobs_is_the_verdict_of_the_workers_head(jobs, after, boosting, data):
    """A verdict that has seen one job more would look ahead."""
    workers, labels = on_jobs.workers_of(data, "test")
    found = on_jobs.as_known(after, jobs)
    np.testing.assert_allclose(found["log_odds"], boosting.score([one.head(jobs) for one in workers])["log_odds"])
    assert found["label"].to_list() == labels.tolist()
    assert found["jobs"].to_list() == [min(jobs, len(worker)) for worker in workers]


def test_a_transformer_speaks_after_each_job_as_it_would_have_without_the_later_ones(data):
    detector = fitted(partial(JobTransformer, settings=Settings(max_epochs=1)), data)
    workers, _ = on_jobs.workers_of(data, "test")
    found = on_jobs.as_known(on_jobs.after_each_job(detector, data), 2)
    heads = detector.score([worker.head(2) for worker in workers])["log_odds"]
    np.testing.assert_allclose(found["log_odds"], heads, atol=1e-4)


def test_the_share_of_a_run_that_has_passed_grows_with_the_jobs_of_a_worker_up_to_1(after):
    """Else a flag would save more of a run than was left of it."""
    assert after["passed"].is_between(0, 1).all()
    steps_of = after.select((pl.col("passed").diff() >= 0).over(WORKER).alias("grows"))
    assert steps_of["grows"].drop_nulls().all()
    assert set(after.group_by("run").agg(pl.col("passed").max())["passed"]) == {1.0}


def alarmed(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["run", "worker", "label", "jobs", "log_odds", "passed"], orient="row")


VALIDATION = alarmed(
    [("v 1", f"w{number}", 0, 1, float(number), 0.5) for number in range(19)]  # highest 0 to 18
    + [("v 1", "w0", 0, 2, -5.0, 0.9), ("v 2", "bad", 1, 1, 99.0, 0.5)]
)
TEST = alarmed(
    [
        ("a 1", "x", 1, 1, 17.0, 0.1),  # as high as the threshold is not above it
        ("a 1", "x", 1, 2, 17.5, 0.4),  # flagged here, with 0.6 of the run left
        ("a 1", "x", 1, 3, -9.0, 0.9),  # what is flagged stays so
        ("a 1", "y", 0, 1, 30.0, 0.2),  # a false alarm
        ("a 2", "x", 1, 1, 2.0, 0.5),  # missed; the same name in another run
        ("a 2", "z", 0, 1, 3.0, 0.5),
        ("a 2", "u", 1, 1, 20.0, 0.2),
        ("a 2", "v", 0, 1, -3.0, 0.5),
    ]
)


def test_alarms_as_soon_as_a_threshold_is_exceeded_worked_by_hand():
    """19 validation normals at 10%: floor(.1 * 20) - 1 = 1, the second highest, 17; the anomaly of 99 is no normal."""
    assert on_jobs.first_alarms(TEST, VALIDATION, 0.1) == {
        "threshold": 17.0,
        "f1": pytest.approx(2 * 2 / (3 + 3)),
        "recall": pytest.approx(2 / 3),
        "false_alarm_rate": pytest.approx(1 / 3),
        "jobs_until_flagged": 1.5,
        "saved": pytest.approx((0.6 + 0.8) / 2),
    }


def test_too_few_validation_normals_flag_nothing():
    """The n + 1 rule: of 19 normals 1% is none, and no threshold keeps the promise."""
    found = on_jobs.first_alarms(TEST, VALIDATION, 0.01)
    assert found["threshold"] == float("inf")
    assert (found["f1"], found["recall"], found["false_alarm_rate"]) == (0.0, 0.0, 0.0)
    assert (found["jobs_until_flagged"], found["saved"]) == (None, None)


def test_no_label_of_the_test_moves_the_threshold():
    other = TEST.with_columns(label=1 - pl.col("label"))
    found = [on_jobs.first_alarms(frame, VALIDATION, 0.1) for frame in (TEST, other)]
    assert found[0]["threshold"] == found[1]["threshold"]
    assert (found[1]["recall"], found[1]["false_alarm_rate"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_an_early_verdict_does_not_move_with_what_was_measured_later_in_the_run(data, tmp_path):
    """Medians over the whole run would look ahead at jobs that had not ended by then."""
    detector = fitted(partial(WorkerBoosting, "boosting-early"), data)
    place_in_run = pl.int_range(pl.len()).over("run")
    folder = shutil.copytree(data.folder, tmp_path / "genome")
    changed = pl.when(place_in_run < 14).then(pl.col(FEATURES)).otherwise(pl.col(FEATURES) * 9)
    data.jobs.with_columns(changed).write_parquet(folder / "jobs.parquet")
    set_manifest(folder)
    lines = data.whole("test", "lines")["lines"].explode().to_numpy()
    early = data.jobs.select(place_in_run < 14).to_series().to_numpy()[lines - 1]
    found, other = (
        on_jobs.after_each_job(detector, shown)["log_odds"].to_numpy() for shown in (data, open_folder(folder))
    )
    assert early.any() and found[early].tolist() == other[early].tolist()
    assert (found[~early] != other[~early]).any()


def test_after_its_last_stage_a_job_is_judged_as_the_whole_job(data):
    published = open_data("genome_published")
    detector = fitted(partial(Jobs, "boosting-early"), published)
    rows = on_jobs.after_each_stage(detector, published)
    assert [row["known until"] for row in rows] == list(STAGES) and len(rows) == 5
    assert rows[-1] == on_jobs.figures({"known until": "post script"}, on_jobs.verdicts_of_jobs(detector, published))
    assert rows[0]["average_precision"] != rows[-1]["average_precision"]


# ------------------------------------------------------------------------------------------------- texts, and how many


def test_jobs_drawn_by_chance_are_the_same_again_and_all_where_there_are_fewer(data):
    own = data.jobs.filter(pl.col("split") == "train")
    few, again, other = (on_jobs.jobs_of(data, "train", 40, seed) for seed in (3, 3, 4))
    assert few.equals(again) and not few.equals(other)
    assert len(few) == 40 and few.join(own, on=["run", "job"], how="semi").equals(few)
    assert all(on_jobs.jobs_of(data, "train", rows).equals(own) for rows in (len(own) + 1, None))


def test_single_jobs_are_shown_with_the_numbers_and_the_label_of_their_worker(data):
    """A label that went with another job would teach the opposite."""
    workers, labels = on_jobs.workers_of(data, "train")
    whole = {(one.run, one.name): (one, label) for one, label in zip(workers, labels, strict=True)}
    shown = on_jobs.shown_of(workers, labels, 60, seed=1)
    assert len(shown.sequences) == len(shown.labels) == 60 and set(shown.labels) == {0, 1}
    for single, label in zip(shown.sequences, shown.labels, strict=True):
        worker, own = whole[single.run, single.name]
        assert len(single) == len(single.numbers) == 1 and label == own
        assert any(np.array_equal(single.numbers[0], row, equal_nan=True) for row in worker.numbers)
    assert len(on_jobs.shown_of(workers, labels, 10**6, seed=1).labels) == sum(map(len, workers))


# ------------------------------------------------------------------------------------------- from workflow to workflow


def test_quantiles_of_numbers_lie_between_0_and_1_and_keep_order_and_gaps(data):
    workers, _ = on_jobs.workers_of(data, "train")
    ranked = on_jobs._Ranks(data)(workers)
    before, now = (np.concatenate([one.numbers for one in shown]) for shown in (workers, ranked))
    assert np.array_equal(np.isnan(before), np.isnan(now))
    assert np.nanmin(now) >= 0 and np.nanmax(now) <= 1
    column = NUMBERS.index("runtime")
    order = np.argsort(before[:, column], kind="stable")
    assert (np.diff(now[order, column]) >= 0).all() and now[order[-1], column] > 0.9


@pytest.mark.parametrize("own_quantiles", [False, True])
def test_without_jobs_of_the_target_none_of_its_labels_is_read(own_quantiles, data, tmp_path):
    """A verdict that moves with labels of the target would be no transfer."""
    target = shutil.copytree("data/montage", tmp_path / "montage")
    for name in ("jobs.parquet", "sequences.parquet"):
        pl.read_parquet(target / name).with_columns(label=1 - pl.col("label")).write_parquet(target / name)
    set_manifest(target)
    workers, labels = on_jobs.workers_of(data, "train")
    ranked = data if own_quantiles else None
    first, other = (
        on_jobs.transferred(Jobs("boosting"), workers, labels, NONE, judged_on, ranked)
        for judged_on in (open_data("montage"), open_folder(target))
    )
    assert first["log_odds"].to_list() == other["log_odds"].to_list()
    assert (first["label"] + other["label"]).unique().to_list() == [1]


def test_on_its_own_workflow_and_without_quantiles_a_transfer_is_the_plain_fit(data, boosting):
    workers, labels = on_jobs.workers_of(data, "train")
    assert on_jobs.transferred(Jobs("boosting"), workers, labels, NONE, data, None).equals(
        on_jobs.verdicts_of_jobs(boosting, data)
    )


# ----------------------------------------------------------------------------------------- through the steps of a run


def test_a_detector_of_jobs_goes_through_all_steps_with_one_row_a_worker(place, data, boosting):
    run = steps.complete(partial(Jobs, "boosting"), "genome", 0, 0.05, None)
    scores = pl.read_parquet(run.folder / "test_scores.parquet")
    assert scores["sequence_id"].to_list() == data.whole("test", "sequence_id")["sequence_id"].to_list()
    assert on_jobs.verdicts_of_a_run_folder(scores).equals(on_jobs.verdicts_of_workers(boosting, data))


def test_workers_of_equal_keys_are_scored_apart(place, tmp_path, monkeypatch, boosting):
    """Keys are bins of a runtime: two workers may share them all, and their numbers still differ."""
    folder = shutil.copytree(place / "data" / "genome", tmp_path / "data" / "alike")
    sequences = pl.read_parquet(folder / "sequences.parquet")
    alike = pl.lit([sequences["keys"][0][0]]).repeat_by(pl.col("keys").list.len()).list.eval(pl.element().explode())
    sequences.with_columns(keys=alike).write_parquet(folder / "sequences.parquet")
    set_manifest(folder, name="alike")
    monkeypatch.chdir(tmp_path)
    run = steps.complete(partial(Jobs, "boosting"), "alike", 0, 0.05, None)
    test = open_data("alike").split("test", "keys", "lines")
    assert test["keys"].list.join(" ").n_unique() < len(test)
    found = pl.read_parquet(run.folder / "test_scores.parquet")["log_odds"]
    expected = boosting.score(open_data("alike").workers(test["lines"].to_list()))["log_odds"]
    assert found.to_list() == expected.to_list()
    assert found.n_unique() > test["keys"].list.join(" ").n_unique()


def test_a_changed_table_of_jobs_is_refused(place, tmp_path):
    """Numbers are what is learned: runs on other numbers must not pass for runs on these."""
    folder = shutil.copytree(place / "data" / "genome", tmp_path / "genome")
    before = open_folder(folder).manifest["data_hash"]
    pl.read_parquet(folder / "jobs.parquet").with_columns(pl.col("runtime") * 2).write_parquet(folder / "jobs.parquet")
    with pytest.raises(BadInput, match="was changed after it was made"):
        open_folder(folder)
    set_manifest(folder)
    assert open_folder(folder).manifest["data_hash"] != before


def test_the_answer_to_nothing_is_asked_of_the_empty_text_and_of_a_job_without_numbers():
    """The publication asked untrained heads alone, so it measured how they were drawn."""
    asked = []

    class Leaning:
        def __init__(self, seed: int) -> None:
            self.seed = seed

        def fit(self, *_) -> None:
            pass

        def score(self, sequences):
            asked.append([text for (text,) in sequences])
            return pl.DataFrame({"log_odds": [float(self.seed), 1.0]})

    train = pl.DataFrame({name: [1.0, 2.0] for name in FEATURES} | {"type": ["a", "b"]})
    found = on_jobs.log_odds_of_nothing(Leaning, NONE, NONE, JobTexts("published", train))
    assert asked == [["", "".join(f"{name} is nan " for name in FEATURES)]] * 5
    assert found.row(0) == ("empty", 2.0, pytest.approx(2.5**0.5), 0.0, 4.0)
    assert found.row(1) == ("no number is known", 1.0, 0.0, 1.0, 1.0)


def test_figures_as_published_worked_by_hand():
    verdicts = pl.DataFrame({"run": ["a", "a", "b", "b"], "label": [1, 1, 0, 0], "log_odds": [1.0, -1.0, 2.0, -2.0]})
    row = on_jobs.figures_as_published({"method": "m"}, verdicts)
    assert (row["accuracy"], row["precision"], row["recall"], row["f1"]) == (0.5, 0.5, 0.5, 0.5)

"""Detectors that read jobs: the same after loading and alone, blind to what is later, and better than chance."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import f1_score

import parse_logs
from core.data import Labeled, open_folder
from core.errors import BadInput
from core.jobs import FEATURES, STAGES, Worker
from methods.supervised.job_transformer import JobTransformer, Settings
from methods.supervised.jobs import JOBS, Jobs, best_threshold, until, with_types
from methods.supervised.workers import WORKERS, WorkerBoosting
from parsing.workflows.simulate import write_runs
from runs import steps

QUICK = Settings(max_epochs=4, width=16, layers=1)
DETECTORS = {f"jobs/{name}": partial(Jobs, name) for name in JOBS}
DETECTORS |= {f"workers/{name}": partial(WorkerBoosting, name) for name in WORKERS}
DETECTORS |= {"workers/transformer": partial(JobTransformer, settings=QUICK)}
EARLY = ("workers/boosting-early", "workers/transformer")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("jobs")
    log = write_runs(place / "log", "1000genome", 24)
    assert parse_logs.main(["1000genome", "--log", str(log), "--out", str(place / "1000genome")]) == 0
    return open_folder(place / "1000genome")


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """Each detector after training, made once."""
    made = {}

    def fit(name: str):
        if name not in made:
            made[name] = DETECTORS[name](seed=0, templates=data.templates)
            parts = (steps.learned(data, split, made[name]) for split in ("train", "validation"))
            made[name].fit(*parts, tmp_path_factory.mktemp("checkpoints"))
        return made[name]

    return fit


def held_out(data) -> Labeled:
    return steps.learned(data, "test", Jobs("boosting"))


def scores(detector, workers) -> np.ndarray:
    return detector.score(workers)["log_odds"].to_numpy()


@pytest.mark.parametrize("name", DETECTORS)
def test_loaded_and_alone_it_judges_as_before(name, data, fitted, tmp_path):
    detector, workers = fitted(name), held_out(data).sequences
    found = scores(detector, workers)
    assert len(found) == len(workers) and np.isfinite(found).all()
    detector.save(tmp_path / "model")
    train = steps.learned(data, "train", detector)
    np.testing.assert_allclose(scores(type(detector).load(tmp_path / "model", train), workers), found, atol=1e-5)
    alone = np.concatenate([scores(detector, [worker]) for worker in workers[:8]])
    np.testing.assert_allclose(alone, found[:8], atol=1e-5)


@pytest.mark.parametrize("name", ["jobs/boosting-context", "workers/boosting", "workers/boosting-early"])
def test_throttled_workers_of_runs_held_out_are_found(name, data, fitted):
    part = held_out(data)
    assert f1_score(part.labels, scores(fitted(name), part.sequences) > 0) >= 0.9


@pytest.mark.parametrize("name", EARLY)
def test_an_early_verdict_does_not_depend_on_what_comes_later(name, data, fitted):
    worker = max(held_out(data).sequences, key=len)
    changed = worker.numbers.copy()
    changed[3:] = 7.0
    later = replace(worker, numbers=changed)
    np.testing.assert_allclose(scores(fitted(name), [worker.head(3)]), scores(fitted(name), [later.head(3)]), atol=1e-6)
    if name == "workers/transformer":
        after = fitted(name).score_prefixes([later])[0]
        np.testing.assert_allclose(after[2], scores(fitted(name), [worker.head(3)])[0], atol=1e-5)
        assert len(after) == len(worker)


def test_an_interrupted_transformer_ends_as_one_that_ran_through(data, tmp_path):
    train, check = (steps.learned(data, split, JobTransformer()) for split in ("train", "validation"))
    through = JobTransformer(settings=QUICK)
    through.fit(train, check, tmp_path / "a")
    begun = JobTransformer(settings=QUICK)
    begun._learn = _stopping(begun._learn)
    with pytest.raises(KeyboardInterrupt):
        begun.fit(train, check, tmp_path / "b")
    again = JobTransformer(settings=QUICK)
    again.fit(train, check, tmp_path / "b")
    workers = held_out(data).sequences
    np.testing.assert_allclose(scores(again, workers), scores(through, workers), atol=1e-6)


def _stopping(learn):
    """Stop in the third look at validation, as Ctrl-C would."""

    def stopped(batches, loss, validate, checkpoints):
        looks = []

        def look():
            looks.append(1)
            if len(looks) == 3:
                raise KeyboardInterrupt
            return validate()

        return learn(batches, loss, look, checkpoints)

    return stopped


# ------------------------------------------------------------------------------------------------------- hand-worked


def test_the_threshold_is_the_column_and_the_value_of_highest_f1():
    numbers = np.array([[5, 1], [4, 2], [3, 9], [2, 8], [1, np.nan]], np.float32)
    rule = best_threshold(numbers, np.array([0, 0, 1, 1, 0]))
    assert rule.column == 1 and 2 <= rule.value < 8
    assert (rule.above(numbers) > 0).tolist() == [False, False, True, True, False]


def test_a_stage_hides_what_is_known_after_it_and_nothing_else():
    numbers = np.arange(9.0)[None]
    seen = until("stage-in", numbers)[0]
    known = {name for stage in ("queue", "stage-in") for name in STAGES[stage]}
    assert {name for name, value in zip(FEATURES, seen, strict=True) if not np.isnan(value)} == known
    np.testing.assert_array_equal(until("post script", numbers), numbers)


def test_a_type_that_training_never_saw_is_missing_and_no_other_type(data, fitted):
    detector = fitted("jobs/boosting-context")
    known = detector.types.keys[0]
    worker = Worker("w", 1, "a", (known, "never seen"), np.zeros((2, 3), np.float32))
    codes = with_types(detector.types, [worker], worker.numbers)[:, -1]
    assert codes[0] == 0 and np.isnan(codes[1])


def test_the_lookup_knows_the_workers_of_training_and_of_others_the_share_alone(data, fitted):
    train = steps.learned(data, "train", Jobs("lookup"))
    found = scores(fitted("jobs/lookup"), train.sequences)
    assert ((found > 0) == (train.labels == 1)).all()
    assert np.ptp(scores(fitted("jobs/lookup"), held_out(data).sequences)) < 1e-9


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("make", [Jobs, WorkerBoosting])
def test_a_name_that_is_none_is_refused_with_those_that_are(make):
    with pytest.raises(BadInput, match="boosting"):
        make("forest")


@pytest.mark.parametrize("name", ["jobs/boosting", "workers/boosting", "workers/transformer"])
def test_labels_of_one_class_are_refused(name, data, tmp_path):
    train = steps.learned(data, "train", Jobs("boosting"))
    with pytest.raises(BadInput, match="no labeled anomaly"):
        DETECTORS[name](seed=0).fit(train._replace(labels=np.zeros_like(train.labels)), train, tmp_path)


def test_workers_of_a_single_run_are_refused(data, tmp_path):
    train = steps.learned(data, "train", WorkerBoosting("boosting"))
    one = [replace(worker, run=1, workflow="w") for worker in train.sequences]
    with pytest.raises(BadInput, match="several runs"):
        WorkerBoosting("boosting").fit(train._replace(sequences=one), train, tmp_path)


def test_a_detector_of_another_kind_is_not_loaded(fitted, tmp_path):
    fitted("jobs/boosting").save(tmp_path / "model")
    with pytest.raises(BadInput, match="not of workers"):
        WorkerBoosting.load(tmp_path / "model")

"""One contract for every detector of workers by their jobs, and what each of them must not do."""

from functools import partial

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import f1_score

import parse_logs
from core.data import Data, Labeled, open_folder
from core.errors import BadInput
from core.jobs import FEATURES, IN_RUN, NUMBERS, OWN, STAGES, Worker, numbers_of, workers_of
from core.keys import KeyNumbers
from methods.parts.labels import SUREST
from methods.supervised.job_transformer import JobTransformer, Settings
from methods.supervised.jobs import JOBS, Jobs, best_threshold, until, with_types
from methods.supervised.workers import WORKERS, WorkerBoosting
from parsing.workflows.simulate import write_runs
from runs.steps import learned
from tests.methods.test_methods import count_steps

SMALL = Settings(max_epochs=3)
DETECTORS = {f"jobs/{name}": partial(Jobs, name) for name in JOBS}
SLOW = {f"workers/{name}": partial(WorkerBoosting, name) for name in WORKERS}
SLOW |= {"workers/transformer": partial(JobTransformer, settings=SMALL)}
CASES = [*DETECTORS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
DETECTORS |= SLOW


def simulated(folder, workflow: str) -> Data:
    place = folder / "data" / workflow
    log = write_runs(folder / "flowbench", workflow, 24, 0)
    assert parse_logs.main([workflow, "--log", str(log), "--out", str(place)]) == 0
    return open_folder(place)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Data:
    return simulated(tmp_path_factory.mktemp("genome"), "1000genome")


@pytest.fixture(scope="module")
def train(data) -> Labeled:
    return learned(data, "train", Jobs("lookup"))


@pytest.fixture(scope="module")
def validation(data) -> Labeled:
    return learned(data, "validation", Jobs("lookup"))


@pytest.fixture(scope="module")
def held_out(data, validation) -> Labeled:
    """The workers of every run that nothing is fitted on."""
    test = learned(data, "test", Jobs("lookup"))
    return Labeled(test.sequences + validation.sequences, np.concatenate([test.labels, validation.labels]))


@pytest.fixture(scope="module")
def fitted(train, validation, tmp_path_factory):
    """A function from a name to its detector, trained once."""
    made = {}

    def of(name: str):
        if name not in made:
            made[name] = DETECTORS[name](seed=0)
            made[name].fit(train, validation, tmp_path_factory.mktemp("checkpoints"))
        return made[name]

    return of


def log_odds(detector, workers) -> np.ndarray:
    return detector.score(workers)["log_odds"].to_numpy()


# ----------------------------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize("name", CASES)
def test_scores_are_one_finite_row_a_worker_and_no_job_is_a_stranger(name, fitted, held_out):
    detector = fitted(name)
    scores = detector.score(held_out.sequences)
    assert name == f"{detector.method}/{detector.name}"
    assert (detector.reads, detector.learns) == ("jobs", "labels")
    assert detector.describe() == DETECTORS[name](seed=1).describe()
    assert detector.parameters > 0
    assert scores.columns == ["score", "log_odds", "has_unseen_key"]
    assert len(scores) == len(held_out.labels)
    assert np.isfinite(scores["log_odds"].to_numpy()).all()
    assert not scores["has_unseen_key"].any()


@pytest.mark.parametrize("name", CASES)
def test_scores_are_equal_alone_in_a_batch_and_after_loading(name, fitted, train, held_out, tmp_path):
    detector, several = fitted(name), held_out.sequences[:8]
    together = log_odds(detector, several)
    alone = np.concatenate([log_odds(detector, [one]) for one in several])
    detector.save(tmp_path / "model")
    loaded = type(detector).load(tmp_path / "model", train)
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(log_odds(loaded, several), together, atol=1e-5)
    assert loaded.parameters == detector.parameters


@pytest.mark.parametrize("name", CASES)
def test_a_model_of_another_workflow_or_method_is_refused_before_it_judges_anything(name, fitted, train, tmp_path):
    detector, other = fitted(name), Worker("montage", 1, "worker1", ("mAdd",), train.sequences[0].numbers[:1])
    wrong = WorkerBoosting if isinstance(detector, Jobs) else Jobs
    detector.save(tmp_path / "model")
    with pytest.raises(BadInput, match="another data set"):
        type(detector).load(tmp_path / "model", Labeled([other], np.zeros(1, np.int8)))
    with pytest.raises(BadInput, match=f"a detector of {detector.method}, not of {wrong.method}"):
        wrong.load(tmp_path / "model", train)
    with pytest.raises(BadInput, match="holds no trained detector"):
        type(detector).load(tmp_path / "nothing", train)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if "boosting" in name])
def test_trees_are_kept_without_the_jobs_that_they_were_learned_from(name, fitted, tmp_path):
    """A shared model would give the training away; and loading would take as long as training."""
    fitted(name).save(tmp_path / "model")
    kept = load_file(tmp_path / "model" / "weights.safetensors")
    assert kept and not {"numbers", "labels", "lengths"} & set(kept)


def test_a_saved_transformer_is_not_read_as_boosting_which_has_the_same_method(fitted, train, tmp_path):
    fitted("workers/transformer").save(tmp_path / "model")
    with pytest.raises(BadInput, match="do not fit together"):
        WorkerBoosting.load(tmp_path / "model", train)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", DETECTORS)
def test_one_class_alone_is_one_sentence(name, label, train, validation, tmp_path):
    alone = train._replace(labels=np.full(len(train.labels), label, np.int8))
    with pytest.raises(BadInput, match=r"no labeled (anomaly|normal)"):
        DETECTORS[name](seed=0).fit(alone, validation, tmp_path)


@pytest.mark.parametrize("make", [Jobs, WorkerBoosting])
def test_an_unknown_name_is_one_sentence_with_the_known_ones(make):
    with pytest.raises(BadInput, match=r"'forest'; take one of .*boosting-early"):
        make("forest")


@pytest.mark.parametrize("name", ["jobs/boosting-context", pytest.param("workers/boosting", marks=pytest.mark.slow)])
def test_it_finds_the_throttled_workers_of_runs_that_it_never_saw(name, fitted, held_out):
    assert 0 < held_out.labels.sum() < len(held_out.labels)
    assert f1_score(held_out.labels, log_odds(fitted(name), held_out.sequences) > 0) >= 0.9


def test_a_worker_has_the_mean_of_its_jobs(fitted, held_out):
    detector, worker = fitted("jobs/boosting"), held_out.sequences[0]
    jobs = detector.log_odds_of_jobs([worker])
    assert jobs.shape == (len(worker),)
    assert log_odds(detector, [held_out.sequences[1], worker])[1] == pytest.approx(jobs.mean(), abs=1e-9)


# ---------------------------------------------------------------------------------------------------------- single ones


def test_the_best_threshold_is_the_column_and_value_of_highest_f1():
    nan = np.nan
    numbers = np.array([[7, 1, nan], [7, 2, nan], [7, 3, nan], [7, 4, nan], [7, 5, nan], [7, nan, nan]])
    rule = best_threshold(numbers, np.array([0, 0, 0, 1, 1, 1]))
    # Of the 200 quantiles of 1 to 5, 1 + 4 i / 199, the first above 3 is that of i = 100: two of three are found.
    assert (rule.column, rule.value, rule.scale) == (1, pytest.approx(1 + 400 / 199), pytest.approx(2.0))
    above = rule.above(numbers)
    assert (above > 0).tolist() == [False, False, False, True, True, False]
    assert above[4] == pytest.approx((4 - 400 / 199) / 2)
    assert above[5] == -SUREST  # what was not measured is never flagged


def test_lookup_gives_a_worker_of_training_its_label_and_any_other_the_share_of_jobs(fitted, train, held_out):
    detector = fitted("jobs/lookup")
    np.testing.assert_array_equal(log_odds(detector, train.sequences), np.where(train.labels == 1, SUREST, -SUREST))
    lengths = np.array([*map(len, train.sequences)])
    share = (lengths * train.labels).sum() / lengths.sum()
    np.testing.assert_allclose(log_odds(detector, held_out.sequences), np.log(share / (1 - share)), atol=1e-9)


def test_a_type_that_training_never_saw_is_missing_and_not_the_last_one():
    """-1 would be refused as a category or, worse, be one of training."""
    worker = Worker("flow", 1, "w", ("b", "new", "a"), np.arange(6.0).reshape(3, 2))
    found = with_types(KeyNumbers(["a", "b"]), [worker], worker.numbers)
    np.testing.assert_array_equal(found, [[1, 0, 1], [np.nan, 2, 3], [0, 4, 5]])


@pytest.mark.parametrize("name", CASES)
def test_new_types_long_workers_and_jobs_without_a_measurement_are_judged(name, fitted, held_out):
    known = held_out.sequences[0]
    strange = Worker("flow", 99, "w", ("new", *known.types[1:]), known.numbers)
    longer = Worker("flow", 99, "w", known.types * 200, np.tile(known.numbers, (200, 1)))  # more than 512 jobs
    empty = Worker("flow", 99, "w", known.types[:1], np.full((1, len(NUMBERS)), np.nan, np.float32))
    found = log_odds(fitted(name), [strange, longer, known, empty])
    assert np.isfinite(found).all()
    assert found[2] == pytest.approx(log_odds(fitted(name), [known])[0], abs=1e-5)


def test_workers_of_one_run_alone_are_one_sentence_because_folds_are_of_runs(train, tmp_path):
    one = [Worker(row.workflow, 1, row.name, row.types, row.numbers) for row in train.sequences]
    with pytest.raises(BadInput, match="several runs"):
        WorkerBoosting("boosting").fit(train._replace(sequences=one), train, tmp_path)


# ---------------------------------------------------------------------------------------------------------- early ones


@pytest.mark.parametrize(
    ("stage", "hidden"),
    [
        ("queue", set(FEATURES) - {"wms_delay", "queue_delay"}),
        ("stage-in", {name for name in FEATURES if name.startswith(("stage_out", "runtime", "post", "kick"))}),
        ("stage-out", {"runtime", "kickstart_executables_cpu_time", "post_script_delay"}),
        ("runtime", {"post_script_delay"}),
        ("post script", set()),
    ],
)
def test_until_a_stage_the_later_numbers_alone_are_hidden(stage, hidden):
    numbers = np.arange(18.0).reshape(2, 9)
    found = until(stage, numbers)
    np.testing.assert_array_equal(np.isnan(found), [[name in hidden for name in FEATURES]] * 2)
    assert (found == numbers)[~np.isnan(found)].all()


def test_after_a_stage_later_numbers_change_no_verdict_of_boosting_early(fitted, held_out):
    detector, worker = fitted("jobs/boosting-early"), held_out.sequences[0]
    later = worker.numbers.copy()
    later[:, [FEATURES.index("runtime"), FEATURES.index("post_script_delay")]] = 1e6
    changed = Worker(worker.workflow, worker.run, worker.name, worker.types, later)
    before = [detector.log_odds_after(stage, [one]) for stage in STAGES for one in (worker, changed)]
    for row, stage in enumerate(STAGES):
        assert (before[2 * row] == before[2 * row + 1]).all() == (stage in ("queue", "stage-in", "stage-out"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["workers/boosting-early", "workers/transformer"])
def test_jobs_that_end_later_change_no_early_verdict(name, fitted, data):
    """Later jobs of the whole run are changed, as a median over all of it would give them away."""
    rows = max(data.whole("test", "lines")["lines"].to_list(), key=len)  # the host alone would have no other of a type
    jobs, known = data.jobs, 2
    later = pl.int_range(pl.len()) >= rows[known - 1]  # rows are counted from 1
    changed = jobs.with_columns(pl.when(later).then(pl.col(FEATURES) * 9 + 1).otherwise(pl.col(FEATURES)))
    before, after = (workers_of(frame, numbers_of(frame), [rows])[0].head(known) for frame in (jobs, changed))
    in_run = [NUMBERS.index(one) for one in IN_RUN]
    assert not np.array_equal(before.numbers[:, in_run], after.numbers[:, in_run], equal_nan=True)
    np.testing.assert_array_equal(before.numbers[:, : len(OWN)], after.numbers[:, : len(OWN)])
    np.testing.assert_allclose(log_odds(fitted(name), [after]), log_odds(fitted(name), [before]), atol=1e-6)


@pytest.mark.slow
def test_one_pass_of_the_transformer_is_what_each_begin_gets_alone(fitted, held_out):
    detector, several = fitted("workers/transformer"), held_out.sequences[:5]
    for worker, found in zip(several, detector.score_prefixes(several), strict=True):
        heads = [worker.head(jobs) for jobs in range(1, len(worker) + 1)]
        np.testing.assert_allclose(found, log_odds(detector, heads), atol=1e-5)


@pytest.mark.slow
def test_an_interrupted_transformer_goes_on_to_the_same_scores(train, validation, held_out, tmp_path, monkeypatch):
    """Killed in its third epoch it must neither start over nor end elsewhere."""
    through, cut, resumed = (JobTransformer(1, settings=SMALL) for _ in range(3))
    steps = count_steps(monkeypatch)
    through.fit(train, validation, tmp_path / "through")
    total, steps.limit = steps.count, steps.count + 5  # two steps an epoch
    with pytest.raises(KeyboardInterrupt):
        cut.fit(train, validation, tmp_path / "cut")
    steps.limit, before = None, steps.count
    resumed.fit(train, validation, tmp_path / "cut")
    assert steps.count - before < total
    several = held_out.sequences[:8]
    np.testing.assert_allclose(log_odds(resumed, several), log_odds(through, several), atol=1e-5)

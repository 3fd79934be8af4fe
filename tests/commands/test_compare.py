"""Comparing detectors: what is run, what is passed over, and the arithmetic of differences and agreement."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from commands import compare, supervised
from core.data import open_data
from core.errors import BadInput
from evaluation import compare as comparison
from evaluation import ledger, metrics, rules
from evaluation.show import compare_plots, label_plots
from methods.classical import Classical
from methods.deeplog import DeepLog, Settings
from methods.next_key import NextKey
from methods.parts.recipes import TrainingSettings
from methods.supervised.counts import Counts
from runs import steps, task
from runs.folder import LEDGER, run_folder
from tests.changed import rewrite

QUICK = partial(DeepLog, settings=Settings(max_epochs=2))


class Fails:
    """A detector that cannot be fitted."""

    method, name = "fails", "always"
    reads, learns = "keys", "normals"

    def __init__(self, seed=0, *, templates=None):
        self.seed = seed

    def describe(self):
        return {}

    def fit(self, train, validation, checkpoints):
        print("about to fail")
        raise ValueError("it cannot")


# ------------------------------------------------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sample):
    """Two detectors on the sample, of which one fails: the folder, and the status table."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(sample, folder / "data" / "sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        detectors = {"deeplog/lstm": QUICK, "fails/always": Fails}
        return folder, compare.run_missing(detectors, "sample", [0], 0.01, 0.03)


@pytest.fixture
def compared(finished, workspace):
    """The status table; the working folder is a copy of the one that it is of."""
    shutil.copytree(finished[0] / "results", workspace / "results")
    return finished[1]


@pytest.mark.slow
def test_a_failed_run_stays_visible_and_does_not_stop_the_others(compared, workspace):
    assert compared["status"].to_list() == ["done", "failed: ValueError: it cannot"]
    failed = ledger.failures(ledger.read(LEDGER)).row(0, named=True)
    assert (failed["method"], failed["model"], failed["status"]) == ("fails", "always", "failed: ValueError: it cannot")
    assert "about to fail" in (workspace / "results" / "sample" / "fails-always-s0.log").read_text()


def test_a_killed_run_is_not_explained_by_what_it_printed_last(tmp_path):
    """Out of memory it had just printed an epoch, which as a reason would send a person the wrong way."""
    log = tmp_path / "run.log"
    log.write_text("epoch 3 training loss 0.1\n")
    assert task.reason(log, -9).startswith("killed by signal 9")
    assert task.reason(log, 1) == "epoch 3 training loss 0.1"
    assert task.reason(tmp_path / "none.log", 1) == "exit code 1"


def test_a_method_that_fails_with_one_seed_leaves_nothing_to_compare(workspace, monkeypatch):
    """The table across seeds would be empty, and the notebook would end in a traceback."""
    ends = {0: "done", 1: "failed: it cannot"}
    monkeypatch.setattr(
        compare,
        "run_all",
        lambda wanted, engine: pl.DataFrame(
            [{"method": "a/b", "data": run.folder, "seed": run.seed, "status": ends[run.seed]} for run in wanted]
        ),
    )
    with pytest.raises(BadInput, match=r"with every seed; .*sample-split1/deeplog-lstm-s1.log says why"):
        compare.run_missing({"deeplog/lstm": QUICK}, "sample", [0, 1], 0.01, None)


@pytest.mark.slow
def test_finished_runs_are_passed_over_until_another_rate_is_asked_for(compared, capsys):
    path = run_folder("sample", "lstm", 0, "deeplog") / "training.csv"
    before = path.stat().st_mtime_ns
    again = partial(compare.run_missing, {"deeplog/lstm": QUICK}, "sample", [0])
    assert again(0.01, 0.03)["status"].to_list() == ["done before"]
    assert again(0.05, 0.03)["status"].to_list() == ["done"]
    assert path.stat().st_mtime_ns == before, "only the verdicts are made again, the model is kept"
    assert set(ledger.read(LEDGER)["alpha"].drop_nulls()) == {0.05}


@pytest.mark.slow
def test_every_rule_of_a_run_is_in_the_ledger_with_its_size_and_at_both_prevalences(compared):
    rows = ledger.read(LEDGER).filter(pl.col("method") == "deeplog")
    assert set(rows["rule"]) == {*rules.RANK_RULES, rules.PAPER_RULE}
    assert rows["prevalence"].unique().sort(nulls_last=True).to_list() == [0.03, None]
    assert rows["parameters"].null_count() == 0
    assert rows["best_f1"].null_count() == 0


@pytest.mark.slow
def test_the_language_model_gets_the_figures_of_its_notebooks(workspace):
    """Compared through another door it must not be another result."""
    settings = TrainingSettings(max_epochs=2)
    run = steps.complete(partial(NextKey, "tiny-llama", settings=settings), "sample", 0, 0.01, None)
    data = open_data("sample")
    alone = NextKey("tiny-llama", 0, settings=settings)
    alone.fit(data.keys("train"), data.keys("validation"), workspace / "checkpoints")
    scores = pl.read_parquet(run.folder / "test_scores.parquet")
    np.testing.assert_allclose(
        scores["tail_probability"].to_numpy(), alone.score(data.keys("test"))["tail_probability"].to_numpy(), atol=1e-4
    )


@pytest.mark.slow
def test_a_name_that_is_not_there_or_not_its_own_is_a_sentence(workspace):
    with pytest.raises(BadInput, match="no method 'deeplog'; choose among deeplog/lstm"):
        compare.choose({"deeplog/lstm": DeepLog}, ["deeplog"])
    with pytest.raises(BadInput, match="is deeplog/lstm; name it so"):
        compare.run_missing({"mine/lstm": DeepLog}, "sample", [0], 0.01, None)
    with pytest.raises(BadInput, match="No run on data/sample"):
        compare.run_missing({"fails/always": Fails}, "sample", [0], 0.01, None)


def test_missing_data_and_missing_labels_are_sentences(workspace, capsys):
    assert compare.main(["--data", "nothing"]) == 2
    assert "data/nothing" in capsys.readouterr().err
    folder = Path("data/sample")
    rewrite(folder, pl.read_parquet(folder / "sequences.parquet").with_columns(label=pl.lit(None, pl.Int8)))
    with pytest.raises(BadInput, match="no labeled anomaly"):
        compare.run_missing({"deeplog/lstm": QUICK}, "sample", [0], 0.01, None)


# --------------------------------------------------------------------------------------------------- rules on scores


def scored(values, unseen, seen_counts) -> pl.DataFrame:
    return pl.DataFrame({"score": values, "has_unseen_key": unseen, "count_vector_seen": seen_counts})


def test_a_score_is_calibrated_like_a_tail_probability_worked_by_hand():
    """99 validation normals at 5%: floor(.05 * 100) - 1 = 4 of them may be flagged, those above the fifth largest."""
    validation = scored([float(value) for value in range(99)], [False] * 99, [False] * 99)
    decision = rules.calibrate(validation, 7, alpha=0.05)
    assert set(decision["rules"]) == set(rules.SCORE_RULES)
    assert decision["rules"]["score"]["threshold"] == 94.0
    test = scored([94.0, 94.5, 99.0, 1.0], [False, False, False, True], [False, False, True, True])
    flags = rules.apply(test, decision)
    assert flags["flagged_score"].to_list() == [False, True, True, True]
    assert flags["flagged_score_and_counts"].to_list() == [False, True, False, True]


def test_too_few_validation_normals_flag_unseen_keys_only():
    decision = rules.calibrate(scored([1.0, 2.0], [False] * 2, [False] * 2), 7, alpha=0.01)
    assert decision["rules"]["score"]["threshold"] is None
    flags = rules.apply(scored([9.0, 0.0], [False, True], [False] * 2), decision)
    assert flags["flagged_score"].to_list() == [False, True]


@pytest.mark.parametrize("rule", rules.SCORE_RULES)
def test_the_order_of_a_score_rule_puts_what_it_flags_first(rule):
    """Else its ranking figures would be those of another detector than its verdicts."""
    chance = np.random.default_rng(0)
    frame = scored(chance.normal(size=500), chance.random(500) < 0.1, chance.random(500) < 0.5)
    decision = rules.calibrate(scored(chance.normal(size=200), [False] * 200, [False] * 200), 7, alpha=0.05)
    flagged = rules.apply(frame, decision)[f"flagged_{rule}"].to_numpy()
    order = rules.abnormality(frame, rule)
    assert order[flagged].min() > order[~flagged].max()


def test_best_f1_is_the_best_of_all_thresholds():
    chance = np.random.default_rng(1)
    labels = (chance.random(200) < 0.2).astype(int)
    order = chance.normal(size=200) + labels
    every = max(f1_score(labels, order >= threshold) for threshold in order)
    assert metrics.best_f1(order, labels) == pytest.approx(every)
    assert metrics.best_f1(order, np.zeros(200)) is None


# --------------------------------------------------------------------------------------------------------- arithmetic


F1 = pl.DataFrame({"seed": [0, 1, 2], "a": [0.9, 0.8, 0.7], "b": [0.8, 0.7, 0.65], "c": [0.1, 0.2, 0.9]})


def test_differences_are_paired_by_seed_worked_by_hand():
    row = comparison.differences(F1, "b").filter(pl.col("method") == "a").row(0, named=True)
    gaps = np.array([0.1, 0.1, 0.05])
    half = 4.302653 * gaps.std(ddof=1) / np.sqrt(3)  # Student's 97.5% quantile with 2 degrees of freedom
    assert row["mean"] == pytest.approx(gaps.mean())
    assert (row["from"], row["to"]) == (pytest.approx(gaps.mean() - half), pytest.approx(gaps.mean() + half))
    assert row["wins"] == 3


def test_critical_difference_is_that_of_demsar():
    """His example, section 3.2.2: 4 classifiers on 14 data sets, critical difference 1.25."""
    chance = np.random.default_rng(0)
    found = comparison.critical_difference(
        pl.DataFrame({"seed": range(14)} | {name: chance.random(14) for name in "abcd"})
    )
    assert found["difference"] == pytest.approx(1.25, abs=0.005)
    assert sum(found["ranks"].values()) == pytest.approx(10)


def test_ranks_share_ties_and_one_seed_has_no_critical_difference():
    tied = comparison.critical_difference(F1.with_columns(b=pl.col("a")))
    assert tied["ranks"] == {"a": pytest.approx(11 / 6), "b": pytest.approx(11 / 6), "c": pytest.approx(7 / 3)}
    assert comparison.critical_difference(F1.head(1)) is None
    assert comparison.critical_difference(F1.select("seed", "a", "b")) is None


def test_bars_join_what_cannot_be_told_apart_and_nothing_else():
    assert compare_plots._groups([1.0, 1.5, 2.4, 4.0], 1.0) == [(0, 1), (1, 2)]
    assert compare_plots._groups([1.0, 3.0, 5.0], 1.0) == []
    assert compare_plots._groups([1.0, 1.1, 1.2], 1.0) == [(0, 2)]


def test_what_one_finds_alone_worked_by_hand():
    flagged = pl.DataFrame({"a": [True, True, False, True], "b": [True, False, False, False]})
    found = comparison.alone(flagged, np.array([1, 1, 1, 0])).rows_by_key("method", named=True, unique=True)
    assert found["a"]["anomalies_found"] == 2
    assert found["a"]["found_by_it_only"] == 1
    assert found["b"]["missed_by_it_only"] == 1
    assert (found["a"]["false_alarms"], found["a"]["false_alarms_of_it_only"]) == (1, 1)
    test = pl.DataFrame({"sequence_id": list("wxyz"), "keys": [["k"] * 20] * 4})
    examples = comparison.examples(flagged, np.array([1, 1, 1, 0]), test)
    assert examples["sequence_id"].to_list() == ["x"]
    assert examples["keys"][0].endswith(" ...")


def test_agreement_is_one_with_itself_and_none_by_chance():
    chance = np.random.default_rng(0)
    flagged = pl.DataFrame({name: chance.random(4_000) < 0.3 for name in "ab"})
    kappa = comparison.agreement(flagged)
    assert kappa[0, 0] == kappa[1, 1] == 1.0
    assert abs(kappa[0, 1]) < 0.05


def test_the_sentence_names_who_does_not_beat_what_learns_nothing():
    table = pl.DataFrame(
        {
            "method": ["a/x", "none", "b/y", "a/x", "published: c"],
            "rule": ["score (default)", "trivial: bigram", "score (default)", "top", "p"],
            "f1": [0.9, 0.8, 0.7, 0.6, 0.99],
        }
    )
    sentence = comparison.standing(table)
    assert "learns nothing is bigram, F1 0.800" in sentence
    assert "Default verdicts above it: a/x (0.900)." in sentence
    assert "Not above it: b/y (0.700)." in sentence


def test_the_legend_of_the_figure_of_the_readme_has_the_colors_of_its_bars():
    """All three were blue, none of which any of the bars of two data sets had."""
    figure = compare_plots.headline({"a": {"ours": 0.9, "floor": 0.8, "rival": None}})
    (axes,), (legend,) = figure.axes, figure.legends
    shown = {
        text.get_text(): patch.get_facecolor() for text, patch in zip(legend.texts, legend.get_patches(), strict=True)
    }
    assert list(shown) == ["ours", "floor", "rival"] and len(set(shown.values())) == 3
    assert [bar.get_facecolor() for bar in axes.patches] == [shown["ours"], shown["floor"]]


def test_figures_of_one_seed_and_of_several_are_drawn(tmp_path):
    compare_plots.f1_points(F1, F1.select("seed", "a")).savefig(tmp_path / "points.png")
    found = comparison.critical_difference(F1)
    compare_plots.critical_difference(found, "title").savefig(tmp_path / "difference.png")
    orders = {name: np.arange(4.0) for name in "ab"}
    compare_plots.precision_recall_curves(orders, np.array([0, 1, 0, 1]), 0.1).savefig(tmp_path / "curves.png")
    compare_plots.agreement(np.eye(2), ["a", "b"]).savefig(tmp_path / "agreement.png")
    assert len(list(tmp_path.iterdir())) == 4


# ------------------------------------------------------------------------------------------------------------- labels


def test_each_seed_on_each_split_or_one_seed_for_both(workspace):
    data = open_data("sample")
    assert compare.places(data, [0, 1]) == [(0, 0), (1, 1)]
    assert compare.places(data, [0, 1], [4, 5]) == [(4, 0), (4, 1), (5, 0), (5, 1)]


@pytest.fixture
def place(tmp_path, labeled, monkeypatch):
    """A working folder with labeled data in it."""
    shutil.copytree(labeled, tmp_path / "data" / "small")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_methods_that_learned_from_labels_say_so_and_from_how_many(place):
    """A row that saw anomalies must not stand in one table with rows that saw none, unmarked."""
    detectors = {"counts/tree": partial(Counts, "tree"), "classical/pca": partial(Classical, "pca")}
    compare.run_missing(detectors, "small", [0], 0.05, None)
    data = open_data("small")
    table = comparison.table(compare.ledger_rows(data, [0], detectors), None, pl.DataFrame())
    learned = dict(table.select("method", "learned_from").rows())
    assert learned["counts/tree"] == f"labels, {data.training_anomalies:,} anomalies"
    assert learned["classical/pca"] == learned["none"] == "normals"
    tree = ledger.read(LEDGER).filter((pl.col("method") == "counts") & pl.col("default"))
    assert tree["rule"].to_list() == ["likelier_class"]
    rows = label_plots.by_what_is_counted(compare.ledger_rows(data, [0], detectors))
    assert rows.filter(pl.col("method") == "counts/tree")["f1"].to_list() == [
        tree[name].item() for name in ("f1", "f1_distinct", "f1_new")
    ]


@pytest.mark.slow
def test_a_method_of_normals_sees_none_of_the_labeled_anomalies(place):
    """Else a detector of normals would have been shown what it is asked to find."""
    data, pca = open_data("small"), Classical("pca")
    for split in ("train", "validation"):
        labeled = data.labeled(split)
        normals = [keys for keys, label in zip(*labeled, strict=True) if label == 0]
        assert len(normals) < len(labeled.labels)
        assert steps.learned(data, split, pca) == normals


def test_supervised_refuses_data_without_labeled_anomalies(workspace, capsys):
    assert supervised.main(["--data", "sample"]) == 2
    said = capsys.readouterr().err
    assert "has no labeled anomaly to learn from" in said
    assert "parse_logs.py sample --protocol supervised --out data/sample_supervised" in said

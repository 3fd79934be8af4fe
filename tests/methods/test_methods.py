"""One contract for every detector: the same tests for all of them, and for the example of docs/add-a-method.md."""

import re
import types
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import average_precision_score

from core.data import Data, open_folder
from core.errors import BadInput
from methods.classical import CLASSICAL, Classical
from methods.deeplog import DeepLog
from methods.loganomaly import LogAnomaly
from methods.logbert import LogBERT
from methods.logbert import Settings as BertSettings
from methods.loggpt import PRETRAINING, LogGPT
from methods.loggpt import Settings as GPTSettings
from methods.next_key import NextKey

pytestmark = pytest.mark.slow  # each of them trains a model

ROOT = Path(__file__).resolve().parents[2]


def documented_example() -> type:
    """The class of the code block in docs/add-a-method.md."""
    source = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8"), re.S)[1]
    module = types.ModuleType("rarest_pair")
    exec(compile(source, "docs/add-a-method.md", "exec"), module.__dict__)
    return module.RarestPair


QUICK_GPT = GPTSettings(episodes=2, pretraining=replace(PRETRAINING, max_epochs=5))
# Sizes that train in seconds where the published ones take a minute; the floors below are for these sizes.
DETECTORS = {
    "next_key/tiny-llama": partial(NextKey, "tiny-llama"),
    "deeplog/lstm": DeepLog,
    "loganomaly/lstm": LogAnomaly,
    "logbert/bert": partial(LogBERT, settings=BertSettings(width=64, layers=2, learning_rate=2e-3)),
    "loggpt/tiny-gpt2-ppo": partial(LogGPT, settings=QUICK_GPT),
    "rarest_pair/counts": documented_example(),
} | {f"classical/{name}": partial(Classical, name) for name in CLASSICAL}
# Average precision on the simulated sample, of which 6% are anomalous: a tenth or two below what was measured.
FLOORS = {
    "next_key/tiny-llama": 0.85,
    "deeplog/lstm": 0.72,
    "loganomaly/lstm": 0.8,
    "logbert/bert": 0.6,
    "loggpt/tiny-gpt2-ppo": 0.75,
    "rarest_pair/counts": 0.55,
    "classical/pca": 0.38,
    "classical/isolation_forest": 0.2,
    "classical/one_class_svm": 0.55,
    "classical/log_cluster": 0.45,
    "classical/invariants": 0.5,
    "classical/nearest_counts": 0.6,
    "classical/ngram": 0.75,
}
TOY = [["open", *["read"] * (number % 3), "write", "close"] for number in range(60)]


@pytest.fixture(scope="module")
def data(sample) -> Data:
    return open_folder(sample)


@pytest.fixture(scope="module", params=DETECTORS)
def fitted(request, data, tmp_path_factory):
    """Each detector, trained once on the simulated sample: its name, itself, and the frame that fit returned."""
    detector = DETECTORS[request.param](seed=0, templates=data.templates)
    curve = detector.fit(data.keys("train"), data.keys("validation"), tmp_path_factory.mktemp("checkpoints"))
    return request.param, detector, curve


def numbers(scores: pl.DataFrame) -> np.ndarray:
    """What the rules read of a frame of scores, (sequences, columns)."""
    return scores.select(pl.col("^rank|tail_probability|score$").cast(pl.Float64)).to_numpy()


def abnormality(scores: pl.DataFrame) -> np.ndarray:
    if "tail_probability" in scores.columns:
        return -scores["tail_probability"].to_numpy()
    return scores["score"].to_numpy()


def test_its_name_its_settings_and_its_size_are_told(fitted):
    name, detector, curve = fitted
    assert name == f"{detector.method}/{detector.name}"
    assert all(isinstance(value, str | int | float | bool | None) for value in detector.describe().values())
    assert detector.parameters > 0
    assert curve["seconds"].max() >= 0


def test_it_finds_the_simulated_anomalies(fitted, data):
    name, detector, _ = fitted
    test = data.split("test")
    scores = detector.score(test["keys"].to_list())
    assert len(scores) == len(test)
    assert average_precision_score(test["label"].to_numpy(), abnormality(scores)) > FLOORS[name]


def test_scores_alone_in_a_batch_and_after_loading_are_equal(fitted, data, tmp_path):
    _, detector, _ = fitted
    several = data.keys("test")[:12]
    together = detector.score(several)
    alone = pl.concat([detector.score([keys]) for keys in several])
    detector.save(tmp_path / "model")
    loaded = type(detector).load(tmp_path / "model", data.keys("train"))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    np.testing.assert_allclose(numbers(alone), numbers(together), atol=1e-4)
    np.testing.assert_allclose(numbers(loaded.score(several)), numbers(together), atol=1e-4)
    assert loaded.parameters == detector.parameters


def test_odd_sequences_are_scored_in_their_order(fitted, data):
    """A session of one key, of keys nobody knows, and of more events than any context holds."""
    _, detector, _ = fitted
    known = data.keys("train")[0]
    scores = detector.score([known[:1], ["never seen"], known, known * 60, ["never seen", *known]])
    assert len(scores) == 5
    assert np.isfinite(numbers(scores)).all()
    assert numbers(scores)[2] == pytest.approx(numbers(detector.score([known]))[0], abs=1e-4)
    if "has_unseen_key" in scores.columns:
        assert scores["has_unseen_key"].to_list() == [False, True, False, False, True]


def test_bad_input_is_one_sentence(fitted, data, tmp_path):
    _, detector, _ = fitted
    with pytest.raises(BadInput, match=re.escape(tmp_path.name)):
        type(detector).load(tmp_path / "nothing")
    detector.save(tmp_path / "model")
    with pytest.raises(BadInput, match="another data set"):
        type(detector).load(tmp_path / "model", [["other", "keys"]])


@pytest.mark.parametrize("name", DETECTORS)
def test_an_interrupted_fit_goes_on_to_the_same_scores(name, tmp_path, monkeypatch):
    """Killed in the middle of an epoch it must neither start over nor end elsewhere."""
    through = DETECTORS[name](seed=1)
    steps = count_steps(monkeypatch)
    through.fit(TOY, TOY[:9], tmp_path / "through")
    total, steps.limit = steps.count, steps.count + int(0.6 * steps.count)
    cut = DETECTORS[name](seed=1)
    if total:
        with pytest.raises(KeyboardInterrupt):
            cut.fit(TOY, TOY[:9], tmp_path / "cut")
    steps.limit, before = None, steps.count
    resumed = DETECTORS[name](seed=1)
    resumed.fit(TOY, TOY[:9], tmp_path / "cut")
    assert steps.count - before < total or not total
    sequences = [*TOY[:3], ["close", "open"]]
    np.testing.assert_allclose(numbers(resumed.score(sequences)), numbers(through.score(sequences)), atol=1e-5)


class Steps:
    """Counts the steps of every Adam, and interrupts the one after `limit`."""

    count, limit = 0, None


def count_steps(monkeypatch) -> Steps:
    steps, step = Steps(), torch.optim.Adam.step

    def counted(self, *arguments, **keywords):
        steps.count += 1
        if steps.limit is not None and steps.count > steps.limit:
            raise KeyboardInterrupt
        return step(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    return steps


@pytest.mark.parametrize("name", DETECTORS)
def test_no_sequences_to_learn_are_one_sentence(name, tmp_path):
    with pytest.raises(BadInput):
        DETECTORS[name](seed=0).fit([], [], tmp_path)

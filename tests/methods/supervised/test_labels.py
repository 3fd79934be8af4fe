"""One contract for every detector that learns from labels: the same tests for all of them."""

import re
from functools import partial

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from core.data import Data, Labeled, open_folder
from core.errors import BadInput
from methods.supervised.cnn import CNN
from methods.supervised.counts import COUNTS, Counts
from methods.supervised.logllm import LogLLM
from methods.supervised.logrobust import LogRobust
from methods.supervised.neurallog import NeuralLog
from methods.supervised.words import WORDS, Words
from tests.methods.supervised.examples import part, quick, toy
from tests.methods.test_methods import count_steps

pytestmark = pytest.mark.slow

QUICK = {"logllm/tiny-llama-word-hash": quick(30, 20, 100)}  # a fifth of the steps; its floor is for these
DETECTORS = (
    {f"counts/{name}": partial(Counts, name) for name in COUNTS}
    | {"words/tfidf": partial(Words, "tfidf"), "words/vectors-word-hash": partial(Words, "vectors")}
    | {"cnn/keys": CNN, "neurallog/transformer-word-hash": NeuralLog, "logrobust/bilstm-word-hash": LogRobust}
    | {name: partial(LogLLM, settings=settings) for name, settings in QUICK.items()}
)
# Average precision on a simulated log of which 15% is anomalous: a tenth or two below what was measured.
FLOORS = {
    "counts/tree": 0.72,
    "counts/forest": 0.72,
    "counts/neighbors": 0.5,
    "words/tfidf": 0.68,
    "words/vectors-word-hash": 0.68,
    "cnn/keys": 0.78,
    "neurallog/transformer-word-hash": 0.5,
    "logrobust/bilstm-word-hash": 0.65,
    "logllm/tiny-llama-word-hash": 0.42,
}


@pytest.fixture(scope="module")
def data(labeled) -> Data:
    return open_folder(labeled)


@pytest.fixture(scope="module", params=DETECTORS)
def fitted(request, data, tmp_path_factory):
    """Each detector, trained once: its name, itself, and the frame that fit returned."""
    detector = DETECTORS[request.param](seed=0, templates=data.templates)
    train, validation = (part(data, split, detector.reads) for split in ("train", "validation"))
    return request.param, detector, detector.fit(train, validation, tmp_path_factory.mktemp("checkpoints"))


def test_all_classifiers_are_tried():
    assert {f"words/{name}" for name in WORDS} <= {name.removesuffix("-word-hash") for name in DETECTORS}


def test_its_name_its_settings_and_its_size_are_told(fitted):
    name, detector, curve = fitted
    assert name == f"{detector.method}/{detector.name}"
    assert detector.learns == "labels"
    assert detector.describe() == DETECTORS[name](seed=1).describe()
    assert detector.parameters > 0
    assert curve["seconds"].max() >= 0


def test_it_finds_the_simulated_anomalies(fitted, data):
    name, detector, _ = fitted
    test = part(data, "test", detector.reads)
    scores = detector.score(test.sequences)
    assert len(scores) == len(test.labels)
    assert average_precision_score(test.labels, scores["log_odds"]) > FLOORS[name]
    likelier = scores["log_odds"].to_numpy() > 0
    assert np.mean(likelier == test.labels) > 1 - np.mean(test.labels)  # better than calling all of it normal


def test_alone_in_a_batch_and_after_loading_scores_are_equal(fitted, data, tmp_path):
    _, detector, _ = fitted
    several = part(data, "test", detector.reads).sequences[:12]
    together = detector.score(several)
    alone = pl.concat([detector.score([one]) for one in several])
    detector.save(tmp_path / "model")
    loaded = type(detector).load(tmp_path / "model", part(data, "train", detector.reads))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    np.testing.assert_allclose(alone["log_odds"], together["log_odds"], atol=1e-4)
    np.testing.assert_allclose(loaded.score(several)["log_odds"], together["log_odds"], atol=1e-4)
    assert loaded.parameters == detector.parameters


def test_odd_sequences_are_scored_in_their_order(fitted, data):
    """One event, an event nobody knows, and more events than any context holds."""
    _, detector, _ = fitted
    known = part(data, "train", detector.reads).sequences[0]
    scores = detector.score([known[:1], ["never seen"], known, known * 60, ["never seen", *known]])
    assert len(scores) == 5
    assert np.isfinite(scores["log_odds"].to_numpy()).all()
    assert scores["log_odds"][2] == pytest.approx(detector.score([known])["log_odds"][0], abs=1e-4)
    if detector.reads == "text":
        assert not scores["has_unseen_key"].any()  # words nobody knows are judged by an encoder, not by a look-up


def test_a_model_of_other_data_and_a_missing_one_are_one_sentence(fitted, tmp_path):
    _, detector, _ = fitted
    with pytest.raises(BadInput, match=re.escape(tmp_path.name)):
        type(detector).load(tmp_path / "nothing")
    detector.save(tmp_path / "model")
    with pytest.raises(BadInput, match="another data set"):
        type(detector).load(tmp_path / "model", Labeled([["other", "keys"]], np.zeros(1, np.int8)))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", DETECTORS)
def test_one_class_alone_is_one_sentence(name, label, tmp_path):
    detector = DETECTORS[name](seed=0)
    shown = toy(detector.reads)
    with pytest.raises(BadInput, match=r"no labeled (anomaly|normal)"):
        detector.fit(shown._replace(labels=np.full(60, label, np.int8)), shown, tmp_path)


@pytest.mark.parametrize("name", DETECTORS)
def test_an_interrupted_fit_goes_on_to_the_same_scores(name, tmp_path, monkeypatch):
    """Killed in the middle of an epoch or a stage it must neither start over nor end elsewhere."""
    through = DETECTORS[name](seed=1)
    shown = toy(through.reads)
    steps = count_steps(monkeypatch)
    through.fit(shown, shown, tmp_path / "through")
    total, steps.limit = steps.count, steps.count + int(0.6 * steps.count)
    cut = DETECTORS[name](seed=1)
    if total:
        with pytest.raises(KeyboardInterrupt):
            cut.fit(shown, shown, tmp_path / "cut")
    steps.limit, before = None, steps.count
    resumed = DETECTORS[name](seed=1)
    resumed.fit(shown, shown, tmp_path / "cut")
    assert steps.count - before < total or not total
    asked = [*shown.sequences[:6], shown.sequences[0][::-1]]
    np.testing.assert_allclose(resumed.score(asked)["log_odds"], through.score(asked)["log_odds"], atol=1e-5)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_sequence_that_occurs_often_counts_like_its_copies(name, tmp_path):
    """Else a rule of weights would decide what the distinct sequences alone decide."""
    if not name.startswith(("counts", "words")):
        pytest.skip("a network draws by chance")
    detector, again = DETECTORS[name](seed=0), DETECTORS[name](seed=0)
    shown = toy(detector.reads)
    order = np.random.default_rng(0).permutation(60)
    shuffled = Labeled([shown.sequences[row] for row in order], shown.labels[order])
    detector.fit(shown, shown, tmp_path)
    again.fit(shuffled, shown, tmp_path)
    np.testing.assert_allclose(
        detector.score(shown.sequences)["log_odds"], again.score(shown.sequences)["log_odds"], atol=1e-3
    )

"""The next-key model: same scores alone, in a batch and after loading; weights equal copies; nothing is cut."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from core.errors import BadInput
from evaluation.verdicts import score_gap
from methods.next_key import NextKey, training
from methods.next_key.batches import IGNORED, chunk, pad
from methods.next_key.models.tiny import build_tiny
from methods.next_key.scoring import judge_tokens
from methods.next_key.training import collate, weighted_loss, weighted_rows
from methods.next_key.vocabulary import BEGIN, END, FIRST_CHOICE, PAD, UNSEEN, Vocabulary
from methods.parts.batches import batches_by_length
from methods.parts.choices import TINY_MODELS
from methods.parts.recipes import TrainingSettings

ROOT = Path(__file__).resolve().parents[2]
SHORT = TrainingSettings(context=24, batch_size=8, max_epochs=3, learning_rate=5e-3)


def grammar(count: int, seed: int = 0) -> list[list[str]]:
    """Normal sequences of a toy protocol: open, several reads or writes, close; now and then a retry."""
    chance, sequences = np.random.default_rng(seed), []
    for _ in range(count):
        kind = chance.choice(["read", "write"])
        middle = [kind] * int(chance.integers(1, 5)) + (["retry", kind] if chance.random() < 0.1 else [])
        sequences.append(["open", *middle, "close"])
    return sequences


def fitted(name: str, tmp_path: Path, settings: TrainingSettings = SHORT, seed: int = 0) -> NextKey:
    detector = NextKey(name, seed, settings=settings)
    detector.fit(grammar(80), grammar(20, seed=1), tmp_path / f"checkpoints-{name}-{seed}")
    return detector


# ------------------------------------------------------------------------------------------------------ vocabulary


@pytest.mark.slow
def test_ids_do_not_depend_on_the_hash_seed():
    """The released code iterates a set, so that a saved model meets other ids in the next process."""
    code = (
        "from methods.next_key.vocabulary import Vocabulary\n"
        "print(Vocabulary.of([['b', 'a'], ['c']]).encode(['c', 'x', 'a']))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {"[1, 6, 2, 4, 3]\n"}


def test_keys_of_other_splits_are_unseen():
    vocabulary = Vocabulary.of([["a", "b"]])
    assert vocabulary.encode(["a", "validation-only"]) == [BEGIN, 4, UNSEEN, END]
    assert (len(vocabulary), vocabulary.tokens, vocabulary.unseen_rank) == (2, 6, 4)


def test_the_saved_tokenizer_has_the_same_ids(tmp_path):
    vocabulary = Vocabulary.of([["blk", "E10", "E9"]])
    vocabulary.tokenizer().save_pretrained(tmp_path)
    assert Vocabulary.load(tmp_path).keys == vocabulary.keys
    assert vocabulary.tokenizer()("E9 new blk")["input_ids"] == vocabulary.encode(["E9", "new", "blk"])[1:-1]


def test_a_key_that_cannot_be_a_word_is_refused():
    for key in ("<end>", "two words"):
        with pytest.raises(BadInput, match="cannot be a word"):
            Vocabulary([key])


# ----------------------------------------------------------------------------------------------- chunks and batches


@given(length=st.integers(2, 100), context=st.integers(4, 40).filter(lambda size: size % 2 == 0))
def test_chunks_cover_every_target_once_and_never_cut(length, context):
    """The released code cuts at 126 keys, at test too, so that a late anomaly is invisible."""
    ids = list(range(length))
    chunks = chunk(0, ids, context)
    targets = [part.start + place for part in chunks for place in range(part.first_target, len(part.ids))]
    assert targets == list(range(1, length))
    assert all(len(part.ids) <= context and part.ids == ids[part.start : part.start + context] for part in chunks)
    assert all(part.first_target >= context // 2 for part in chunks[1:])


@given(st.lists(st.integers(2, 50), min_size=1, max_size=30), st.integers(10, 200))
def test_batches_hold_every_chunk_once_within_the_budget(lengths, budget):
    chunks = [chunk(number, [0] * length, 64)[0] for number, length in enumerate(lengths)]
    batches = list(batches_by_length(chunks, lambda part: len(part.ids), budget))
    assert sorted(part.sequence for batch in batches for part in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or max(len(part.ids) for part in batch) * len(batch) <= budget for batch in batches)


def test_padding_and_overlap_never_count_as_targets():
    batch = pad([*chunk(0, [1, 4, 5, 6, 7, 3], 4), *chunk(1, [1, 3], 4)])
    assert batch["input_ids"].tolist() == [[1, 4, 5, 6], [5, 6, 7, 3], [1, 3, PAD, PAD]]
    assert batch["labels"].tolist() == [
        [IGNORED, 4, 5, 6],
        [IGNORED, IGNORED, 7, 3],
        [IGNORED, 3, IGNORED, IGNORED],
    ]
    assert batch["attention_mask"].sum(1).tolist() == [4, 4, 2]


# ------------------------------------------------------------------------------------------------------ judgements


def test_rank_and_tail_probability_by_hand():
    """Choices: end and keys 4 to 6 with probabilities .5, .2, .2, .1; a tie counts against the model."""
    log_probabilities = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log().repeat(4, 1)
    ranks, tails, logs = judge_tokens(log_probabilities, torch.tensor([END, 4, 6, UNSEEN]), unseen_rank=5)
    assert ranks.tolist() == [1, 3, 4, 5]
    assert tails.tolist() == pytest.approx([1.0, 0.5, 0.1, 0.0])
    assert logs.exp().tolist() == pytest.approx([0.5, 0.2, 0.1, 0.0])


def test_a_flat_distribution_never_looks_sure():
    ranks, tails, _ = judge_tokens(torch.full((1, 8), 1 / 8).log(), torch.tensor([5]), unseen_rank=9)
    assert (ranks.item(), tails.item()) == (8, pytest.approx(1.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY_MODELS)
def test_scores_are_equal_alone_batched_and_after_loading(name, tmp_path):
    detector = fitted(name, tmp_path)
    long = ["open", *["read", "write"] * 30, "close"]  # more than two chunks of 24 tokens
    sequences = [*grammar(30, seed=2), long, ["open", "never seen", "close"], ["close"], long]
    together = detector.score(sequences)
    alone = pl.concat([detector.score([keys]) for keys in sequences])
    assert score_gap(together, alone) < 1e-4
    assert together["length"].to_list() == [len(keys) for keys in sequences]
    detector.save(tmp_path / "model")
    assert score_gap(together, NextKey.load(tmp_path / "model").score(sequences)) < 1e-4
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert not [path.name for path in (tmp_path / "model").iterdir() if path.suffix in (".bin", ".pt", ".pkl")]


def test_a_sequence_beyond_the_context_is_judged_to_its_end(tmp_path):
    detector = fitted("tiny-llama", tmp_path)
    long = ["open", *["read"] * 60, "close"]
    late = [*long[:-2], "never seen", "close"]
    normal, anomalous = detector.score([long, late]).iter_rows(named=True)
    assert len(normal["event_ranks"]) == len(long) + 1
    assert (anomalous["worst_event"], anomalous["tail_probability"]) == (60, 0.0)
    assert anomalous["rank"] == detector.vocabulary.unseen_rank
    assert anomalous["event_log_probabilities"][:23] == pytest.approx(normal["event_log_probabilities"][:23], abs=1e-5)


def test_the_likeliest_choices_of_many_prefixes_are_those_of_each_alone(tmp_path):
    detector = fitted("tiny-llama", tmp_path)
    prefixes = [[], ["open"], ["open", "read", "read"], ["open", *["read"] * 60]]
    for prefix, found in zip(prefixes, detector.likeliest(prefixes, 3), strict=True):
        alone = detector.next_keys(prefix).head(3)
        assert [key for key, _ in found] == alone["key"].to_list()
        assert [share for _, share in found] == pytest.approx(alone["probability"].to_list(), abs=1e-5)


def test_next_keys_agree_with_the_scores(tmp_path):
    detector = fitted("tiny-llama", tmp_path)
    keys = grammar(1, seed=5)[0]
    choices = detector.next_keys(keys[:2])
    scored = detector.score([keys]).row(0, named=True)
    assert choices["probability"].sum() == pytest.approx(1.0, abs=1e-5)
    probability = dict(choices.iter_rows())[keys[2]]
    assert np.log(probability) == pytest.approx(scored["event_log_probabilities"][2], abs=1e-4)
    assert choices["key"].to_list().index(keys[2]) + 1 == scored["event_ranks"][2]


# -------------------------------------------------------------------------------------------------------- training


def test_a_weight_gives_the_gradient_of_that_many_copies():
    copies = [["a", "b"], ["a", "b"], ["b"], ["a", "b"], ["b"], ["c", "a", "a"]]
    vocabulary = Vocabulary.of(copies)
    torch.manual_seed(0)
    model = build_tiny("tiny-llama", vocabulary.tokens, 16)
    gradients = []
    for rows in (
        weighted_rows(vocabulary, copies, SHORT),
        [row for keys in copies for row in weighted_rows(vocabulary, [keys], SHORT)],
    ):
        batch = collate(rows)
        shown = {name: batch[name] for name in batch if name not in training.PREDICTIONS}
        model.zero_grad()
        weighted_loss(model(**shown).logits, batch).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert [row["weight"] for row in weighted_rows(vocabulary, copies, SHORT)] == [3, 2, 1, 0, 0, 0, 0, 0]
    assert gradients[0].abs().max() > 0.1
    assert torch.allclose(*gradients, atol=1e-5)


def test_a_frequent_sequence_is_spread_but_counts_the_same():
    rows = weighted_rows(Vocabulary(["a"]), [["a"]] * 40, TrainingSettings(heaviest=16, batch_size=3))
    assert [row["weight"] for row in rows] == [pytest.approx(40 / 3)] * 3


def test_validation_loss_is_the_mean_over_every_copy(tmp_path):
    detector = fitted("tiny-llama", tmp_path)
    sequences = [["open", "read", "close"]] * 3 + [["open", "write", "write", "new", "close"]]
    values = detector.score(sequences)["event_log_probabilities"].explode().to_numpy()
    assert detector.loss(sequences) == pytest.approx(-values[np.isfinite(values)].mean(), abs=1e-6)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scores_and_another_seed_others(tmp_path):
    first, again, other = (fitted("tiny-llama", tmp_path / str(n), seed=s) for n, s in enumerate((0, 0, 1)))
    sequences = grammar(10, seed=3)
    assert score_gap(first.score(sequences), again.score(sequences)) == 0.0
    assert score_gap(first.score(sequences), other.score(sequences)) > 1e-3


class _Killed(BaseException):
    """As a kernel restart: nothing in the trainer catches it."""


@pytest.mark.slow
def test_an_interrupted_training_resumes_to_the_same_model(tmp_path, monkeypatch):
    settings = TrainingSettings(context=24, batch_size=8, max_epochs=4, learning_rate=5e-3)
    whole = fitted("tiny-llama", tmp_path / "whole", settings)
    original, calls = training.WeightedTrainer.evaluate, []

    def killed_in_the_third_epoch(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise _Killed
        return original(self, *arguments, **options)

    checkpoints = tmp_path / "checkpoints"
    detector = NextKey("tiny-llama", 0, settings=settings)
    monkeypatch.setattr(training.WeightedTrainer, "evaluate", killed_in_the_third_epoch)
    with pytest.raises(_Killed):
        detector.fit(grammar(80), grammar(20, seed=1), checkpoints)
    monkeypatch.undo()
    (checkpoints / "checkpoint-999").mkdir()  # as if the kill came while a checkpoint was written
    resumed = NextKey("tiny-llama", 0, settings=settings)
    curve = resumed.fit(grammar(80), grammar(20, seed=1), checkpoints)
    assert curve["epoch"].to_list() == [0, 1, 2, 3, 4]
    assert score_gap(whole.score(grammar(20)), resumed.score(grammar(20))) < 1e-4
    assert curve["seconds"].is_sorted()


@pytest.mark.slow
def test_a_resumed_training_keeps_its_patience(tmp_path, monkeypatch):
    """The trainer forgets how long the loss has not fallen, unless it is told to restore its callbacks."""
    settings = TrainingSettings(context=24, batch_size=4, max_epochs=30, patience=2, learning_rate=2e-2)
    few, validation = grammar(12), grammar(40, seed=1)
    whole = NextKey("tiny-llama", 0, settings=settings).fit(few, validation, tmp_path / "whole")
    last, original = whole["epoch"].max(), training.WeightedTrainer.evaluate
    assert last < 30, "never stopped early: the test shows nothing"

    def killed_in_the_last_epoch(self, *arguments, **options):
        if round(self.state.epoch) == last:
            raise _Killed
        return original(self, *arguments, **options)

    monkeypatch.setattr(training.WeightedTrainer, "evaluate", killed_in_the_last_epoch)
    with pytest.raises(_Killed):
        NextKey("tiny-llama", 0, settings=settings).fit(few, validation, tmp_path / "cut")
    monkeypatch.undo()
    resumed = NextKey("tiny-llama", 0, settings=settings).fit(few, validation, tmp_path / "cut")
    assert resumed["epoch"].to_list() == whole["epoch"].to_list()
    assert resumed["validation_loss"].to_list() == pytest.approx(whole["validation_loss"].to_list(), abs=1e-5)


def test_the_epoch_of_lowest_validation_loss_is_kept(tmp_path):
    settings = TrainingSettings(context=24, batch_size=4, max_epochs=30, patience=2, learning_rate=2e-2)
    detector = NextKey("tiny-llama", 0, settings=settings)
    curve = detector.fit(grammar(12), grammar(40, seed=1), tmp_path / "checkpoints")
    assert curve["epoch"].max() < 30, "never stopped early: the test shows nothing"
    assert detector.loss(grammar(40, seed=1)) == pytest.approx(curve["validation_loss"][1:].min(), abs=1e-5)


@pytest.mark.slow
def test_it_learns_a_small_grammar(tmp_path):
    """The floor: what breaks the grammar must be less likely than what keeps it."""
    detector = fitted("tiny-llama", tmp_path, TrainingSettings(context=24, batch_size=8, max_epochs=8))
    normal = grammar(60, seed=4)
    broken = [
        ["open", "read", "write", "close"],
        ["open", "close"],
        ["read", "read", "close"],
        ["open", "write", "write"],
    ]
    scores = detector.score([*normal, *broken])
    labels = [0] * len(normal) + [1] * len(broken)
    assert roc_auc_score(labels, -scores["tail_probability"].to_numpy()) > 0.95


def test_an_untrained_model_knows_as_little_as_ln_of_its_choices(tmp_path):
    detector = NextKey("tiny-llama", 0, settings=SHORT)
    detector.prepare(grammar(80))
    assert detector.loss(grammar(20)) == pytest.approx(np.log(len(detector.vocabulary) + 1), rel=0.1)


@pytest.mark.slow
def test_tiny_models_have_300_to_500_thousand_parameters():
    for name in TINY_MODELS:
        assert 280_000 < NextKey(name).prepare([[f"E{number}" for number in range(20)]])["parameters"] < 480_000


def test_an_unknown_model_is_a_sentence(tmp_path):
    with pytest.raises(BadInput, match=r"no model .gpt-9.; choose one of tiny-llama"):
        NextKey("gpt-9").prepare([["a"]])
    with pytest.raises(BadInput, match=r"run train\.ipynb first"):
        NextKey.load(tmp_path)


def test_special_tokens_can_never_come_next():
    assert FIRST_CHOICE == END
    assert max(PAD, BEGIN, UNSEEN) < END

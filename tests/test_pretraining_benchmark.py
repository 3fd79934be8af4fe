"""The comparisons on a pretrained checkpoint: the same steps for every arm, nothing done twice, starts as they say."""

import argparse
import json

import pytest
import torch

from benchmarks import key_starts, pretraining
from methods.next_key.embeddings import mean_rows, noise_rows
from methods.next_key.training import repeated, weighted_rows
from methods.next_key.vocabulary import Vocabulary
from tests.methods.test_next_key import grammar


@pytest.mark.parametrize("size", [20, 50, 200, 1000])
def test_every_number_of_sequences_is_learned_in_the_same_number_of_steps(size):
    """Else more sequences would also mean more training, and nobody could tell which of them helped."""
    sequences = grammar(size)
    for settings in (pretraining.EQUAL, pretraining.LORA):
        rows = repeated(weighted_rows(Vocabulary.of(sequences), sequences, settings), settings)
        assert len(rows) == pretraining.STEPS * settings.batch_size


def test_an_arm_that_is_done_is_read_and_not_run_again(tmp_path, monkeypatch):
    ran = []
    found = {"validation_loss": 0.5, "average_precision": 0.9, "average_precision_known": 0.8, "f1": 0.9}

    def measure(data, arm, model, size, seed) -> dict:
        ran.append(arm)
        return found | {"cpu_seconds": 1.0}

    monkeypatch.setattr(pretraining, "measure_arm", measure)
    monkeypatch.setattr(pretraining, "open_data", lambda name: None)
    options = argparse.Namespace(data="", model="", keep=tmp_path / "keep", sizes=[20], seeds=[0], plot=None)
    options.arms = ["tiny-llama"]
    pretraining.measure(options)
    options.arms, options.plot = ["tiny-llama", "bigram"], tmp_path / "plot.png"
    figures = pretraining.measure(options)
    assert ran == ["tiny-llama", "bigram"]
    assert figures["20 tiny-llama: validation_loss"] == 0.5
    assert json.loads((tmp_path / "keep" / "bigram-20-0.json").read_text())["arm"] == "bigram"
    assert options.plot.is_file()


def test_starts_have_the_length_of_random_rows_and_sides_apart_only_where_named():
    own, words = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), [[], [1], [2, 3], [4, 5, 6], [7]]
    noise = noise_rows(own, len(words), 0)
    length = noise.norm(dim=1).mean()
    rows, output = key_starts.scaled(own, words, noise)
    assert torch.allclose(rows.norm(dim=1), length.expand(len(words)))
    assert output is None
    rows, output = key_starts.means_in(own, words, noise)
    assert torch.equal(rows, mean_rows(own, words)) and output is not None and torch.equal(output, noise)

"""Small networks learn on one core, and what comes after them has all cores again."""

from pathlib import Path

import pytest
import torch

from methods.deeplog import DeepLog
from methods.next_key import NextKey
from methods.parts import learning
from methods.parts.recipes import TrainingSettings
from methods.parts.threads import one_thread

SEQUENCES = [["a", "b", "c"], ["a", "c"], ["b", "a", "c"]]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch):
    """Return the numbers of threads of every backward pass; outside of training there are two."""
    seen, backward = [], torch.Tensor.backward

    def noted(self, *given, **named) -> None:
        seen.append(torch.get_num_threads())
        backward(self, *given, **named)

    monkeypatch.setattr(torch.Tensor, "backward", noted)
    with one_thread(wanted=False):  # gives back what there was
        torch.set_num_threads(2)
        yield seen
        assert torch.get_num_threads() == 2, "the training kept all but one core from what comes after it"


@pytest.mark.parametrize(
    "detector",
    [
        NextKey("tiny-llama", settings=TrainingSettings(max_epochs=1)),
        DeepLog(settings=DeepLog.settings_type(max_epochs=1)),
    ],
    ids=lambda one: one.method,
)
def test_small_networks_learn_on_one_thread(detector, threads: list[int], tmp_path: Path) -> None:
    detector.fit(SEQUENCES, SEQUENCES, tmp_path)
    assert set(threads) == {1}


def test_large_batches_are_learned_on_all_cores(threads: list[int], tmp_path: Path) -> None:
    """As the paper's 3,072 are, which take longer on one."""
    NextKey("tiny-llama", recipe="paper", changes="max_epochs=1").fit(SEQUENCES, SEQUENCES, tmp_path)
    assert set(threads) == {2}


def test_a_training_that_fails_gives_the_threads_back(
    threads: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(learning, "_train_epoch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        DeepLog().fit(SEQUENCES, SEQUENCES, tmp_path)

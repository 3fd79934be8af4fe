"""What the detectors are built of: judging and the training loop; and DeepLog, which is little more."""

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import BadInput
from core.keys import UNSEEN
from methods.deeplog import DeepLog, Network, Settings
from methods.parts.judging import judge_events, summarize
from methods.parts.learning import draw, learn

# ----------------------------------------------------------------------------------------------------------- judging


def test_ranks_and_tails_worked_by_hand_with_ties_against_the_model():
    log_probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()
    ranks, tails, logs = judge_events(log_probabilities, torch.tensor([0, 2, UNSEEN]), unseen_rank=4)
    assert ranks.tolist() == [1, 3, 4]
    assert tails.tolist() == [1.0, 0.5, 0.0]
    assert logs.tolist() == [pytest.approx(np.log(0.5)), pytest.approx(np.log(0.25)), -np.inf]


def test_a_sequence_is_as_odd_as_its_oddest_event():
    ranks, tails = np.array([1, 3, 1, 4]), np.array([0.9, 0.2, 0.8, 0.0])
    frame = summarize(ranks, tails, np.log(np.maximum(tails, 1e-9)), np.array([2, 4]), unseen_rank=4)
    assert frame["length"].to_list() == [1, 1]
    assert frame["rank"].to_list() == [3, 4]
    assert frame["worst_event"].to_list() == [1, 1]
    assert frame["has_unseen_key"].to_list() == [False, True]


# ---------------------------------------------------------------------------------------------------------- learning


def test_draws_count_on_average_what_all_the_copies_would():
    """Else heavy rows would be learned too much or too little, and no loss curve would show it."""
    weights = torch.tensor([1.0, 4.0, 100.0, 16.0])
    torch.manual_seed(0)
    summed = torch.zeros(4)
    for _ in range(4_000):
        for rows, counts in draw(weights, 3):
            summed.index_add_(0, rows, counts)
    expected = weights / weights.mean() * 4_000 * 24 / 4  # 8 batches of 3, and 4 rows
    np.testing.assert_allclose(summed.numpy(), expected.numpy(), rtol=0.03)


class Line(nn.Module):
    """One weight, which should become 3."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


def train_line(model: Line, folder, validate, belongs_to="a line", **wanted):
    settings = {"learning_rate": 0.1, "max_epochs": 8, "patience": 3} | wanted
    return learn(
        model, lambda: [torch.randn(2)] * 4, lambda batch: ((model.weight - 3) ** 2 + 0 * batch.sum()).sum(), validate,
        seed=0, checkpoints=folder, belongs_to=belongs_to, **settings,
    )  # fmt: skip


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path):
    model, losses = Line(), iter([5.0, 4.0, 1.0, 2.0, 3.0, 4.0, 0.0])
    seen = []

    def validate():
        seen.append(model.weight.item())
        return next(losses)

    curve = train_line(model, tmp_path, validate)
    assert curve["validation_loss"].to_list() == [5.0, 4.0, 1.0, 2.0, 3.0, 4.0]
    assert model.weight.item() == seen[2]


def test_the_last_epoch_is_kept_where_nothing_is_chosen(tmp_path):
    model, losses = Line(), iter(range(20))
    curve = train_line(model, tmp_path, lambda: next(losses), keep_last=True)
    assert curve["epoch"].to_list() == list(range(9))
    assert model.weight.item() > 1


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    train_line(Line(), tmp_path, lambda: 1.0)
    with pytest.raises(BadInput, match="training of a line, not a circle"):
        train_line(Line(), tmp_path, lambda: 1.0, belongs_to="a circle")


def test_frozen_weights_are_not_written_to_checkpoints(tmp_path):
    """A language model with LoRA has gigabytes of them."""
    model = Line()
    model.frozen = nn.Parameter(torch.zeros(100_000), requires_grad=False)
    train_line(model, tmp_path, lambda: 1.0, max_epochs=1)
    assert (tmp_path / "epoch.safetensors").stat().st_size < 10_000


# ----------------------------------------------------------------------------------------------------------- DeepLog


def test_deeplog_reads_one_hot_keys_and_nothing_of_a_key_never_seen():
    torch.manual_seed(0)
    network = Network(3, Settings(history=2))
    shown = []
    network.lstm.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0]))
    network(torch.tensor([[3, 4], [0, 2]]))
    assert shown[0].tolist() == [[[0, 0, 0, 1], [0, 0, 0, 0]], [[1, 0, 0, 0], [0, 0, 1, 0]]]


def test_deeplog_flags_an_early_end_and_a_wrong_order(tmp_path):
    normal = [["a", "b", "c", "b"]] * 30
    detector = DeepLog(settings=Settings(max_epochs=25))
    detector.fit(normal, normal[:5], tmp_path)
    scores = detector.score([["a", "b", "c", "b"], ["a", "b", "c"], ["a", "c", "b", "b"]])
    assert scores["rank"].to_list()[0] == 1
    assert scores["worst_event"].to_list()[1:] == [3, 1]
    assert min(scores["rank"].to_list()[1:]) > 1

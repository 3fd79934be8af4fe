"""How likely each true next key was: rank, tail probability and log-probability, one function for every split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor
from transformers import PreTrainedModel

from methods.next_key.batches import IGNORED, Chunk, batches_by_length, chunk, pad
from methods.next_key.vocabulary import FIRST_CHOICE, UNSEEN, Vocabulary

TOKEN_BUDGET = 16_384  # tokens of one scoring batch; more is no faster on two CPU cores

SCORE_SCHEMA = {
    "length": pl.Int32,
    "rank": pl.Int32,
    "tail_probability": pl.Float32,
    "worst_event": pl.Int32,
    "has_unseen_key": pl.Boolean,
    "event_ranks": pl.List(pl.Int32),
    "event_tail_probabilities": pl.List(pl.Float32),
    "event_log_probabilities": pl.List(pl.Float32),
}


def choice_log_probabilities(logits: Tensor) -> Tensor:
    """Log-probabilities in fp32 over the V + 1 tokens that can come next: the end and the keys."""
    return torch.log_softmax(logits[..., FIRST_CHOICE:].float(), dim=-1)


def judge(log_probabilities: Tensor, targets: Tensor, unseen_rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rank (1 = likeliest), tail probability and log-probability of each target; all of shape (targets,).

    `log_probabilities` is (targets, V + 1), `targets` holds token ids. Ties count against the model, so a flat
    distribution never looks sure. The tail probability sums all choices at most as probable as the true one. An
    unseen key has `unseen_rank`, tail probability 0 and log-probability minus infinity.
    """
    unseen = targets == UNSEEN
    columns = (targets - FIRST_CHOICE).clamp(min=0)
    true = log_probabilities.gather(1, columns[:, None])
    ranks = (log_probabilities >= true).sum(1)
    tails = torch.where(log_probabilities <= true, log_probabilities.exp(), 0.0).sum(1).clamp(max=1.0)
    return (
        ranks.masked_fill(unseen, unseen_rank),
        tails.masked_fill(unseen, 0.0),
        true[:, 0].masked_fill(unseen, -torch.inf),
    )


@dataclass(frozen=True)
class Judged:
    """Flat arrays over the targets of all sequences (their keys, then their end); sequence i owns `slice_of(i)`."""

    ranks: np.ndarray
    tail_probabilities: np.ndarray
    log_probabilities: np.ndarray
    ends: np.ndarray

    def slice_of(self, sequence: int) -> slice:
        return slice(int(self.ends[sequence - 1]) if sequence else 0, int(self.ends[sequence]))


@torch.inference_mode()
def judge_all(model: PreTrainedModel, encoded: list[list[int]], unseen_rank: int, context: int) -> Judged:
    """One teacher-forced pass over token ids `begin, keys, end`; sequences beyond the context in overlapping chunks."""
    model.eval()
    ends = np.cumsum([len(ids) - 1 for ids in encoded])
    judged = Judged(*(np.zeros(ends[-1], kind) for kind in (np.int32, np.float32, np.float32)), ends)
    chunks = [part for number, ids in enumerate(encoded) for part in chunk(number, ids, context)]
    for batch in batches_by_length(chunks, TOKEN_BUDGET):
        tensors = {name: tensor.to(model.device) for name, tensor in pad(batch).items()}
        targets = tensors.pop("labels")[:, 1:]
        logits = model(**tensors, use_cache=False).logits[:, :-1]
        counted = targets != IGNORED
        places = np.concatenate([_places(part, judged.slice_of(part.sequence).start) for part in batch])
        values = judge(choice_log_probabilities(logits[counted]), targets[counted], unseen_rank)
        for flat, value in zip(
            (judged.ranks, judged.tail_probabilities, judged.log_probabilities), values, strict=True
        ):
            flat[places] = value.cpu().numpy()
    return judged


def _places(part: Chunk, first: int) -> np.ndarray:
    """Where in the flat arrays the counted targets of a chunk go, if its sequence begins at `first`."""
    return np.arange(first + part.start + part.first_target - 1, first + part.start + len(part.ids) - 1)


def score_sequences(
    model: PreTrainedModel, vocabulary: Vocabulary, sequences: Sequence[Sequence[str]], context: int
) -> pl.DataFrame:
    """One row a sequence, in order; each distinct sequence goes through the model once.

    `length` (keys), `rank` (largest), `tail_probability` (smallest), `worst_event` (0-based position of that smallest;
    `length` means the end came too early), `has_unseen_key`, and the lists `event_ranks`, `event_tail_probabilities`,
    `event_log_probabilities` with one entry a key and one for the end.
    """
    numbers: dict[tuple[str, ...], int] = {}
    rows = [numbers.setdefault(tuple(sequence), len(numbers)) for sequence in sequences]
    encoded = [vocabulary.encode(sequence) for sequence in numbers]
    judged = judge_all(model, encoded, vocabulary.unseen_rank, context)
    distinct = pl.DataFrame(
        [_summary(judged, number, vocabulary.unseen_rank) for number in range(len(encoded))], schema=SCORE_SCHEMA
    )
    return distinct[rows]


def _summary(judged: Judged, number: int, unseen_rank: int) -> dict:
    own = judged.slice_of(number)
    ranks, tails = judged.ranks[own], judged.tail_probabilities[own]
    return {
        "length": len(ranks) - 1,
        "rank": int(ranks.max()),
        "tail_probability": float(tails.min()),
        "worst_event": int(tails.argmin()),
        "has_unseen_key": bool(ranks.max() == unseen_rank),
        "event_ranks": ranks,
        "event_tail_probabilities": tails,
        "event_log_probabilities": judged.log_probabilities[own],
    }

"""How likely each true next key was: rank, tail probability and log-probability, one function for every split."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from transformers import PreTrainedModel

from core.keys import Sequences, distinct
from core.progress import progress
from methods.next_key.batches import Chunk, chunk, pad
from methods.next_key.memory import score_in_memory, scoring_tokens
from methods.next_key.trees import Pack, pack_rows, packs
from methods.next_key.vocabulary import FIRST_CHOICE, UNSEEN, Vocabulary
from methods.parts import judging
from methods.parts.batches import batches_by_length
from methods.parts.judging import summarize

SHARING_PAYS = 1.5  # tokens of the chunks for one node of their trees; below it plain batches are faster
Item = TypeVar("Item")
JudgedChunk = tuple[Chunk, np.ndarray]  # (3, tokens - 1): rank, tail and log-probability of every token but the first


def choice_log_probabilities(logits: Tensor) -> Tensor:
    """Return log-probabilities in fp32 over the V + 1 tokens that can come next: the end and the keys."""
    return torch.log_softmax(logits[..., FIRST_CHOICE:].float(), dim=-1)


def judge_tokens(log_probabilities: Tensor, targets: Tensor, unseen_rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Judge token ids as `judging.judge_events`; `log_probabilities` is (targets, V + 1), the end being column 0."""
    columns = torch.where(targets == UNSEEN, -1, targets - FIRST_CHOICE)
    return judging.judge_events(log_probabilities, columns, unseen_rank)


def forward(model: PreTrainedModel, tensors: dict[str, Tensor]) -> Tensor:
    """Return logits (rows, length, tokens) of a padded batch; its labels, if any, are not shown to the model."""
    shown = {name: tensor.to(model.device) for name, tensor in tensors.items() if name != "labels"}
    return model(**shown, use_cache=False).logits


@dataclass(frozen=True)
class Judged:
    """Flat arrays over the targets of all sequences (their keys, then their end); i owns `ends[i-1]:ends[i]`."""

    ranks: np.ndarray
    tail_probabilities: np.ndarray
    log_probabilities: np.ndarray
    ends: np.ndarray


@torch.inference_mode()
def judge_all(model: PreTrainedModel, encoded: list[list[int]], unseen_rank: int, context: int) -> Judged:
    """Judge token ids `begin, keys, end` in one teacher-forced pass; beyond the context in overlapping chunks.

    Under a launcher of several processes each one scores its share, and all get the whole.
    """
    model.eval()
    with PartialState().split_between_processes(encoded) as own:
        judged = [np.zeros((3, len(ids) - 1)) for ids in own]
        chunks = [part for number, ids in enumerate(own) for part in chunk(number, ids, context)]
        for part, values in judged_chunks(model, chunks, unseen_rank):
            first = part.first_target - 1  # the values before it are those of the chunk before
            judged[part.sequence][:, part.start + first : part.start + values.shape[1]] = values[:, first:]
    ranks, tails, logs = np.concatenate(gather_object(judged), axis=1)
    ends = np.cumsum([len(ids) - 1 for ids in encoded])
    return Judged(ranks.astype(np.int32), tails.astype(np.float32), logs.astype(np.float32), ends)


def judged_chunks(model: PreTrainedModel, chunks: list[Chunk], unseen_rank: int) -> list[JudgedChunk]:
    """Return every chunk with its values, in an order of its own: as trees where that pays, else in plain batches."""
    trees = list(packs(chunks))
    if sharing_pays(trees) and shares_prefixes(model, trees):
        return _in_batches(
            trees, lambda pack: len(pack.inner), lambda some: _judge_packs(model, some, unseen_rank), model
        )
    return _in_batches(chunks, lambda item: len(item.ids), lambda some: _judge_batch(model, some, unseen_rank), model)


def _in_batches(
    items: list[Item],
    length: Callable[[Item], int],
    judge_some: Callable[[list[Item]], list[JudgedChunk]],
    model: PreTrainedModel,
) -> list[JudgedChunk]:
    def score(tokens: int) -> list[JudgedChunk]:
        batches = list(batches_by_length(items, length, tokens))[::-1]  # the longest first, as they need most memory
        return [one for batch in progress(batches, len(batches), "scoring", "batches") for one in judge_some(batch)]

    return score_in_memory(score, scoring_tokens(model)) if items else []


def _judge_batch(model: PreTrainedModel, batch: Sequence[Chunk], unseen_rank: int) -> list[JudgedChunk]:
    tensors = pad(batch)
    logits = forward(model, tensors)[:, :-1]  # (chunks, longest - 1, tokens): what follows each token but the last
    lengths = [len(item.ids) - 1 for item in batch]
    counted = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]  # (chunks, longest - 1): no padding
    targets = tensors["input_ids"][:, 1:][counted].to(logits.device)  # (targets,), chunk after chunk
    log_probabilities = choice_log_probabilities(logits[counted.to(logits.device)])  # (targets, V + 1)
    values = _stack(judge_tokens(log_probabilities, targets, unseen_rank))
    return list(zip(batch, np.split(values, np.cumsum(lengths)[:-1], axis=1), strict=True))


def _judge_packs(model: PreTrainedModel, batch: Sequence[Pack], unseen_rank: int) -> list[JudgedChunk]:
    logits = forward(model, pack_rows(batch))  # (packs, most inner nodes, tokens)
    found: list[JudgedChunk] = []
    for row, pack in zip(logits, batch, strict=True):
        log_probabilities = choice_log_probabilities(row[: len(pack.inner)])  # (inner nodes, V + 1)
        places, targets = (torch.from_numpy(one).to(row.device) for one in (pack.places, pack.targets))
        values = _stack(judge_tokens(log_probabilities[places], targets, unseen_rank))  # (3, predictions)
        prediction = np.zeros(len(pack.tokens), int)  # of each node, which prediction it is; of roots none
        prediction[pack.predicted] = np.arange(len(pack.predicted))
        found += [(item, values[:, prediction[path[1:]]]) for item, path in zip(pack.chunks, pack.paths, strict=True)]
    return found


def _stack(values: tuple[Tensor, Tensor, Tensor]) -> np.ndarray:
    """Return (3, targets) float64, which holds ranks and fp32 exactly."""
    return np.stack([value.cpu().numpy().astype(float) for value in values])


def sharing_pays(trees: list[Pack]) -> bool:
    """Return whether the chunks have so many beginnings in common that trees are worth their wider attention."""
    tokens = sum(len(item.ids) - 1 for pack in trees for item in pack.chunks)
    return tokens > SHARING_PAYS * sum(len(pack.inner) for pack in trees)


def shares_prefixes(model: PreTrainedModel, trees: list[Pack]) -> bool:
    """Return whether tree attention gives this model's own answers, tried on the pack with the longest chunk.

    Models with recurrent or convolutional layers, or windows shorter than a chunk, do not follow such a mask, nor does
    Unsloth's own attention code, which marks its models; they are scored in plain batches. The model is left in
    evaluation mode.
    """
    if "unsloth_version" in model.config.to_dict():
        return False
    model.eval()
    longest = max(trees, key=lambda pack: pack.depths.max())
    exact = model.dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    try:
        as_tree = _log_probabilities(_judge_packs(model, [longest], 0))
    except (RuntimeError, TypeError, ValueError):
        return False
    alone = _log_probabilities(_judge_batch(model, longest.chunks, 0))
    return all(np.allclose(as_tree[key], alone[key], atol=1e-3 if exact else 0.3) for key in alone)


def _log_probabilities(found: list[JudgedChunk]) -> dict[tuple[int, int], np.ndarray]:
    return {(item.sequence, item.start): values[2] for item, values in found}


def score_sequences(model: PreTrainedModel, vocabulary: Vocabulary, sequences: Sequences, context: int) -> pl.DataFrame:
    """Score each sequence, one row in order; columns as in `judging.summarize`.

    Each distinct sequence goes through the model once.
    """
    different, rows = distinct(sequences)
    encoded = [vocabulary.encode(sequence) for sequence in different]
    judged = judge_all(model, encoded, vocabulary.unseen_rank, context)
    flat = (judged.ranks, judged.tail_probabilities, judged.log_probabilities)
    return summarize(*flat, judged.ends, vocabulary.unseen_rank)[rows]


def mean_validation_loss(
    model: PreTrainedModel, vocabulary: Vocabulary, sequences: Sequence[Sequence[str]], context: int
) -> float:
    """Mean negative log-likelihood in nats a key, ends included; unseen keys have none and are left out."""
    counts = Counter(map(tuple, sequences))
    judged = judge_all(model, [vocabulary.encode(keys) for keys in counts], vocabulary.unseen_rank, context)
    weights = np.repeat(list(counts.values()), np.diff(judged.ends, prepend=0))
    known = judged.log_probabilities != -np.inf  # and NaN stays in, so that it is seen
    return float(-np.average(judged.log_probabilities[known].astype(float), weights=weights[known]))


@torch.inference_mode()
def likeliest(
    model: PreTrainedModel, vocabulary: Vocabulary, prefixes: Sequences, count: int, context: int
) -> list[list[tuple[str, float]]]:
    """Return the `count` likeliest choices after each prefix with their probabilities, likeliest first.

    A prefix longer than the context loses its first keys.
    """
    model.eval()
    shown = [Chunk(row, vocabulary.encode(keys)[:-1][-context:], 0, 1) for row, keys in enumerate(prefixes)]
    found: dict[int, list[tuple[str, float]]] = {}
    for batch in batches_by_length(shown, lambda item: len(item.ids), scoring_tokens(model)):
        logits = forward(model, pad(batch))  # (prefixes, longest, tokens)
        lasts = torch.tensor([len(item.ids) - 1 for item in batch], device=logits.device)
        rows = torch.arange(len(batch), device=logits.device)
        best = choice_log_probabilities(logits[rows, lasts]).topk(count)  # each (prefixes, count)
        for item, values, places in zip(batch, best.values.exp().tolist(), best.indices.tolist(), strict=True):
            names = [vocabulary.name(place + FIRST_CHOICE) for place in places]
            found[item.sequence] = list(zip(names, values, strict=True))
    return [found[row] for row in range(len(shown))]

"""How likely each true next key was: rank, tail probability and log-probability, one function for every split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor
from transformers import PreTrainedModel

from methods.next_key import processes
from methods.next_key.batches import Chunk, batches_by_length, chunk, pad
from methods.next_key.memory import halve_on_failure, scoring_tokens
from methods.next_key.trees import Pack, pack_rows, packs
from methods.next_key.vocabulary import FIRST_CHOICE, UNSEEN, Vocabulary
from methods.parts import judging
from methods.parts.judging import summarize
from methods.parts.keys import distinct

SHARING_PAYS = 1.5  # tokens of the chunks for one node of their trees; below it plain batches are faster


def choice_log_probabilities(logits: Tensor) -> Tensor:
    """Log-probabilities in fp32 over the V + 1 tokens that can come next: the end and the keys."""
    return torch.log_softmax(logits[..., FIRST_CHOICE:].float(), dim=-1)


def judge(log_probabilities: Tensor, targets: Tensor, unseen_rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """`judging.judge` for token ids: `log_probabilities` is (targets, V + 1), the choices from the end on."""
    columns = torch.where(targets == UNSEEN, -1, targets - FIRST_CHOICE)
    return judging.judge(log_probabilities, columns, unseen_rank)


def forward(model: PreTrainedModel, tensors: dict[str, Tensor]) -> Tensor:
    """Logits (rows, length, tokens) of a padded batch; its labels, if any, are not shown to the model."""
    shown = {name: tensor.to(model.device) for name, tensor in tensors.items() if name != "labels"}
    return model(**shown, use_cache=False).logits


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
    """One teacher-forced pass over token ids `begin, keys, end`; sequences beyond the context in overlapping chunks.

    Under a launcher of several processes each one scores its share, and all get the whole.
    """
    model.eval()
    own = [encoded[number] for number in processes.own_share(len(encoded))]
    scored = _judge_own(model, own, unseen_rank, context)
    flat = (scored.ranks, scored.tail_probabilities, scored.log_probabilities)
    parts = processes.gather([tuple(values[scored.slice_of(i)] for values in flat) for i in range(len(own))])
    ends = np.cumsum([len(ids) - 1 for ids in encoded])
    return Judged(*(np.concatenate(values) for values in zip(*parts, strict=True)), ends)


def _judge_own(model: PreTrainedModel, encoded: list[list[int]], unseen_rank: int, context: int) -> Judged:
    ends = np.cumsum([len(ids) - 1 for ids in encoded])
    size = sum(len(ids) - 1 for ids in encoded)
    judged = Judged(*(np.zeros(size, kind) for kind in (np.int32, np.float32, np.float32)), ends)
    chunks = [part for number, ids in enumerate(encoded) for part in chunk(number, ids, context)]
    flat = (judged.ranks, judged.tail_probabilities, judged.log_probabilities)
    for part, values in _judged_chunks(model, chunks, unseen_rank):
        begin = judged.slice_of(part.sequence).start + part.start
        for whole, some in zip(flat, values, strict=True):
            whole[begin + part.first_target - 1 : begin + len(part.ids) - 1] = some[part.first_target - 1 :]
    return judged


Values = tuple[np.ndarray, np.ndarray, np.ndarray]


def _judged_chunks(model: PreTrainedModel, chunks: list[Chunk], unseen_rank: int) -> Iterator[tuple[Chunk, Values]]:
    """Every chunk with the judgement of each of its tokens but the first."""
    trees = list(packs(chunks))
    shared = sharing_pays(trees) and shares_prefixes(model, trees)
    judge_some = _judge_packs if shared else _judge_batch
    budget = scoring_tokens(model)
    length = (lambda pack: len(pack.inner)) if shared else (lambda item: len(item.ids))
    for piece in batches_by_length(trees if shared else chunks, length, budget):
        yield from halve_on_failure(lambda some: judge_some(model, some, unseen_rank), piece)


def _judge_batch(model: PreTrainedModel, batch: list[Chunk], unseen_rank: int) -> list[tuple[Chunk, Values]]:
    tensors = pad(batch)
    logits = forward(model, tensors)[:, :-1]
    lengths = [len(item.ids) - 1 for item in batch]
    counted = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    targets = tensors["input_ids"][:, 1:][counted].to(logits.device)
    values = _to_numpy(judge(choice_log_probabilities(logits[counted.to(logits.device)]), targets, unseen_rank))
    stops = np.cumsum(lengths)
    return [
        (item, tuple(flat[stop - length : stop] for flat in values))
        for item, length, stop in zip(batch, lengths, stops, strict=True)
    ]


def _judge_packs(model: PreTrainedModel, batch: list[Pack], unseen_rank: int) -> list[tuple[Chunk, Values]]:
    logits = forward(model, pack_rows(batch))
    found = []
    for row, pack in zip(logits, batch, strict=True):
        log_probabilities = choice_log_probabilities(row[: len(pack.inner)])
        places, targets = (torch.from_numpy(one).to(row.device) for one in (pack.places, pack.targets))
        values = _to_numpy(judge(log_probabilities[places], targets, unseen_rank))
        place = np.zeros(len(pack.tokens), int)
        place[pack.predicted] = np.arange(len(pack.predicted))
        found += [
            (item, tuple(flat[place[path[1:]]] for flat in values))
            for item, path in zip(pack.chunks, pack.paths, strict=True)
        ]
    return found


def _to_numpy(values: tuple[Tensor, Tensor, Tensor]) -> Values:
    return tuple(value.cpu().numpy() for value in values)


def sharing_pays(trees: list[Pack]) -> bool:
    """Whether the chunks have so many beginnings in common that trees are worth their wider attention."""
    tokens = sum(len(item.ids) - 1 for pack in trees for item in pack.chunks)
    return tokens > SHARING_PAYS * sum(len(pack.inner) for pack in trees)


def shares_prefixes(model: PreTrainedModel, trees: list[Pack]) -> bool:
    """Whether tree attention gives this model's own answers, tried on the pack with the longest chunk, in eval mode.

    Models with recurrent or convolutional layers, or windows shorter than a chunk, do not follow such a mask, nor does
    Unsloth's own attention code, which marks its models; they are scored in plain batches.
    """
    if "unsloth_version" in model.config.to_dict():
        return False
    model.eval()
    longest = max(trees, key=lambda pack: pack.depths.max())
    exact = model.dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    try:
        as_tree = dict(_by_chunk(_judge_packs(model, [longest], 0)))
    except (RuntimeError, TypeError, ValueError):
        return False
    alone = dict(_by_chunk(_judge_batch(model, longest.chunks, 0)))
    return all(np.allclose(as_tree[key], alone[key], atol=1e-3 if exact else 0.3) for key in alone)


def _by_chunk(found: list[tuple[Chunk, Values]]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    for item, (_, _, log_probabilities) in found:
        yield (item.sequence, item.start), log_probabilities


def score_sequences(
    model: PreTrainedModel, vocabulary: Vocabulary, sequences: Sequence[Sequence[str]], context: int
) -> pl.DataFrame:
    """One row a sequence, in order; columns as in `judging.summarize`.

    Each distinct sequence goes through the model once.
    """
    different, rows = distinct(sequences)
    encoded = [vocabulary.encode(sequence) for sequence in different]
    judged = judge_all(model, encoded, vocabulary.unseen_rank, context)
    flat = (judged.ranks, judged.tail_probabilities, judged.log_probabilities)
    return summarize(*flat, judged.ends, vocabulary.unseen_rank)[rows]

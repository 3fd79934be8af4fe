"""Token ids as padded batches, for training and for scoring alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.next_key.vocabulary import PAD

IGNORED = -100  # PyTorch's label for a position that does not count


@dataclass(frozen=True)
class Chunk:
    """A stretch of one sequence that fits the context. Targets before `first_target` belong to the chunk before.

    In training each target counts `weight` times.
    """

    sequence: int
    ids: list[int]
    start: int
    first_target: int
    weight: float = 1.0


def chunk(sequence: int, ids: list[int], context: int) -> list[Chunk]:
    """Return the whole sequence if it fits, else chunks that overlap by half a context.

    Every token but the first is a target exactly once, and every target of a later chunk sees at least half a
    context of keys before it; nothing is cut off.
    """
    chunks = [Chunk(sequence, ids[:context], 0, 1)]
    stride = context // 2
    while (done := chunks[-1].start + context) < len(ids):
        start = chunks[-1].start + stride
        chunks.append(Chunk(sequence, ids[start : start + context], start, done - start))
    return chunks


def pad(chunks: Sequence[Chunk]) -> dict[str, Tensor]:
    """Return `input_ids, attention_mask, labels`, each (chunks, longest); padding on the right keeps positions true."""
    longest = max(len(item.ids) for item in chunks)
    shape = (len(chunks), longest)
    ids, mask = torch.full(shape, PAD), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED)
    for row, item in enumerate(chunks):
        length = len(item.ids)
        ids[row, :length] = torch.tensor(item.ids)
        mask[row, :length] = 1
        labels[row, item.first_target : length] = ids[row, item.first_target : length]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}

"""Sequences that begin alike go through the model once as far as they do: packs of prefix trees with tree attention.

A key's prediction depends on the keys before it alone, so sequences that share a prefix share everything computed on
it. A pack lays a tree of chunks out as one row: each node attends to its ancestors, at the position of its depth. (As
in SpecInfer, Miao et al. 2024, there for drafts of one text, here for thousands of log sequences.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from methods.next_key.batches import Chunk

PACK = 256  # nodes of a pack, or the longest chunk: larger ones share more and attend to more (benchmarks/model.py)


@dataclass(frozen=True)
class Pack:
    """A tree of chunks. Arrays over its nodes, parents before children; -1 is the parent of a root.

    `paths[i]` are the nodes of `chunks[i]`, one a token.
    """

    chunks: list[Chunk]
    paths: list[np.ndarray]
    tokens: np.ndarray
    parents: np.ndarray
    depths: np.ndarray

    @cached_property
    def inner(self) -> np.ndarray:
        """Return the nodes that something follows: only these need to go through the model."""
        return np.unique(self.parents[self.parents >= 0])

    @cached_property
    def predicted(self) -> np.ndarray:
        """Return the nodes that follow another: each is one prediction, made at its parent."""
        return np.flatnonzero(self.parents >= 0)

    @property
    def places(self) -> np.ndarray:
        """Return where among the inner nodes each prediction is made."""
        return np.searchsorted(self.inner, self.parents[self.predicted])

    @property
    def targets(self) -> np.ndarray:
        """Return the token id that each prediction should be."""
        return self.tokens[self.predicted]

    @property
    def weights(self) -> np.ndarray:
        """Return how often each prediction counts: the weights of the chunks whose target it is."""
        nodes = np.zeros(len(self.tokens), np.float32)
        for item, path in zip(self.chunks, self.paths, strict=True):
            nodes[path[item.first_target :]] += item.weight
        return nodes[self.predicted]


def shared_prefix(first: list[int], second: list[int]) -> int:
    """Return how many tokens two lists have in common from the start."""
    same = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        same += 1
    return same


def packs(chunks: list[Chunk], nodes: int = PACK) -> Iterator[Pack]:
    """Yield the chunks in sorted order, as trees of about `nodes` nodes; each chunk is in exactly one."""
    members: list[Chunk] = []
    news: list[int] = []
    before: list[int] = []
    size = 0
    for item in sorted(chunks, key=lambda item: item.ids):
        shared = shared_prefix(before, item.ids)
        if members and size + len(item.ids) - shared > nodes:
            yield _tree(members, news)
            members, news, size, shared = [], [], 0, 0
        members.append(item)
        news.append(shared)
        size += len(item.ids) - shared
        before = item.ids
    if members:
        yield _tree(members, news)


def _tree(chunks: list[Chunk], shared: list[int]) -> Pack:
    """Lay chunks out as a tree; `shared[i]` tokens chunk i has in common with chunk i - 1."""
    count, path = 0, np.zeros(0, int)
    paths: list[np.ndarray] = []
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    for item, same in zip(chunks, shared, strict=True):
        new = np.arange(count, count + len(item.ids) - same)
        above = path[same - 1] if same else -1
        path = np.concatenate([path[:same], new])
        count += len(new)
        paths.append(path)
        tokens.extend(item.ids[same:])
        parents.extend([above, *new[:-1]] if len(new) else [])
        depths.extend(range(same, len(item.ids)))
    return Pack(chunks, paths, np.array(tokens), np.array(parents), np.array(depths))


def pack_rows(batch: Sequence[Pack]) -> dict[str, Tensor]:
    """Return `input_ids`, `position_ids` (packs, nodes) and `attention_mask` (packs, 1, nodes, nodes): true may attend.

    Inner nodes only, in the order of `Pack.inner`; the rest of a row is padding that attends to itself.
    """
    inner = [pack.inner for pack in batch]
    widest = max(map(len, inner))
    ids, positions = np.zeros((len(batch), widest), int), np.zeros((len(batch), widest), int)
    allowed = np.zeros((len(batch), 1, widest, widest), bool)
    allowed[:, 0, np.arange(widest), np.arange(widest)] = True
    for row, (pack, nodes) in enumerate(zip(batch, inner, strict=True)):
        ids[row, : len(nodes)], positions[row, : len(nodes)] = pack.tokens[nodes], pack.depths[nodes]
        place = np.full(len(pack.tokens), -1)
        place[nodes] = np.arange(len(nodes))
        for node in nodes[pack.parents[nodes] >= 0]:
            allowed[row, 0, place[node]] |= allowed[row, 0, place[pack.parents[node]]]
    return {
        "input_ids": torch.from_numpy(ids),
        "position_ids": torch.from_numpy(positions),
        "attention_mask": torch.from_numpy(allowed),
    }

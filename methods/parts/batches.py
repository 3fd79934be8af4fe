"""Items of unequal length in batches."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batches_by_length(items: Iterable[Item], length: Callable[[Item], int], token_budget: int) -> Iterator[list[Item]]:
    """Yield batches of items of similar length, each at most `token_budget` tokens with padding (but never empty)."""
    batch: list[Item] = []
    for item in sorted(items, key=length):
        if batch and length(item) * (len(batch) + 1) > token_budget:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch

"""The two miners behind one face: `slots` for logs that nothing is known about, the papers' `drain` for data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from parsing.templates import drain, slots
from parsing.templates.drain import DrainSettings
from parsing.templates.known import Known
from parsing.templates.masks import PARAMETER
from parsing.templates.words import SLOT, shape_of


class Reader(Protocol):
    """Templates for one message after the other, of a log that is still being written."""

    def template(self, message: str) -> str:
        """Return the known template of a message, or the new one that it gets."""


class Miner(Protocol):
    """Templates of distinct masked messages; `counts` are the lines of each message."""

    def mine(self, messages: list[str], counts: list[int]) -> list[str]:
        """Return the template of each message."""

    def mine_some(self, messages: list[str], counts: list[int], chosen: np.ndarray) -> list[str | None]:
        """Return templates mined on the chosen messages (a bool each) alone; None for one that matches none of them."""

    def match(self, messages: list[str], templates: list[str]) -> list[str | None]:
        """Return the one of `templates` that each message matches, or None."""

    def reader(self, templates: list[str]) -> Reader:
        """Return a reader that knows these templates."""


def miner_of(name: str, settings: DrainSettings) -> Miner:
    """Return the miner that a spec names, `slots` or `drain`; `settings` are of use to the latter."""
    return Slots() if name == "slots" else DrainMiner(settings)


def mine_others(miner: Miner, messages: list[str], counts: list[int], matched: Sequence[str | None]) -> list[str]:
    """Return `matched` with templates mined of the messages that have none there."""
    new = [number for number, found in enumerate(matched) if found is None]
    mined = iter(miner.mine([messages[number] for number in new], [counts[number] for number in new]))
    return [next(mined) if found is None else found for found in matched]


@dataclass(frozen=True)
class DrainMiner:
    """Drain, as the papers of the named data sets use it."""

    settings: DrainSettings

    def mine(self, messages: list[str], counts: list[int]) -> list[str]:
        """Return Drain's final template of each message; it does not look at counts."""
        return drain.mine(messages, self.settings)

    def mine_some(self, messages: list[str], counts: list[int], chosen: np.ndarray) -> list[str | None]:
        """Return templates of a tree that read the chosen messages alone."""
        return drain.mine_some(messages, chosen, self.settings)

    def match(self, messages: list[str], templates: list[str]) -> list[str | None]:
        """Return the one of `templates` that Drain's tree finds for each message, or None."""
        return drain.match_templates(messages, templates, self.settings)

    def reader(self, templates: list[str]) -> Reader:
        """Return a reader whose new templates are mined of the new messages so far: their names may still change."""
        return _DrainReader(templates, self.settings)


class _DrainReader:
    def __init__(self, templates: list[str], settings: DrainSettings) -> None:
        self._tree = drain.tree_of(templates, settings)
        self._others = drain.new_drain(settings)

    def template(self, message: str) -> str:
        found = drain.match(self._tree, message)
        return self._others.add_log_message(message)[0].get_template() if found is None else found


class Slots:
    """The miner of own logs (`parsing/templates/slots.py`)."""

    def mine(self, messages: list[str], counts: list[int]) -> list[str]:
        """Return the template of each message."""
        return slots.mine(messages, counts)

    def mine_some(self, messages: list[str], counts: list[int], chosen: np.ndarray) -> list[str | None]:
        """Return the template of each chosen message, and of the others the one of these that they match."""
        learned = np.flatnonzero(chosen)
        mined = slots.mine([messages[number] for number in learned], [counts[number] for number in learned])
        return self.match(messages, mined)

    def match(self, messages: list[str], templates: list[str]) -> list[str | None]:
        """Return the one of `templates` that each message matches best, or None."""
        known = Known(templates)
        return [known.match(message) for message in messages]

    def reader(self, templates: list[str]) -> Reader:
        """Return a reader whose new templates never change: values that show in a word are blanked at once."""
        return _SlotReader(templates)


class _SlotReader:
    def __init__(self, templates: list[str]) -> None:
        self._known = Known(templates)

    def template(self, message: str) -> str:
        found = self._known.match(message)
        return " ".join(shape_of(message.split())).replace(SLOT, PARAMETER) if found is None else found

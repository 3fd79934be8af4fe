"""A simulated log in which the software is updated: from then on some lines are worded anew, and some lines are new.

All of it is harmless: no session becomes anomalous by it. The anomalies have exceptions of their own that training
never saw, as before (simulate.py), so a reader has to tell the two apart by what the words say.
"""

import random
from dataclasses import replace

from parsing.simulate import SimulatedLog

AT = 0.6  # share of the lines that were written before the update
REWORDED = (
    ("Verification succeeded for ", "Block scanner found nothing wrong with "),
    ("Deleting block ", "Removing replica of block "),
)
# Beside which lines the new ones stand, in which share of them, and what they say of the same block.
ADDED = (
    ("Served block ", 0.3, "INFO dfs.DataNode$Metrics: Reported {size} requests for {block} to the registry"),
    ("allocateBlock: ", 0.4, "INFO dfs.FSNamesystem: Placement policy chose rack {size} as home of {block}"),
    ("blockMap updated: ", 0.1, "INFO dfs.FSNamesystem: Tier of {block} is set to warm for the next {size} hours"),
)


def updated(log: SimulatedLog, seed: int = 0) -> SimulatedLog:
    """Return the log with an update after `AT` of its lines; same seed, same lines."""
    rng, begin = random.Random(seed), int(AT * len(log.lines))
    lines = log.lines[:begin]
    for line in log.lines[begin:]:
        lines += [_reworded(line), *_beside(rng, line)]
    return replace(log, lines=lines)


def _reworded(line: str) -> str:
    for old, new in REWORDED:
        line = line.replace(old, new)
    return line


def _beside(rng: random.Random, line: str) -> list[str]:
    """Return the new lines, if any, that come with this one, of the same second."""
    block = next((word for word in line.split() if word.startswith("blk_")), None)
    header = " ".join(line.split(" ", 3)[:3])
    return [
        f"{header} {text.format(size=rng.randint(2, 99), block=block)}"
        for beside, share, text in ADDED
        if beside in line and block and rng.random() < share
    ]

"""A simulated log: blocks of an HDFS-like cluster as state machines, written in the HDFS v1 header format.

This is a simulation. Message shapes follow HDFS, every value is generated, anomalies are mutations: results on it say
nothing about real systems, and everything that shows them must call them simulated.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

BEGIN = datetime(2024, 3, 4, 6, 0, 0)
HOURS = 44  # in which jobs start; the blocks of the last one live on until nearly two days are full
DATANODES, REPLICAS = 40, 3
SESSIONS = 2_500
LABELED_SESSIONS = 10_000  # where labels are learned from only a tenth tests, and must hold anomalies enough


class Message(NamedTuple):
    """A message type: `source` is level and component, `{0}` to `{2}` in `format` are the blocks named."""

    name: str
    source: str
    format: str


_NAMES, _NODE = "INFO dfs.FSNamesystem", "INFO dfs.DataNode"
_XCEIVER, _RECEIVER = f"{_NODE}$DataXceiver", f"{_NODE}$BlockReceiver"
_RESPONDER, _TRANSFER = f"{_NODE}$PacketResponder", f"{_NODE}$DataTransfer"
_ADD, _WARNING = "BLOCK* NameSystem.addStoredBlock: ", "WARN dfs.DataNode$DataXceiver"

# Drain joins messages of equal length and equal first word if half of their words agree: no two here do.
MESSAGES = (
    Message("allocated", _NAMES, "BLOCK* NameSystem.allocateBlock: /user/sim/out/part-{part:05d}. {0}"),
    Message("receiving", _XCEIVER, "Receiving block {0} src: /{peer}:{port} dest: /{node}:50010"),
    Message("empty packet", _RECEIVER, "Receiving empty packet for block {0}"),
    Message("received", _RESPONDER, "Received block {0} of size {size} from /{peer}"),
    Message("closed", _RESPONDER, "PacketResponder {replica} for block {0} terminating"),
    Message("stored", _NAMES, _ADD + "blockMap updated: {node}:50010 is added to {0} size {size}"),
    Message("repeated", "WARN dfs.FSNamesystem", _ADD + "Redundant request received for {0} on {node}:50010"),
    Message("verified", "INFO dfs.DataBlockScanner", "Verification succeeded for {0}"),
    Message("served", _XCEIVER, "{node}:50010 Served block {0} to /{peer}"),
    Message("not served", _WARNING, "{node}:50010:Got exception while serving {0} to /{peer}:"),
    Message("copy asked", _NAMES, "BLOCK* ask {node}:50010 to replicate {0} to datanode(s) {peer}:50010"),
    Message("copy begun", _NODE, "{node}:50010 Starting thread to transfer block {0} to {peer}:50010"),
    Message("copy sent", _TRANSFER, "{node}:50010:Transmitted block {0} to /{peer}:50010"),
    Message("copied", _XCEIVER, "Received block {0} src: /{peer}:{port} dest: /{node}:50010 of size {size}"),
    Message("invalidated", _NAMES, "BLOCK* NameSystem.delete: {0} is added to invalidSet of {node}:50010"),
    Message("deletion of 1 asked", _NAMES, "BLOCK* ask {node}:50010 to delete  {0}"),
    Message("deletion of 2 asked", _NAMES, "BLOCK* ask {node}:50010 to delete  {0} {1}"),
    Message("deletion of 3 asked", _NAMES, "BLOCK* ask {node}:50010 to delete  {0} {1} {2}"),
    Message("deleting", "INFO dfs.FSDataset", "Deleting block {0} file /mnt/hadoop/dfs/data/current/{0}"),
    Message("not deleted", "WARN dfs.FSDataset", "Unexpected error trying to delete block {0}."),
    # From here on: only in blocks of kind "unseen key".
    Message("write failed", _XCEIVER, "writeBlock {0} received exception java.io.EOFException"),
    Message("receive failed", _RECEIVER, "Exception in receiveBlock for block {0} Connection reset by peer"),
    Message("mirror failed", _RECEIVER, "{node}:50010:Exception writing block {0} to mirror {peer}:50010"),
    Message("orphan", _NAMES, _ADD + "request received for {0} But it does not belong to any file."),
)  # fmt: skip
FORMATS = {message.name: message for message in MESSAGES}
UNSEEN = ("write failed", "receive failed", "mirror failed", "orphan")


@dataclass(frozen=True)
class SimulatedLog:
    """`lines` in time order without newlines, `labels` (Normal, Anomaly) of all blocks, `kinds` of the anomalous ones.

    Blocks stand in the order of their first appearance.
    """

    lines: list[str]
    labels: dict[str, str]
    kinds: dict[str, str]


@dataclass(frozen=True)
class Block:
    """`nodes`: of the replicas, then a spare one; `opened`: seconds since BEGIN; `size`: bytes."""

    id: str
    nodes: tuple[str, ...]
    opened: float
    size: int
    part: int


class Event(NamedTuple):
    """A line to be written: `time` in seconds since BEGIN, on `node`, with `peer` at the other end."""

    time: float
    name: str
    blocks: tuple[Block, ...]
    node: str = ""
    peer: str = ""
    replica: int = 0


def simulate(seed: int = 0, sessions: int = SESSIONS, anomaly_share: float = 0.03) -> SimulatedLog:
    """Return the log of `sessions` blocks, about 20 lines each, over about two days; same seed, same lines."""
    rng, anomalous = random.Random(seed), round(anomaly_share * sessions)
    files = _open_files(rng, sessions, anomalous)
    normal, abnormal = files[: len(files) - anomalous], files[len(files) - anomalous :]
    lives = [_live(rng, file) for file in normal]
    known = {_names(life, block) for file, life in zip(normal, lives, strict=True) for block in file}
    kinds = {}
    for number, file in enumerate(abnormal):
        kinds[file[0].id] = kind = ANOMALY_KINDS[number % len(ANOMALY_KINDS)]
        lives.append(_live_abnormally(rng, file, kind, known))
    events = sorted((event for life in lives for event in life), key=lambda event: event.time)
    ids = (block.id for event in events for block in event.blocks)
    labels = {block: "Anomaly" if block in kinds else "Normal" for block in ids}
    return SimulatedLog([_line(rng, event) for event in events], labels, kinds)


def _open_files(rng: random.Random, blocks: int, single: int) -> list[list[Block]]:
    """Return the blocks of each file, one in the last `single`. Jobs open files in waves, so blocks overlap."""
    cluster = [f"10.{rng.randint(20, 29)}.{rng.randint(0, 255)}.{number + 2}" for number in range(DATANODES)]
    waves = [rng.uniform(0, HOURS * 3600) for _ in range(1 + blocks // 50)]
    files = []
    while blocks:
        # Few files have several blocks: they are what makes a line name more than one block.
        size = min(rng.choices((1, 2, 3), (0.972, 0.016, 0.012))[0], max(1, blocks - single))
        opened, part = rng.choice(waves) + rng.expovariate(1 / 900), rng.randint(0, 999)
        nodes = tuple(rng.sample(cluster, REPLICAS + 1))
        ids = [f"blk_{rng.randrange(-(2**63), 2**63)}" for _ in range(size)]
        lengths = [rng.choice((67_108_864, rng.randint(1_000_000, 67_000_000))) for _ in ids]
        files.append([Block(ids[i], nodes, opened + 90 * i, lengths[i], part) for i in range(size)])
        blocks -= size
    return files


def _names(life: list[Event], block: Block) -> tuple[str, ...]:
    return tuple(event.name for event in life if block in event.blocks)


def _live_abnormally(rng: random.Random, file: list[Block], kind: str, known: set[tuple]) -> list[Event]:
    """Return a mutated life, made again until no normal block has its sequence of message names."""
    while True:
        life = _MUTATIONS[kind](rng, _live(rng, file))
        if _names(life, file[0]) not in known:
            return life


def _live(rng: random.Random, file: list[Block]) -> list[Event]:
    """The life cycle of the blocks of one file, merged by time."""
    events = [event for block in file for event in _write(rng, block)]
    written = max(event.time for event in events)
    read_until = written + rng.uniform(600, 7200)
    for block in file:
        events += _maintain(rng, block, written, read_until)
    if len(file) > 1 or rng.random() < 0.4:
        events += _delete(rng, file, read_until)
    return sorted(events, key=lambda event: event.time)


def _write(rng: random.Random, block: Block) -> list[Event]:
    """Allocation, which the name node may log after the first packet, and all replicas at the same time."""
    events = [Event(block.opened + rng.choices((0, 0.3), (0.92, 0.08))[0], "allocated", (block,))]
    finished = block.opened + rng.uniform(15, 60)
    slow, retried = (rng.randrange(REPLICAS) if rng.random() < share else None for share in (0.03, 0.02))
    for index in range(REPLICAS):
        begun = block.opened + 0.2 + 0.3 * index
        end = finished + index + rng.uniform(0, 0.9)
        if index == slow:
            begun, end = begun + rng.uniform(0, 5), end + rng.uniform(2, 20)
        # The report travels on its own, so it may come after those of other replicas.
        closed, stored = end + rng.uniform(0.02, 0.12), end + rng.uniform(0.05, 1)
        events += _at(block, index, (begun, "receiving"), (end, "received"))
        events += _at(block, index, (closed, "closed"), (stored, "stored"))
        if index == retried:
            again = rng.uniform(block.opened + 7, finished)
            events += _at(block, index, (again - 1, "empty packet"), (again, "receiving"))
    if rng.random() < 0.02:
        events += _at(block, rng.randrange(REPLICAS), (finished + rng.uniform(30, 60), "repeated"))
    return events


def _maintain(rng: random.Random, block: Block, begin: float, end: float) -> list[Event]:
    """What may happen to a stored block, in any order: verification, reads, and a copy if a node is lost."""
    events = []
    if rng.random() < 0.4:
        events += _at(block, rng.randrange(REPLICAS), (rng.uniform(begin, end), "verified"))
    if rng.random() < 0.5:
        events += _serve(rng, block, rng.uniform(begin, end - 120), rng.choice((2, 4, 6)))
    if rng.random() < 0.03:
        events += _copy(rng, block, rng.uniform(begin, end - 60))
    return events


def _serve(rng: random.Random, block: Block, begin: float, count: int) -> list[Event]:
    """`count` readers in one go; a reader that hangs up early makes a warning, benign here as in HDFS."""
    names = ["served"] * count
    if rng.random() < 0.06:
        names[rng.randrange(count)] = "not served"
    times = sorted(rng.uniform(begin, begin + 60) for _ in names)
    return [_at(block, rng.randrange(REPLICAS), event)[0] for event in zip(times, names, strict=True)]


def _copy(rng: random.Random, block: Block, begin: float) -> list[Event]:
    """Replication to the spare node; sender, receiver and name node log its end each at its own time."""
    source, target = block.nodes[rng.randrange(REPLICAS)], block.nodes[REPLICAS]
    end = begin + rng.uniform(10, 40)
    sending = [(begin, "copy asked"), (begin + 2, "copy begun"), (end + rng.uniform(0, 1), "copy sent")]
    receiving = [(begin + 3, "receiving"), (end, "copied"), (end + 0.8, "stored")]
    events = [Event(time, name, (block,), source, target) for time, name in sending]
    return [*events, *(Event(time, name, (block,), target, source) for time, name in receiving)]


def _delete(rng: random.Random, file: list[Block], begin: float) -> list[Event]:
    """Deletion of a file: one request a node names all its blocks, each node deletes in its own time."""
    events = []
    failing = rng.randrange(REPLICAS) if rng.random() < 0.05 else None
    for index in range(REPLICAS):
        asked = begin + 5 + 2 * index + rng.uniform(0, 1)
        events.append(Event(asked, f"deletion of {len(file)} asked", tuple(file), file[0].nodes[index]))
        deleted = asked + rng.choices((1, 3.5), (0.8, 0.2))[0]
        for number, block in enumerate(file):
            events += _at(block, index, (begin + index, "invalidated"), (deleted + number / 10, "deleting"))
        if index == failing:
            events += _at(file[0], index, (begin + 30, "not deleted"))
    return events


def _at(block: Block, index: int, *times_and_names: tuple[float, str]) -> list[Event]:
    """Events on a replica's node; its peer is the node before it in the pipeline."""
    node, peer = block.nodes[index], block.nodes[index - 1]
    return [Event(time, name, (block,), node, peer, REPLICAS - 1 - index) for time, name in times_and_names]


def _line(rng: random.Random, event: Event) -> str:
    message, port = FORMATS[event.name], rng.randint(32_768, 60_999)
    ids = (block.id for block in event.blocks)
    content = message.format.format(*ids, **event._asdict(), **vars(event.blocks[0]), port=port)
    time = BEGIN + timedelta(seconds=int(event.time))
    return f"{time:%y%m%d %H%M%S} {rng.randint(13, 29_999)} {message.source}: {content}"


def _missing_event(rng: random.Random, events: list[Event]) -> list[Event]:
    """One line of the write is lost, such as the report of one replica."""
    lost = rng.choice(_places(events, rng.choice(("receiving", "received", "closed", "stored"))))
    return events[:lost] + events[lost + 1 :]


def _exception(rng: random.Random, events: list[Event]) -> list[Event]:
    """A warning that is benign later in a life comes during the write."""
    return _insert(rng, events, _places(events, "received")[-1], ("not served", "not served", "not deleted"))


def _wrong_order(rng: random.Random, events: list[Event]) -> list[Event]:
    """An effect before its cause: only the order tells."""
    ways = (("received", "receiving"), ("closed", "received"), ("stored", "received"), ("deleting", "stored"))
    effect, cause = rng.choice(ways if _places(events, "deleting") else ways[:-1])
    effects, causes = _places(events, effect), _places(events, cause)
    # Where every cause so far has had its effect, one more effect has no cause, whichever replica it is of.
    new = rng.choice([c for n, c in enumerate(causes) if sum(e < c for e in effects) == n < len(effects)])
    old = next(e for e in effects if e > new)
    return [*events[:new], events[old]._replace(time=events[new].time), *events[new:old], *events[old + 1 :]]


def _early_end(rng: random.Random, events: list[Event]) -> list[Event]:
    """The life stops between the allocation and the last replica."""
    return events[: rng.randint(2, _places(events, "received")[-1])]


def _unusual_count(rng: random.Random, events: list[Event]) -> list[Event]:
    """Too many reads, too many copies, or reports that come again and again."""
    block, written = events[0].blocks[0], events[_places(events, "closed")[-1]].time
    excess = rng.choice(("reads", "copies", "reports"))
    if excess == "reads":
        added = _serve(rng, block, written + 60, rng.randint(9, 14))
    elif excess == "copies":
        added = [event for i in range(1, 4) for event in _copy(rng, block, written + 100 * i)]
    else:
        added = _at(block, 0, *((written + 2 + i, "stored") for i in range(rng.randint(2, 4))))
    return sorted(events + added, key=lambda event: event.time)


def _unseen_key(rng: random.Random, events: list[Event]) -> list[Event]:
    """A message that no normal block has, anywhere after the first packet."""
    return _insert(rng, events, len(events) - 1, UNSEEN)


def _insert(rng: random.Random, events: list[Event], last: int, names: tuple[str, ...]) -> list[Event]:
    """`events` with one of `names` after the first packet, before place `last` or at it."""
    place = rng.randint(_places(events, "receiving")[0] + 1, last)
    time = rng.uniform(events[place - 1].time, events[place].time)
    inserted = _at(events[0].blocks[0], rng.randrange(REPLICAS), (time, rng.choice(names)))
    return events[:place] + inserted + events[place:]


def _places(events: list[Event], name: str) -> list[int]:
    return [place for place, event in enumerate(events) if event.name == name]


_MUTATIONS = {
    "missing event": _missing_event,
    "exception": _exception,
    "wrong order": _wrong_order,
    "early end": _early_end,
    "unusual count": _unusual_count,
    "unseen key": _unseen_key,
}
ANOMALY_KINDS: tuple[str, ...] = tuple(_MUTATIONS)

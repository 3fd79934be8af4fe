"""The simulated log: its form, its size, its variety, and what makes a block of it anomalous."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from drain3.drain import Drain

from parsing.simulate import ANOMALY_KINDS, MESSAGES, UNSEEN, simulate

ROOT = Path(__file__).resolve().parents[2]
HEADER = re.compile(r"(\d{6}) (\d{6}) \d+ (INFO|WARN) dfs\.[\w$]+: (.+)")
BLOCK = re.compile(r"blk_-?\d+")
MASKS = (BLOCK.pattern, r"/?(?:\d+\.){3}\d+(?::\d+)?", r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])")
RARE = ("empty packet", "repeated", "not served", "copy asked", "not deleted")


def message_type(line):
    """The name of the one message format that `line` follows."""
    content = HEADER.fullmatch(line)[4]
    names = [name for name, pattern in PATTERNS.items() if pattern.fullmatch(content)]
    assert len(names) == 1, (line, names)
    return names[0]


PATTERNS = {
    message.name: re.compile(r"\S+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", message.format)))
    for message in MESSAGES
}


def sequences_of(log):
    """Block id -> message types in the order of the lines; a line belongs to each block that it names."""
    sequences = {block: [] for block in log.labels}
    for line in log.lines:
        name = message_type(line)
        for block in dict.fromkeys(BLOCK.findall(line)):
            sequences[block].append(name)
    return {block: tuple(names) for block, names in sequences.items()}


def places(names, wanted):
    return [place for place, name in enumerate(names) if name == wanted]


def effects_before_causes(names):
    """The pairs of message types of which the n-th effect comes before the n-th cause."""
    ways = (("received", "receiving"), ("closed", "received"), ("stored", "received"), ("deleting", "stored"))
    ranked = {pair: zip(places(names, pair[0]), places(names, pair[1]), strict=False) for pair in ways}
    return [pair for pair, ranks in ranked.items() if any(effect < cause for effect, cause in ranks)]


@pytest.fixture(scope="module")
def log():
    return simulate()


@pytest.fixture(scope="module")
def sequences(log):
    return sequences_of(log)


@pytest.fixture(scope="module")
def normals(log, sequences):
    """In order of opening, as good as random for the rare paths: each is drawn for itself."""
    return [names for block, names in sequences.items() if log.labels[block] == "Normal"]


@pytest.fixture(scope="module")
def anomalies(log, sequences):
    return {block: sequences[block] for block in log.kinds}


def test_same_seed_gives_the_same_log(log):
    assert simulate(seed=0) == log


def test_hash_seed_of_python_changes_nothing():
    program = (
        "import hashlib; from parsing.simulate import simulate; log = simulate(3, 300); "
        "print(hashlib.sha256(repr((log.lines, log.labels, log.kinds)).encode()).hexdigest())"
    )
    here = simulate(3, 300)
    expected = hashlib.sha256(repr((here.lines, here.labels, here.kinds)).encode()).hexdigest()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def test_other_seed_gives_other_lines(log):
    other = simulate(seed=1)
    assert set(log.lines).isdisjoint(other.lines)
    assert set(log.labels).isdisjoint(other.labels)


def test_size_is_that_of_the_sample(log):
    assert 2_400 <= len(log.labels) <= 2_600
    assert 47_000 <= len(log.lines) <= 53_000
    assert 0.025 <= len(log.kinds) / len(log.labels) <= 0.035


SIZES = [(100, 0.03, 3), (2_000, 0.5, 1_000), (60, 0.0, 0), (12, 1.0, 12)]


@pytest.mark.parametrize(("sessions", "share", "anomalous"), SIZES)
def test_sessions_and_share_are_as_asked(sessions, share, anomalous):
    log = simulate(5, sessions, share)
    assert len(log.labels) == sessions
    assert len(log.kinds) == anomalous
    assert 10 * sessions <= len(log.lines) <= 30 * sessions


def test_every_line_has_the_header_of_hdfs_and_names_a_labeled_block(log):
    for line in log.lines:
        assert HEADER.fullmatch(line), line
        blocks = BLOCK.findall(line)
        assert blocks and log.labels.keys() >= set(blocks), line


def test_labels_come_in_order_of_first_appearance(log):
    appeared = dict.fromkeys(block for line in log.lines for block in BLOCK.findall(line))
    assert list(log.labels) == list(appeared)


def test_time_never_goes_back_and_spans_about_two_days(log):
    times = [line[:13] for line in log.lines]
    assert times == sorted(times)
    assert int(times[-1][:6]) - int(times[0][:6]) == 2


def test_blocks_overlap_in_time(log):
    last = {block: number for number, line in enumerate(log.lines) for block in BLOCK.findall(line)}
    alive, most = set(), 0
    for number, line in enumerate(log.lines):
        alive.update(BLOCK.findall(line))
        most = max(most, len(alive))
        alive = {block for block in alive if last[block] > number}
    assert most >= 20


def test_each_kind_occurs_about_equally_often_and_every_anomaly_has_one(log):
    assert set(log.kinds) == {block for block, label in log.labels.items() if label == "Anomaly"}
    assert set(log.labels.values()) == {"Normal", "Anomaly"}
    counts = Counter(log.kinds.values())
    assert set(counts) == set(ANOMALY_KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_anomalous_sequence_is_a_normal_one(seed):
    log = simulate(seed)
    sequences = sequences_of(log)
    known = {names for block, names in sequences.items() if log.labels[block] == "Normal"}
    assert not [block for block in log.kinds if sequences[block] in known]


def test_most_anomalies_have_no_message_type_of_their_own(log, normals, anomalies):
    known = {name for names in normals for name in names}
    hidden = [block for block, names in anomalies.items() if known.issuperset(names)]
    assert len(hidden) >= len(anomalies) / 3
    assert {log.kinds[block] for block in hidden} == set(ANOMALY_KINDS) - {"unseen key"}


def test_kinds_are_the_mutations_they_are_called(log, normals, anomalies):
    by_kind = {kind: [] for kind in ANOMALY_KINDS}
    for block, kind in log.kinds.items():
        by_kind[kind].append(anomalies[block])
    write = ("receiving", "received", "closed", "stored")
    assert all(any(names.count(name) == 2 for name in write) for names in by_kind["missing event"])
    for names in by_kind["exception"]:
        assert {"not served", "not deleted"} & set(names[: places(names, "received")[-1]])
    for names in by_kind["wrong order"]:
        assert min(map(names.count, write)) >= 3 and effects_before_causes(names), names
    assert all(names.count("received") < 3 and len(names) < 13 for names in by_kind["early end"])
    most = {name: max(names.count(name) for names in normals) for name in PATTERNS}
    assert all(any(names.count(name) > most[name] for name in names) for names in by_kind["unusual count"])
    assert all(len(set(UNSEEN) & set(names)) == 1 for names in by_kind["unseen key"])


def test_an_effect_never_comes_before_its_cause_in_a_normal_block(normals):
    assert not [names for names in normals if effects_before_causes(names)]


def test_normal_sequences_vary_but_recur(normals):
    half = normals[:1_250]
    assert 0.15 <= len(set(half)) / len(half) <= 0.40


def test_message_types_of_normal_blocks_recur_in_both_halves(normals):
    first, second = ({name for names in half for name in names} for half in (normals[::2], normals[1::2]))
    assert first == second
    assert 16 <= len(first) <= 22
    assert first.isdisjoint(UNSEEN)


def test_rare_paths_are_normal_and_rare(normals):
    for name in RARE:
        share = sum(name in names for names in normals) / len(normals)
        assert 0.005 <= share <= 0.05, (name, share)


def test_replicas_are_written_at_the_same_time(normals):
    """Replicas begin before one has ended, and the name node's reports come between their lines."""
    begun_together = between = 0
    for names in normals:
        begun_together += places(names, "received")[0] > places(names, "receiving")[2]
        between += "stored" in names[: places(names, "received")[-1]]
    assert begun_together > 0.9 * len(normals)
    assert 0.2 * len(normals) < between
    assert len({names[:13] for names in normals}) > 20


def test_rarely_a_line_names_two_or_three_blocks(log):
    counts = Counter(len(set(BLOCK.findall(line))) for line in log.lines)
    assert set(counts) == {1, 2, 3}
    assert 20 <= counts[2] + counts[3] <= 500


def test_drain_finds_one_cluster_for_each_message_type(log):
    drain = Drain(depth=4, sim_th=0.5, max_children=100)
    clusters = {}
    for line in log.lines:
        masked = HEADER.fullmatch(line)[4]
        for mask in MASKS:
            masked = re.sub(mask, "<*>", masked)
        clusters.setdefault(message_type(line), set()).add(drain.add_log_message(masked)[0].cluster_id)
    assert set(clusters) == set(PATTERNS)
    assert all(len(ids) == 1 for ids in clusters.values()), clusters
    assert len(drain.clusters) == len(PATTERNS)

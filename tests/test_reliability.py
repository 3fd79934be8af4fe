"""The reliability benchmark in small: processes are really killed, started at once, and shown damaged files."""

from collections import Counter

import pytest

from benchmarks import damages, reliability

pytestmark = pytest.mark.slow  # each of them starts processes

NOTHING_WRONG = ("tracebacks", "wrong exit codes", "wrong acceptances")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of DeepLog on a small log."""
    place = tmp_path_factory.mktemp("reliability")
    reliability.prepare(place)
    for command, left in ((reliability.PARSE, reliability.left_by_parse), (reliability.RUN, reliability.left_by_run)):
        assert reliability._ended(command, left, place, Counter()) is not None
    return place


def wrong(found: Counter) -> dict[str, int]:
    """What must not have happened, by its name."""
    bad = (*NOTHING_WRONG, "lost after a kill", "lost by two at once", "lines unaccounted for")
    return {name: found[name] for name in bad if found[name]}


@pytest.mark.parametrize("job", ["PARSE", "RUN"])
def test_a_killed_job_ends_as_if_it_had_not_been_killed(folder, job):
    left = {"PARSE": reliability.left_by_parse, "RUN": reliability.left_by_run}[job]
    found = Counter()
    reliability.kill_and_go_on(getattr(reliability, job), left, folder, 2, found)
    assert found["kills"] == 2 and not wrong(found)


def test_two_at_once_leave_a_whole_result(folder):
    found = Counter()
    reliability.two_at_once(folder, 3, found)
    assert found["pairs"] == 3 and not wrong(found)


def test_damaged_fields_are_refused_or_change_nothing(folder):
    for command, left in ((reliability.PARSE, reliability.left_by_parse), (reliability.RUN, reliability.left_by_run)):
        reliability._ended(command, left, folder, Counter())
    found = damages.try_all(folder, every=40)
    assert found["refused"] > 20 and not wrong(found)


def test_every_line_of_a_broken_log_is_in_a_sequence_or_rejected(folder):
    found = Counter()
    reliability.fuzz(folder, 5, found)
    assert found["fuzzed logs accepted"] > 0 and not wrong(found)

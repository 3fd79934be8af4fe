"""The miner of own logs: what is a slot and what stays a word, and that a line keeps its key when it is read again."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parse_logs
from core.data import open_folder
from parsing.datasets import SPECS, Spec
from parsing.judged import described
from parsing.templates.drain import DrainSettings
from parsing.templates.known import Known
from parsing.templates.messages import read_templates
from parsing.templates.miners import DrainMiner, Slots, mine_others, miner_of
from parsing.templates.slots import FEW, OFTEN, mine

TOKENS = ["a", "b", "open", "user", "for", "<*>", "<*>+", "x=<*>", "x=", "x=on", "y(<*>)", "eth0", "eth1", "[up]", "-"]
TOKENS += ["500", "404", "null", "r_1_a", "10.x", "()", "***", "é", "<", "*", ">", "=<*>", "<*><*>", "b:<*>,", "\0"]
MESSAGES = st.lists(st.lists(st.sampled_from(TOKENS), max_size=6).map(" ".join), unique=True, max_size=40)


def mined(*messages: str, lines: int = 1) -> list[str]:
    return mine(messages, [lines] * len(messages))


@given(MESSAGES, st.integers(1, 20))
def test_a_message_has_the_same_template_when_it_is_read_with_those_of_its_log(messages, lines):
    """79 of 2,000 lines of Loghub's HPC had another key: with wildcards several templates match a line."""
    templates = mine(messages, [lines] * len(messages))
    assert Slots().match(messages, sorted(set(templates), reverse=True)) == templates


@given(st.lists(st.text(max_size=12), unique=True, max_size=12))
def test_the_same_holds_for_any_text(messages):
    templates = mine(messages, [1] * len(messages))
    assert Slots().match(messages, templates) == templates


@given(MESSAGES, st.randoms())
def test_messages_mined_of_a_part_are_matched_as_they_were_mined(messages, chance):
    chosen = np.array([chance.random() < 0.5 for _ in messages], bool)
    counts = [1] * len(messages)
    learned = [number for number, known in enumerate(chosen) if known]
    alone = mine([messages[number] for number in learned], [1] * len(learned))
    some = Slots().mine_some(messages, counts, chosen)
    assert [some[number] for number in learned] == alone and set(some) <= {*alone, None}
    all_of_them = mine_others(Slots(), messages, counts, some)
    assert None not in all_of_them and all(old in (None, new) for old, new in zip(some, all_of_them, strict=True))


def test_values_that_show_in_a_word_are_slots_wherever_they_stand():
    assert mined("eth10 link <*> up", "node_3_b link <*> up") == ["<*> link <*> up"] * 2
    assert mined("took <*>,", "took (<*>),") == ["took <*>,"] * 2
    assert mined("set debug= null now", "set debug= false now") == ["set debug= <*> now"] * 2
    assert mined("uid=<*> gone", "uid=r_7_x gone") == ["uid=<*> gone"] * 2
    assert mined("one <*> two", "one <*> two more") == ["one <*> two", "one <*> two more"]


def test_a_masked_word_counts_as_equal_to_a_masked_word():
    """Masks wrote the miner's wildcard, which added no similarity: heavily masked lines split."""
    words = ["alpha", "beta", "gamma", "delta", "rho", "tau"]
    assert set(mined(*[f"<*> <*> <*> job {word} <*>" for word in words])) == {"<*> <*> <*> job <*> <*>"}


def test_few_words_at_a_place_are_as_many_templates_and_many_are_a_slot():
    """Started, Paused, Resumed and Stopped were one key."""
    few = [f"[instance: <*>] VM {word} (Lifecycle Event)" for word in ("Started", "Paused", "Resumed", "Stopped")]
    assert mined(*few, lines=60) == few
    names = ["chargen", "daytime", "echo", "klogin", "ftp", "printer"]
    assert set(mined(*[f"removing {name}" for name in names])) == {"removing <*>"}
    assert len(set(mined(*[f"removing {name}" for name in names[:5]]))) == 5


def test_words_that_recur_are_told_apart_unless_they_are_very_many():
    def states(number: int) -> list[str]:
        return [f"state is {chr(97 + place) * 3}" for place in range(number)]

    assert len(set(mined(*states(8), lines=OFTEN))) == 8
    assert len(set(mined(*states(8), lines=OFTEN - 1))) == 1
    assert len(set(mined(*states(FEW + 1), lines=OFTEN))) == 1


def test_a_status_never_becomes_a_slot():
    answers = [f'"GET <*>" {code} <*>' for code in (200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 500, 503)]
    assert mined(*answers) == answers
    assert mined('"GET <*>" 200 <*>', '"GET <*>" 200 -')[0] == '"GET <*>" 200 <*>'


def test_different_keys_are_different_words_and_many_values_behind_one_key_a_slot():
    assert len(set(mined("read depth.....<*>", "read width.....<*>", "map:<*> x", "reduce:<*> x"))) == 4
    apps = ("ab", "cd", "ef", "gh", "ij", "kl")
    assert set(mined(*[f"start app={app} ok" for app in apps])) == {"start app=<*> ok"}
    assert len(set(mined("start level=info ok", "start level=error ok"))) == 2


def test_a_user_is_a_value_though_the_name_is_a_word_and_a_user_who_does_something_is_not():
    assert set(mined("opened for user root", "opened for user news")) == {"opened for user <*>"}
    assert len(set(mined("user created", "user deleted", "account of root"))) == 3


def test_lists_of_any_length_are_one_template_that_matches_lists_of_other_lengths():
    lists = [" ".join(["delete", *["blk_<*>"] * number, "now"]) for number in (1, 4, 9)]
    assert set(mined(*lists)) == {"delete <*>+ now"}
    known = Known(["delete <*>+ now"])
    assert known.match("delete blk_<*> <*> now") == "delete <*>+ now"
    assert known.match("delete now") is None and known.match("delete all now") is None
    pairs = ["at <*> now", "at <*> <*> now"]
    assert mined(*pairs) == pairs


def test_words_that_vary_at_several_places_together_are_slots():
    """No two messages agree but for one word; each would be a key of its own."""
    chance = random.Random(0)
    names = ["".join(chance.choices("bcdfgklmnprst", k=6)) for _ in range(200)]
    messages = [f"user {one} asked server {other} for a ticket" for one, other in zip(names, names[::-1], strict=True)]
    assert set(mined(*messages)) == {"user <*> asked server <*> for a ticket"}


def test_words_that_change_places_are_not_the_same_message():
    """Sums of Python's hashes of (place, word) were equal for one pair in three, another third in every run."""
    words = ("auto", "suspended", "awake", "gone", "up", "down")
    moves = [f"mode from {one} to {other}" for one, other in pairwise(words)]
    back = [f"mode from {other} to {one}" for one, other in pairwise(words)]
    assert mined(*moves, *back) == [*moves, *back]


def test_text_without_repetition_stays_as_it_is():
    chance = random.Random(1)
    words = ["".join(chance.choices("bcdfgklmnprst", k=5)) for _ in range(300)]
    messages = [" ".join(chance.choices(words, k=8)) for _ in range(200)]
    assert mined(*messages) == messages


def test_the_most_specific_template_wins_in_whatever_order_they_come():
    templates = ["a <*> <*>", "a b <*>", "a <*> c", "<*> b c", "a x=<*> c"]
    for order in (templates, templates[::-1]):
        known = Known(order)
        assert known.match("a b d") == "a b <*>"
        assert known.match("a x=1 c") == "a x=<*> c"
        assert known.match("a z z") == "a <*> <*>"
        assert known.match("z z z") is None


def test_a_template_without_a_word_matches_values_alone():
    """A line that holds a number only would have made every new word of one line known."""
    known = Known(["<*>", "<*> - <*>"])
    assert known.match("<*>") == "<*>" and known.match("panic") is None
    assert known.match("<*> - 7") == "<*> - <*>" and known.match("out - memory") is None


def test_a_new_message_of_a_growing_log_never_changes_its_template():
    reader = Slots().reader(["known <*>"])
    new = [reader.template(text) for text in ("fan eth3 is slow", "fan eth1 is slow", "fan null is fast", "known word")]
    assert new == ["fan eth3 is slow", "fan eth1 is slow", "fan <*> is fast", "known <*>"]
    assert reader.template("lost r_1_2 again") == reader.template("lost r_9_9 again") == "lost <*> again"


def own_log(folder, *messages: str):
    lines = [f"2026-03-02 08:{n // 60:02}:{n % 60:02} INFO fans: {message}\n" for n, message in enumerate(messages)]
    path = folder / "own.log"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def parse(log, out, *options: object) -> int:
    layout = ("--format", "<Date> <Time> <Level> <Component>: <Content>", "--window-lines", 5)
    return parse_logs.main(list(map(str, (log, *layout, *options, "--out", out))))


def test_a_log_parsed_again_with_its_own_templates_has_the_same_keys(tmp_path):
    speeds = [f"Fan speeds ( {n} 31{n:02} {'****' if n % 9 == 4 else n} 3300 {n} 35{n:02} )" for n in range(60)]
    log = own_log(tmp_path, *speeds, "", '"quoted", <*>', "Fan **** lost", "Fan 7 lost")
    assert parse(log, tmp_path / "a") == 0
    assert parse(log, tmp_path / "b", "--templates", tmp_path / "a" / "templates.csv") == 0
    first, second = (open_folder(tmp_path / name) for name in "ab")
    assert (first.folder / "templates.csv").read_bytes() == (second.folder / "templates.csv").read_bytes()
    assert first.sequences["keys"].equals(second.sequences["keys"])
    assert len(read_templates(first.folder / "templates.csv")) == len(first.templates)


def test_own_logs_say_which_miner_read_them_and_data_sets_keep_that_of_their_papers(tmp_path):
    log = own_log(tmp_path, *[f"Fan {n} of rack {n}" for n in range(40)])
    assert parse(log, tmp_path / "a") == 0
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["spec"]["miner"] == "slots"
    settings = tmp_path / "own.yaml"
    settings.write_text("format: '<Date> <Time> <Level> <Component>: <Content>'\ndrain: {similarity: 0.4}\n")
    assert parse_logs.main([str(settings), "--log", str(log), "--window-lines", "5", "--out", str(tmp_path / "b")]) == 0
    spec = json.loads((tmp_path / "b" / "manifest.json").read_text())["spec"]
    assert spec["miner"] == "drain" and spec["drain"]["similarity"] == 0.4
    assert {spec.miner for spec in SPECS.values()} == {"drain"}


def test_a_log_is_judged_by_the_miner_of_its_run_and_by_drain_where_the_run_says_none(tmp_path):
    assert parse(own_log(tmp_path, *[f"Fan {n} of rack {n}" for n in range(40)]), tmp_path / "a") == 0
    learned = open_folder(tmp_path / "a")
    assert described(learned, "spec", Spec).miner == "slots"
    del learned.manifest["spec"]["miner"]  # as folders of versions before it are
    assert described(learned, "spec", Spec).miner == "drain"


@pytest.mark.parametrize(("name", "kind"), [("slots", Slots), ("drain", DrainMiner)])
def test_a_manifest_names_its_miner_and_one_that_names_none_means_drain(name, kind):
    assert isinstance(miner_of(name, DrainSettings()), kind)
    assert Spec("own", "", "", "", "<Content>", None).miner == "drain"


def test_ids_that_are_found_as_sessions_are_masked_though_they_are_words(tmp_path):
    """Every session had keys of its own, which no other session shared."""
    users = ["ann", "bob", "cleo", "dora", "eve", "finn"]
    log = own_log(tmp_path, *[f"basket of {users[n % 6]} holds {n} things" for n in range(30)])
    layout = ("--format", "<Date> <Time> <Level> <Component>: <Content>", "--session", "|".join(users))
    assert parse_logs.main([str(log), *layout, "--out", str(tmp_path / "a")]) == 0
    assert list(open_folder(tmp_path / "a").templates.values()) == ["basket of <*> holds <*> things"]

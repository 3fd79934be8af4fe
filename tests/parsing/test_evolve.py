"""A log of an updated program, parsed with the templates of the old one: what is new is asked about, never mapped."""

import json
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from core import evolution
from core.data import open_folder


def parse(log: Path, out: Path, *options: object) -> int:
    labels = ("--labels", log.parent / "labels.csv")
    return parse_logs.main(["hdfs", "--log", *map(str, (log, *labels, "--out", out, *options))])


@pytest.fixture(scope="module")
def old(small_log, tmp_path_factory) -> Path:
    """The data folder of the log before the update."""
    folder = tmp_path_factory.mktemp("old") / "old"
    assert parse(small_log[0], folder) == 0
    return folder


@pytest.fixture
def updated(small_log, tmp_path) -> Path:
    """The same log after an update: one event says the same in other words, and there is one that never was."""
    text = small_log[0].read_text(encoding="utf-8").replace("Receiving block", "Accepting incoming chunk")
    first = text.splitlines()[0]
    block = first[first.index("blk_") :].split()[0]
    text += f"{first.partition(': ')[0]}: Lease of {block} was renewed by its holder\n"
    (tmp_path / "updated.log").write_text(text, encoding="utf-8")
    (tmp_path / "labels.csv").write_bytes(small_log[1].read_bytes())
    return tmp_path / "updated.log"


def test_new_templates_have_keys_and_words_of_their_own_and_are_asked_about(old, updated, tmp_path, capsys):
    """They were all one key `unmatched`, which no later step could tell apart."""
    out = tmp_path / "new"
    assert parse(updated, out, "--templates", old / "templates.csv", "--evolve") == 0
    printed = capsys.readouterr().out
    data, before = open_folder(out), open_folder(old)
    new = {key: text for key, text in data.templates.items() if key not in before.templates}
    assert len(new) == 2 and None not in new.values() and "unmatched" not in data.templates
    asked = evolution.read_evolution(out / "evolution.csv")
    assert dict(asked.select("key", "template").iter_rows()) == new
    row = asked.filter(pl.col("template").str.starts_with("Accepting")).row(0, named=True)
    assert row["proposed_template"].startswith("Receiving block") and row["old_vanished"]
    assert row["lines"] == (updated.read_text().count("Accepting"))
    assert row["key"] in set(data.sequences["keys"].explode()), "nothing is mapped before somebody answers"
    assert asked["answer"].null_count() == 2 and "Nothing is mapped" in printed
    assert "cannot tell a reworded event from a really new one" in printed


def test_many_unmatched_lines_are_said_with_the_commonest(old, updated, tmp_path, capsys):
    assert parse(updated, tmp_path / "new", "--templates", old / "templates.csv") == 0
    printed = capsys.readouterr().out
    assert "match none of the templates" in printed and "have the key 'unmatched'" in printed
    assert "Accepting incoming chunk" in printed


def test_answers_survive_the_same_command(old, updated, tmp_path):
    command = (updated, tmp_path / "new", "--templates", old / "templates.csv", "--evolve")
    assert parse(*command) == 0
    path = tmp_path / "new" / "evolution.csv"
    asked = evolution.read_evolution(path)
    evolution.write_evolution(path.parent, asked.with_columns(answer=pl.Series(["same", None])))
    assert parse(*command) == 0
    assert evolution.read_evolution(path)["answer"].to_list() == ["same", None]
    assert [*evolution.accepted(evolution.read_evolution(path))] == [asked["key"][0]]


def test_answers_are_not_lost_to_a_command_that_asks_nothing(old, updated, tmp_path, capsys):
    """The folder is replaced as a whole, and an hour of somebody's answers went with it."""
    command = (updated, tmp_path / "new", "--templates", old / "templates.csv")
    assert parse(*command, "--evolve") == 0
    path = tmp_path / "new" / "evolution.csv"
    assert parse(*command) == 0, "nobody has answered, so nothing is lost"
    assert not path.exists() and parse(*command, "--evolve") == 0
    asked = evolution.read_evolution(path)
    evolution.write_evolution(path.parent, asked.with_columns(answer=pl.Series(["same", None])))
    before = path.read_bytes()
    capsys.readouterr()
    assert parse(*command) == 2
    said = capsys.readouterr().err
    assert "has answers, which would be lost" in said and said.count("\n") == 1
    assert path.read_bytes() == before
    assert parse(*command, "--replace") == 0 and not path.exists()


def test_the_old_log_has_nothing_new_and_the_same_keys(old, small_log, tmp_path):
    assert parse(small_log[0], tmp_path / "again", "--templates", old / "templates.csv", "--evolve") == 0
    assert len(evolution.read_evolution(tmp_path / "again" / "evolution.csv")) == 0
    assert open_folder(tmp_path / "again").sequences.equals(open_folder(old).sequences)


def test_evolve_needs_the_data_folder_of_the_old_templates(old, updated, tmp_path, capsys):
    (tmp_path / "templates.csv").write_bytes((old / "templates.csv").read_bytes())
    assert parse(updated, tmp_path / "new", "--evolve") == 2
    assert "add --log and --templates" in capsys.readouterr().err
    assert parse(updated, tmp_path / "new", "--templates", tmp_path / "templates.csv", "--evolve") == 2
    said = capsys.readouterr().err
    assert "manifest.json" in said and said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_evolve_is_no_part_of_what_a_folder_is_made_of(old, updated, tmp_path):
    """An answer must not make a data folder look damaged."""
    assert parse(updated, tmp_path / "new", "--templates", old / "templates.csv", "--evolve") == 0
    hashed = json.loads((tmp_path / "new" / "manifest.json").read_text())["data_hash"]
    with (tmp_path / "new" / "evolution.csv").open("a") as file:
        file.write("\n")
    assert open_folder(tmp_path / "new").manifest["data_hash"] == hashed

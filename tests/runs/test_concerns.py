"""What would go wrong is said before training, not on line 193 of the output after it."""

import parse_logs
from core.data import open_folder
from runs.concerns import concerns, fewest

FORMAT = ["--format", "<Date> <Time> <Level> <Component>: <Content>"]


def test_how_many_sequences_alpha_needs():
    assert (fewest(0.01), fewest(0.05), fewest(0.5)) == (99, 19, 1)


def folder_of(tmp_path, text: str, *options: str):
    log = tmp_path / "app.log"
    log.write_text(text)
    assert parse_logs.main([str(log), *FORMAT, *options, "--out", str(tmp_path / "data")]) == 0
    return open_folder(tmp_path / "data")


def test_each_concern_is_said(tmp_path):
    line = "2026-03-02 08:00:{:02d} INFO shop: customer {} paid"
    lines = [line.format(number % 60, number) for number in range(400)]
    lines[7] = "E0302 08:00:07 disk.cc:12] cannot write block"
    said = concerns(folder_of(tmp_path, "\n".join(lines) + "\n", "--window-lines", "4"), 0.01)
    assert len(said) == 3
    assert "one template" in said[0] and "line 8" in said[1] and "cannot write block" in said[1]
    assert "needs 99 normal sequences" in said[2] and "there are 10" in said[2] and "ALPHA=0.091" in said[2]


def test_a_log_that_can_be_learned_raises_none(sample):
    assert concerns(open_folder(sample), 0.01) == []

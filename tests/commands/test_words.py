"""make words: simulated logs that are missing are made, and a log that is not split by time is one sentence."""

from pathlib import Path

import pytest

from commands import words
from core.errors import BadInput


@pytest.fixture
def asked(tmp_path, monkeypatch) -> list[tuple]:
    """What the notebook is executed with, in an empty working folder, without a kernel."""
    found: list[tuple] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(words, "execute", lambda *call: found.append(call))
    return found


def test_without_a_word_both_simulated_logs_are_made_and_shown(asked):
    assert words.main([]) == 0
    assert {path.name for path in Path("data").iterdir()} >= {"sample_update", "sample_supervised"}
    name, output, parameters = asked[0]
    assert name == "notebooks/words" and output.as_posix() == "results/sample_update/words/words.ipynb"
    assert parameters == {
        "DATA": "sample_update", "CHANGED": "sample_supervised", "MODEL": "tiny-llama", "SEED": 0, "ENCODER": None,
    }  # fmt: skip


def test_a_split_by_chance_is_refused_with_the_command_of_one_by_time(workspace, asked, monkeypatch):
    monkeypatch.chdir(workspace)
    with pytest.raises(BadInput, match=r"data/sample is not split by time.*sample_update --protocol chronological"):
        words.run(words.read_options(["--data", "sample"]))
    assert not asked


def test_a_folder_that_is_not_there_is_one_sentence(asked, capsys):
    assert words.main(["--changed", "nowhere"]) == 2
    printed = capsys.readouterr()
    assert "data/nowhere" in printed.out + printed.err and not asked

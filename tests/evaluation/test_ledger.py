"""The ledger loses no row of two processes, and says what a spreadsheet or git has made of it."""

import polars as pl
import pytest

from core.errors import BadInput
from evaluation import ledger
from runs.folder import REFERENCE
from tests.core.test_files import ROOT, in_processes

ROW = {"data": "d", "method": "m", "model": "x", "seed": 0, "rule": "top_k", "K": 8, "f1": 0.5, "default": True}


@pytest.mark.slow
def test_four_processes_keep_a_hundred_rows(tmp_path):
    """50 of 100 were kept, and three of four processes ended in a traceback."""
    code = (
        "import os; from pathlib import Path; from evaluation import ledger\n"
        "for seed in range(25):\n"
        "    row = {'data': 'd', 'method': 'm', 'model': str(os.getpid()), 'seed': seed, 'rule': 'top_k'}\n"
        "    ledger.record(Path('runs.csv'), [row])\n"
    )
    in_processes(4, code, tmp_path)
    assert len(ledger.read(tmp_path / "runs.csv")) == 100


def test_the_reference_reads_as_polars_would_read_it():
    path = ROOT / REFERENCE
    assert ledger.read(path).equals(pl.read_csv(path, schema=ledger.SCHEMA))


def lines_of(path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def semicolons(lines):
    return [line.replace(",", ";") for line in lines]


def added(lines):
    return [line.rstrip("\n") + f",{'note' if number == 0 else 'x'}\n" for number, line in enumerate(lines)]


def missing(lines):
    return [line.partition(",")[2] for line in lines]


DAMAGES = {
    "semicolons": (semicolons, "line 1 is separated by semicolons"),
    "added": (added, "line 1 has a column 'note' that nobody knows"),
    "missing": (missing, "line 1 has no column date"),
    "empty": (lambda lines: [], "line 1 is empty"),
    "conflict": (lambda lines: [lines[0], "<<<<<<< HEAD\n", *lines[1:]], "line 2 is a conflict mark of git"),
    "cut": (lambda lines: [*lines[:-1], lines[-1][:20]], "line 3 has [0-9]+ cells, not 39"),
    "words": (lambda lines: [line.replace(",8,", ",eight,") for line in lines], "line 2: K cannot be 'eight'"),
    "half": (lambda lines: [line.replace(",8,", ",8.5,") for line in lines], "line 2: K cannot be '8.5'"),
    "quote": (lambda lines: [*lines, '"never closed\n'], "cannot be read as a CSV"),
    "bytes": (lambda lines: [*lines, "\udcff\n"], "cannot be read as a CSV in UTF-8"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_is_a_sentence_and_stays_as_it_is(damage, tmp_path):
    """Conflict marks and cut rows had become rows of nulls; all else was a traceback."""
    path = tmp_path / "runs.csv"
    ledger.record(path, [ROW, ROW | {"seed": 1}])
    change, said = DAMAGES[damage]
    path.write_bytes("".join(change(lines_of(path))).encode("utf-8", "surrogateescape"))
    before = path.read_bytes()
    for work in (lambda: ledger.read(path), lambda: ledger.record(path, [ROW | {"seed": 2}])):
        with pytest.raises(BadInput, match=rf"runs\.csv.*{said}.*mend it"):
            work()
    assert path.read_bytes() == before


def test_what_a_spreadsheet_writes_in_its_own_way_is_read(tmp_path):
    path = tmp_path / "runs.csv"
    rows = ledger.record(path, [ROW])
    text = path.read_text().replace(",8,", ",8.0,").replace("true", "TRUE").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert ledger.read(path).equals(rows)


def test_a_prevalence_with_many_decimals_is_found_again(tmp_path):
    """Rounded in the file, it was never found, and the run was done anew each time."""
    rows = ledger.record(tmp_path / "runs.csv", [ROW | {"data_hash": "h", "alpha": 0.01, "prevalence": 0.0123456789}])
    assert len(ledger.finished(rows, "h", "m", "x", 0, 0.0123456789, 0.01)) == 1

"""A data folder that was changed, by a person or by somebody else, is refused; it never shows a file outside itself."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from core.data import open_data
from core.errors import BadInput
from evaluation.show import tables
from tests.changed import set_manifest

CHANGES = (None, "<b>x", -1, "missing")


def fields(content: dict, above: tuple = ()) -> list[tuple]:
    """The path of every field of a JSON object, however deep."""
    found = []
    for name, value in content.items():
        found += [(*above, name)] + (fields(value, (*above, name)) if isinstance(value, dict) else [])
    return found


def changed(content: dict, path: tuple, value) -> dict:
    """A copy with one field changed, or missing."""
    copy = json.loads(json.dumps(content))
    place = copy
    for name in path[:-1]:
        place = place[name]
    if value == "missing":
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


@pytest.mark.slow
def test_every_damaged_field_of_the_manifest_is_a_sentence_or_does_not_matter(workspace):
    """147 of 611 such cases were tracebacks."""
    path = workspace / "data" / "sample" / "manifest.json"
    manifest, said = json.loads(path.read_text()), []
    for field in fields(manifest):
        for value in CHANGES:
            path.write_text(json.dumps(changed(manifest, field, value)))
            try:
                data = open_data("sample")
                assert data.ledger_columns() and data.label and data.base is not None
                assert data.is_windowed in (True, False) and data.is_chronological is False
                data.events(data.split("test").row(0, named=True))
            except BadInput as error:
                said.append(str(error))
    assert len(said) > 50
    assert all("data/sample" in one and "python parse_logs.py sample" in one for one in said)
    for text in ("", "[]", "null", "{", "[" * 100_000, '{"name": 1}', "\ud800".encode("utf-8", "replace").decode()):
        path.write_text(text)
        with pytest.raises(BadInput, match=r"manifest\.json"):
            open_data("sample")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"manifest\.json is broken"):
        open_data("sample")


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.txt", "..", "", "a\\b"])
def test_a_manifest_names_no_file_outside_its_folder(name, workspace):
    """The lines of /etc/passwd were printed into report.html."""
    (workspace / "data" / "secret.txt").write_text("secret\n" * 50_000)
    set_manifest(workspace / "data" / "sample", sources=[{"file": name, "sha256": "0" * 64}])
    with pytest.raises(BadInput, match=r"sources\.0\.file"):
        open_data("sample")


def test_raw_lines_come_from_the_log_that_was_parsed_and_no_other(workspace):
    folder = workspace / "data" / "sample"
    log = folder / "simulated.log"
    row = open_data("sample").split("test").row(0, named=True)
    assert open_data("sample").events(row)["event"][0] == log.read_text().split("\n")[row["lines"][0] - 1]
    kept = workspace / "elsewhere.log"
    log.rename(kept)
    log.symlink_to(kept)
    assert open_data("sample").raw_lines.at([1]) == {}
    log.unlink()
    log.write_text("another log\n" * 50_000)
    data = open_data("sample")
    assert data.events(row)["event"][0] == data.templates[row["keys"][0]]


def test_raw_lines_of_a_log_elsewhere_are_shown_while_it_is_the_one_that_was_read(tmp_path, monkeypatch):
    """Alarms of an own log had no line, since its log lies beside the data folder and not in it."""
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "app.log.gz"
    lines = [f"2026-03-02 08:{minute:02}:00 INFO job {minute} done" for minute in range(60)]
    log.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert parse_logs.main([str(log), "--format", "auto", "--window", "600s", "--out", "data/app"]) == 0
    assert open_data("app").raw_lines.at([3, 60]) == {3: lines[2], 60: lines[59]}
    place = Path("data/app/log_place.json")
    place.write_text(place.read_text().replace("app.log.gz", "secret"))
    (tmp_path / "secret").write_text("of another\n" * 60)
    assert open_data("app").raw_lines.at([3]) == {}, "a folder from elsewhere may name any file of this machine"


def rows_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(split=pl.lit("test"))


@pytest.mark.parametrize("name", ["sequences.parquet", "templates.csv"])
def test_files_that_were_changed_after_parsing_are_refused(name, workspace):
    path = workspace / "data" / "sample" / name
    if path.suffix == ".csv":
        path.write_text(path.read_text().replace(",", ";"))
    else:
        rows_of(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises(BadInput, match=r"data/sample was changed after it was made.*make it again with: python parse"):
        open_data("sample")
    path.unlink()
    with pytest.raises(BadInput, match=f"data/sample lacks {name}"):
        open_data("sample")


def test_a_hash_is_made_once_for_a_folder_that_does_not_change(workspace, monkeypatch):
    open_data("sample")
    monkeypatch.setattr("core.files.hashlib.sha256", lambda: pytest.fail("hashed again"))
    open_data("sample")


@pytest.mark.parametrize(
    "content", [b"key;template\na;b\n", "key,template\na,\u00e9\n".encode("latin-1"), b"", b"key\na\n"]
)
def test_templates_that_are_no_table_are_a_sentence(content, workspace):
    folder = workspace / "data" / "sample"
    (folder / "templates.csv").write_bytes(content)
    set_manifest(folder)
    with pytest.raises(BadInput, match=r"templates\.csv is no UTF-8 table"):
        _ = open_data("sample").templates


def test_a_key_without_a_row_is_shown_as_itself(workspace):
    """A spreadsheet had written 1.23E+07 for a key: KeyError."""
    folder = workspace / "data" / "sample"
    lines = (folder / "templates.csv").read_text().splitlines(keepends=True)
    (folder / "templates.csv").write_text("".join(lines[:1]))
    (folder / "simulated.log").unlink()
    set_manifest(folder)
    data = open_data("sample")
    assert data.events(data.split("test").row(0, named=True))["event"].null_count() > 0
    assert len(tables.likeliest(pl.DataFrame({"key": ["x"], "probability": [1.0]}), "x", data.templates)) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "columns"])
def test_damaged_sequences_are_a_sentence(damage, workspace):
    folder = workspace / "data" / "sample"
    path = folder / "sequences.parquet"
    if damage == "columns":
        pl.DataFrame({"keys": [1]}).write_parquet(path)
    else:
        path.write_bytes(path.read_bytes()[: 1_000 if damage == "cut" else 0])
    set_manifest(folder)
    with pytest.raises(BadInput, match=r"sequences\.parquet (is damaged|has no column).*make it again with"):
        _ = open_data("sample").sequences

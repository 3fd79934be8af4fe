"""alarms.csv says where, what and what instead; reasons.html carries all it shows and runs nothing that a log holds."""

import base64
import json
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core import cells
from core.logs import LogFile
from core.raw_lines import RawLines
from evaluation import floors, metrics, rules
from evaluation.report import page, reasons
from evaluation.report.alarms import SCHEMA, alarms

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'so'"
PICTURE = b"\x89PNG not a picture, but these very bytes"


def judged(*rows: dict) -> pl.DataFrame:
    """Judged scores of three keys a sequence, normal, rank 9 and flagged by Top-K unless a row says else."""
    usual = {"label": 0, "length": 3, "rank": 9, "tail_probability": 0.01, "worst_event": 1, "has_unseen_key": False}
    usual |= {"flagged_top_k": True, "flagged_tail_probability": False, "flagged_tail_probability_and_counts": False}
    types = {"label": pl.Int8, "length": pl.Int32, "rank": pl.Int32, "tail_probability": pl.Float32}
    return pl.DataFrame([{"sequence_id": "s0"} | usual | row for row in rows], schema_overrides=types)


def sequences(keys: list[list[str]], lines: list[list[int] | None]) -> pl.DataFrame:
    names = [f"s{number}" for number in range(len(keys))]
    types = {"sequence_id": pl.String, "keys": pl.List(pl.String), "lines": pl.List(pl.Int64)}
    start = pl.lit(datetime(2026, 3, 2, 8, 0), pl.Datetime("us"))
    return pl.DataFrame([names, keys, lines], schema=types).with_columns(start=start)


def always_a(prefixes: list[list[str]]) -> list[list[tuple[str, float]]]:
    return [[("a", 0.454), ("b", 0.2), ("<end>", 0.001)] for _ in prefixes]


ABC = sequences([list("abc")] * 3, [[4, 5, 9]] * 3)


def test_alarms_are_the_flagged_sequences_with_the_strangest_first():
    scores = judged(
        {"sequence_id": "s0", "tail_probability": 0.02},
        {"sequence_id": "s1", "flagged_top_k": False},
        {"sequence_id": "s2", "flagged_top_k": False, "flagged_tail_probability": True, "tail_probability": 1e-4},
    )
    found = alarms(scores, ABC, {}, always_a)
    assert found["sequence_id"].to_list() == ["s2", "s0"]
    assert found["flagged_by"].to_list() == ["tail_probability", "top_k"]


def test_worst_event_and_line_count_from_one():
    row = alarms(judged({"worst_event": 1}), ABC, {"b": "Block <*>"}, always_a).row(0, named=True)
    assert (row["worst_event"], row["line"], row["key"], row["template"]) == (2, 5, "b", "Block <*>")
    assert row["expected"] == "45% a; 20% Block <*>; <1% end of the sequence"


def test_an_alarm_says_when_its_sequence_began_and_shows_the_line_as_it_stood(tmp_path):
    """A window was `window 12`, its event a hexadecimal key: nobody could find the line."""
    log = tmp_path / "app.log"
    log.write_text("".join(f"08:00:0{number} line {number}\n" for number in range(1, 10)))
    row = alarms(judged({}), ABC, {}, always_a, raw_lines=RawLines(LogFile(log))).row(0, named=True)
    assert (row["start"], row["raw"]) == (datetime(2026, 3, 2, 8, 0), "08:00:05 line 5")


def test_a_time_whose_log_names_no_year_is_not_shown_with_one():
    """Alarms of a syslog were said to be of 1904."""
    syslog = ABC.with_columns(start=pl.lit(datetime(1904, 12, 31, 20, 0), pl.Datetime("us")))
    assert alarms(judged({}), syslog, {}, always_a)["start"].to_list() == [None]


@pytest.mark.parametrize("words", ["a; b", "", "<10%; x"])
def test_what_was_expected_is_read_as_it_was_written(words):
    """A template with a semicolon was shown as two choices, the second without a share."""
    choices = [("a", 0.454), ("<end>", 0.2), ("b", 0.001)]
    text = reasons.as_text(choices, {"a": f"x{words}", "b": words})
    expected = [("45%", f"x{words}"), ("20%", "end of the sequence"), ("<1%", words or "b")]
    assert reasons.read_choices(text) == expected


def test_an_early_end_has_no_line_and_not_that_of_another_event():
    row = alarms(judged({"worst_event": 3}), ABC, {"c": "C"}, always_a).row(0, named=True)
    assert (row["worst_event"], row["line"], row["key"], row["template"]) == (4, None, "<end>", None)


def test_keys_without_lines_templates_and_labels_leave_those_columns_empty():
    found = alarms(judged({"label": None}), sequences([list("abc")], [None]), {"b": None}, always_a)
    assert found.schema == pl.Schema(SCHEMA)
    assert found.select("label", "line", "template").row(0) == (None, None, None)


def test_the_model_is_asked_once_and_for_distinct_prefixes():
    asked = []
    data = sequences([list("abc"), list("abx"), list("acb")], [None] * 3)
    scores = judged(*({"sequence_id": f"s{number}", "worst_event": 2} for number in range(3)))
    found = alarms(scores, data, {}, lambda prefixes: asked.append(prefixes) or [[(p[-1], 0.5)] for p in prefixes])
    assert asked == [[["a", "b"], ["a", "c"]]]
    assert found["expected"].to_list() == ["50% b", "50% b", "50% c"]


def test_without_an_alarm_the_model_is_not_asked():
    found = alarms(judged({"flagged_top_k": False}), ABC, {}, lambda prefixes: pytest.fail("asked for nothing"))
    assert found.is_empty() and found.schema == pl.Schema(SCHEMA)


def test_alarms_come_back_from_csv_with_keys_and_ids_as_text(tmp_path):
    data = sequences([["1e5", "007", "1"]], [[1, 2, 3]]).with_columns(sequence_id=pl.lit("0012"))
    found = alarms(judged({"sequence_id": "0012"}), data, {"007": 'a "quoted", long\ttext'}, always_a)
    found.write_csv(tmp_path / "alarms.csv")
    assert pl.read_csv(tmp_path / "alarms.csv", schema=SCHEMA).equals(found)


# ------------------------------------------------------------------------------------------------------- the page


def write_run(folder: Path, found_alarms: pl.DataFrame, **changes) -> str:
    """A run folder with report.html, and that page; `changes` replace keys of metrics.json and config.json."""
    (folder / "figures").mkdir(parents=True)
    for name in ("sources", "f1", "something_new"):
        (folder / "figures" / f"{name}.png").write_bytes(PICTURE + name.encode())
    config = {"data": "my", "data_hash": "0123456789abcdef", "method": "next_key", "model": "tiny", "seed": 3}
    config |= {"settings": {"context": 512, "lora_rank": None}} | changes.get("config", {})
    environment = {"python": "3.12", "system": "Linux", "device": "cpu", "commit": "abc", "packages": {"polars": "2"}}
    environment["model"] = {"path": "Transformers", "why": HOSTILE}
    scores = pl.DataFrame({"rank": [1, 2, 3], "tail_probability": [0.5, 0.4, 0.3], "has_unseen_key": [False] * 3})
    decision = rules.calibrate(scores.with_columns(count_vector_seen=True), 9, 0.3)
    decision["notes"].append(HOSTILE)
    decision |= {"data_hash": "0" * 16, "model_hash": "1" * 16, "default_rule": "tail_probability"}
    decision["ngrams"] = dict.fromkeys(floors.NGRAMS, decision["rules"])
    files = {"config": config, "environment": environment, "decision": decision}
    files["metrics"] = some_metrics() | changes.get("metrics", {})
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    cells.guard(found_alarms).write_csv(folder / "alarms.csv")
    path = page.write_page(folder, {"hits": [hostile_sequence()]}, {"b": HOSTILE, "<end>": None})
    return path.read_text(encoding="utf-8")


def some_metrics() -> dict:
    measured = metrics.measure(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]))
    measured |= {"auroc": None, "average_precision": None}
    verdicts = dict.fromkeys((*rules.RANK_RULES, "unseen_key"), measured)
    about = {"test_sequences": 4, "test_anomalies": 2, "simulated": False}
    return {
        "default_rule": "tail_probability",
        "rules": verdicts,
        "at_prevalence": None,
        "distinct": {"sequences": 4, "rules": verdicts},
        "new": {"sequences": 2, "rules": verdicts},
        "data": about,
        "prevalence": 0.5,
        "seconds": {"training": 1.0, "scoring": 1.0},
        "peak_memory_gb": 0.5,
    }


def hostile_sequence() -> str:
    row = {"sequence_id": HOSTILE, "length": 1, "worst_event": 0}
    row |= {"event_ranks": [9, 1], "event_tail_probabilities": [0.001, 1.0]}
    events = [{"line": 1, "key": HOSTILE, "event": HOSTILE}, {"line": None, "key": "<end>", "event": "end"}]
    return reasons.describe_sequence(row, events, [("40%", HOSTILE)], opened=True)[0]


@pytest.fixture
def hostile_page(tmp_path) -> str:
    """The page of a run in which everything a log can fill is hostile."""
    data = sequences([[HOSTILE, "b", "c"]], [[1, 2, 3]]).with_columns(sequence_id=pl.lit(HOSTILE))
    found = alarms(judged({"sequence_id": HOSTILE}), data, {"b": HOSTILE}, lambda p: [[("b", 0.4)]])
    return write_run(tmp_path / "results" / "my" / "run", found, config={"model": "<b>bold</b>"})


class Elements(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_log_text_is_shown_and_never_becomes_markup(hostile_page):
    found = Elements(hostile_page)
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [attribute for _, attributes in found.tags for attribute in attributes if attribute.startswith("on")]
    assert all(attributes["src"].startswith("data:image/png") for tag, attributes in found.tags if tag == "img")
    assert found.text.count("<b>bold</b>") == 5  # title, headline, settings, two commands
    gallery, alarm, keys, making = 4, 3, 1, 2  # title, key, line, expected; id, template, expected; template; note, why
    assert found.text.count(HOSTILE) == gallery + alarm + keys + making


def test_the_page_loads_nothing_and_forbids_it(hostile_page):
    found = Elements(hostile_page)
    links = [value for _, attributes in found.tags for name, value in attributes.items() if name in ("src", "href")]
    assert links and all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|https?://|<link", hostile_page)
    assert {"http-equiv": "Content-Security-Policy", "content": page.POLICY} in [found for _, found in found.tags]


def test_every_link_of_the_contents_leads_somewhere(hostile_page):
    tags = Elements(hostile_page).tags
    assert {found["href"][1:] for tag, found in tags if tag == "a"} <= {found.get("id") for _, found in tags}


def test_where_the_run_lies_on_this_machine_stays_here(tmp_path, hostile_page):
    assert str(tmp_path) not in hostile_page and str(Path.home()) + "/" not in hostile_page
    assert "results/my/next_key-" in hostile_page


def test_figures_are_inside_the_page_in_order_and_a_new_one_is_not_forgotten(hostile_page):
    pictures = [found["src"].partition("base64,")[2] for tag, found in Elements(hostile_page).tags if tag == "img"]
    names = [base64.b64decode(picture).removeprefix(PICTURE).decode() for picture in pictures]
    assert names == ["f1", "sources", "something_new"]
    assert "<figcaption>something new</figcaption>" in hostile_page


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_says_so_at_the_top_and_real_data_does_not(tmp_path, simulated):
    about = some_metrics()["data"] | {"simulated": simulated}
    html = write_run(tmp_path / "run", alarms(judged({}), ABC, {}, always_a), metrics={"data": about})
    assert ("SIMULATED DATA" in html) == simulated
    assert ("<h1>tiny on my (simulated)</h1>" in html) == simulated


def test_a_prevalence_that_was_asked_for_has_its_own_table(tmp_path):
    asked = {"prevalence": 0.0293, "rules": some_metrics()["rules"]}
    found = alarms(judged({}), ABC, {}, always_a)
    assert "2.93%" not in write_run(tmp_path / "without", found)
    assert "At a share of 2.93%" in write_run(tmp_path / "with", found, metrics={"at_prevalence": asked})


def test_an_early_end_and_an_unlabeled_sequence_are_told_in_words(tmp_path):
    html = write_run(tmp_path / "run", alarms(judged({"worst_event": 3, "label": None}), ABC, {}, always_a))
    assert "the sequence ends here" in html and "end after 3 events<" in html and "<th>label</th>" not in html
    assert "<span>&lt;1%</span> <span>end of the sequence</span>" in html


def test_many_alarms_are_cut_and_counted(tmp_path):
    found = alarms(judged(*({"sequence_id": f"s{number % 3}"} for number in range(70))), ABC, {}, always_a)
    html = write_run(tmp_path / "run", found)
    assert "70 more that only other rules flag, the 50 strangest shown" in html
    assert html.count("event 2 of 3, line 5") == 50


def test_an_id_that_looks_like_a_number_is_shown_as_it_is(tmp_path):
    data = ABC.head(1).with_columns(sequence_id=pl.lit("0012"))
    html = write_run(tmp_path / "run", alarms(judged({"sequence_id": "0012"}), data, {}, always_a))
    assert "<code>0012</code>" in html


def test_a_run_without_alarms_has_a_page(tmp_path):
    html = write_run(tmp_path / "run", alarms(judged({"flagged_top_k": False}), ABC, {}, always_a))
    assert "flags no sequence" in html


def test_the_command_of_a_pretrained_model_names_its_key_embeddings(tmp_path):
    settings = {"checkpoint": "Llama", "key_embeddings": "paper"}
    config = {"model": "owner/name", "settings": settings}
    html = write_run(tmp_path / "run", alarms(judged({}), ABC, {}, always_a), config=config)
    assert "make run DATA=my MODEL=owner/name SEED=3 KEY_EMBEDDINGS=paper" in html
    assert "python -m commands.run --data my --model owner/name --seed 3 --key-embeddings paper" in html

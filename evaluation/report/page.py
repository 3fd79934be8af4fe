"""A run as one HTML file that opens anywhere: no script, nothing loaded from elsewhere, pictures inside the file."""

import base64
import json
import shlex
from collections.abc import Mapping
from html import escape
from pathlib import Path

import polars as pl

from evaluation.report import alarms
from evaluation.rules import RULE_TITLES
from evaluation.show import tables
from evaluation.show.notebook import as_html
from evaluation.verdicts import today

SHOWN_ALARMS = 50
# A second wall behind escaping: whatever a log line holds, the browser runs no script and fetches nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CAPTIONS = {
    "f1": "F1 of every rule and trivial detector, with 95 % bootstrap intervals over sequences.",
    "confusion": "Counts of right and wrong verdicts of the calibrated rules; shares are of each row.",
    "precision_recall": "The line is the tail probability at every threshold, the dots are the calibrated rules.",
    "f1_by_k": "F1 at every K, a diagnostic: its best K is chosen with test labels and is not used.",
    "sources": "By which sign each rule caught its anomalies. An unseen key needs no model; the other signs do.",
    "ranks": "Ranks of the true next key on validation normals; 1 is what the model expected most.",
    "false_alarms_by_k": "What each K costs on validation normals. The calibrated K is the smallest that keeps alpha.",
    "k_stability": "K over bootstrap samples of the validation sequences: how much it owes to chance.",
    "training": "Loss of every epoch. The dotted line is what a model that knows nothing would lose.",
    "lengths": "Length of the training sequences. Those beyond the context are read in chunks, none is cut.",
    "key_frequencies": "How often each log key occurs in training, the most frequent first.",
}
STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --panel: #f5f7f9; --ink: #1c232b; --soft: #5b6672; --line: #dfe4e9;
  --accent: #2a669c; --on-accent: #ffffff }
@media (prefers-color-scheme: dark) { :root { --page: #13171c; --panel: #1b2128; --ink: #e3e8ed; --soft: #9aa6b2;
  --line: #313a44; --accent: #84b8e6; --on-accent: #13171c } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.6 system-ui, "Segoe UI", Roboto, sans-serif }
.banner { background: var(--accent); color: var(--on-accent); padding: .6rem 1.5rem; text-align: center }
header, main, footer { max-width: 66rem; margin: 0 auto; padding: 0 1.5rem }
header { padding-top: 2.5rem }
footer { margin-top: 4rem; padding-bottom: 3rem; color: var(--soft); font-size: .85rem }
h1 { margin: 0; font-size: 2rem; line-height: 1.25; overflow-wrap: anywhere }
h2 { margin: 4rem 0 .75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); font-size: 1.35rem }
h3 { margin: 2.25rem 0 .5rem; font-size: 1.02rem }
.grid h3 { margin-top: 0 }
.scroll + .grid { margin-top: 2.5rem }
p { max-width: 46rem; margin: .5rem 0 1rem }
a { color: var(--accent) }
.about, figcaption, dt, small { color: var(--soft) }
.about span { display: inline-block; margin-right: 1.5rem }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: 1.5rem 0 0; font-size: .92rem }
.lead { max-width: none; margin: 2rem 0; padding: 1rem 1.4rem; border-left: 4px solid var(--accent);
  background: var(--panel); font-size: 1.1rem }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.25rem; margin: 2rem 0 0 }
dt { font-size: .82rem }
dd { margin: 0; font-size: 1.4rem; font-variant-numeric: tabular-nums }
.scroll, details { max-width: 100%; overflow: auto }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
caption:empty { display: none }
th, td { padding: .42rem .9rem .42rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
th { color: var(--soft); font-weight: 600; line-height: 1.3; vertical-align: bottom }
th:last-child, td:last-child { padding-right: .25rem }
.number { text-align: right }
code, pre { font: .86em/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace }
pre { margin: .5rem 0 1rem; padding: .9rem 1.1rem; background: var(--panel); overflow-x: auto }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 2rem }
figure { margin: 0 }
figure img { display: block; width: 100%; padding: .75rem; background: #ffffff; border: 1px solid var(--line);
  border-radius: 6px }
figcaption { margin-top: .6rem; font-size: .88rem }
details { margin: .6rem 0; padding: .5rem 1rem; border: 1px solid var(--line); border-radius: 6px }
summary { cursor: pointer; overflow-wrap: anywhere }
details[open] > summary { margin-bottom: .75rem }
details table { font-size: .85rem }
.scroll td:first-child { min-width: 9rem }
.event { min-width: 21rem; overflow-wrap: anywhere }
td small { display: block; line-height: 1.5 }
#the-reason :is(th, td) { padding: .25rem .75rem }
#the-reason td:nth-child(3) { min-width: 14rem; overflow-wrap: anywhere }
#the-reason :is(th, td):is(:first-child, :last-child) { text-align: right; white-space: nowrap }
@media (max-width: 40rem) { h1 { font-size: 1.55rem } h2 { margin-top: 3rem } .lead { font-size: 1rem } }
@media print { body { font-size: 10pt } nav { display: none } .grid { grid-template-columns: 1fr 1fr; gap: 1rem }
  figure, tr { break-inside: avoid } h2, h3 { break-after: avoid } .scroll, details { overflow: visible }
  .banner { print-color-adjust: exact } details::details-content { content-visibility: visible } }
"""


def write_page(folder: Path, gallery: Mapping[str, list[str]], templates: Mapping[str, str | None]) -> Path:
    """report.html of the run in `folder`, made of the files there; returns its path.

    `gallery` holds, by the name of the case, sequences as `report.describe_sequence` gives them, `templates` the
    template of each key.
    """
    config, environment, decision, found = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("config", "environment", "decision", "metrics")
    )
    flagged = pl.read_csv(folder / "alarms.csv", schema=alarms.SCHEMA)
    sections = {
        "Verdicts": _verdicts(found),
        "Figures": _figures(folder / "figures"),
        "The reason": _gallery(gallery),
        "Alarms": _alarms(flagged, templates),
        "How the run was made": _making(config, environment, decision, found),
        "Do it again": _again(config, environment),
        "Log keys": _log_keys(templates),
    }
    path = folder / "report.html"
    beside = folder / ".new-report.html"
    beside.write_text(_page(_head(config, decision, found, len(flagged)), sections, config, found), encoding="utf-8")
    beside.replace(path)
    return path


def _page(head: str, sections: Mapping[str, str], config: dict, found: dict) -> str:
    title = escape(f"{_name(config, found)}: log-sequence anomaly detection")
    links = "".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name in sections)
    body = "".join(
        f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>{html}</section>' for name, html in sections.items()
    )
    banner = "<b>SIMULATED DATA</b>: these figures show that the method runs, and say nothing of a real system."
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{_tag('div', banner, 'banner') if found['data']['simulated'] else ''}"
        f"<header>{head}<nav>{links}</nav></header>\n<main>\n{body}\n</main>\n"
        f"<footer>Made from the files of {escape(_place(config))}/ on {today()}.</footer>\n</body>\n</html>\n"
    )


def _head(config: dict, decision: dict, found: dict, alarm_count: int) -> str:
    test, top_k = found["data"], decision["rules"]["top_k"]
    figures = {
        "test sequences": f"{test['test_sequences']:,}",
        "anomalous": f"{test['test_anomalies']:,} ({found['prevalence']:.1%})",
        "alarms of any rule": f"{alarm_count:,}",
        "allowed false alarms": f"{decision['alpha']:.1%}",
        "K of V log keys": f"{top_k['K']} of {decision['V']}",
        "K / V": f"{top_k['K_over_V']:.2f}",
    }
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items())
    facts = (f"{config['method'].replace('_', ' ')} model", f"seed {config['seed']}", today())
    about = "".join(_tag("span", escape(fact)) for fact in facts)
    return (
        f"{_tag('h1', escape(_name(config, found)))}{_tag('div', about, 'about')}"
        f"{_tag('p', escape(tables.conclusion(found)), 'lead')}<dl>{tiles}</dl>"
    )


def _verdicts(found: dict) -> str:
    parts = [
        "<p>F1 low and F1 high bound a 95 % bootstrap interval over sequences. Precision and F1 depend on the share of "
        "anomalies; recall and the false-alarm rate do not. The trivial detectors learn nothing.</p>",
        f"<h3>At the share of anomalies in the test set, {found['prevalence']:.2%}</h3>",
        _scroll(as_html(tables.verdicts(found), "")),
    ]
    if found["at_prevalence"]:
        asked = found["at_prevalence"]
        parts.append(f"<h3>At a share of {asked['prevalence']:.2%}, normals weighted</h3>")
        parts.append(_scroll(as_html(tables.verdicts(asked), "")))
    distinct = found["distinct"]
    title = f"Every distinct sequence counted once: {distinct['sequences']:,} sequences"
    return "".join(parts) + _folded(title, as_html(tables.verdicts(distinct), ""))


def _figures(folder: Path) -> str:
    order = {name: place for place, name in enumerate(CAPTIONS)}
    paths = sorted(sorted(folder.glob("*.png")), key=lambda path: order.get(path.stem, len(order)))
    return f'<div class="grid">{"".join(map(_figure, paths))}</div>'


def _figure(path: Path) -> str:
    caption = escape(CAPTIONS.get(path.stem, path.stem.replace("_", " ")))
    picture = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{caption}" src="data:image/png;base64,{picture}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _gallery(gallery: Mapping[str, list[str]]) -> str:
    intro = (
        "<p>The strangest sequences of each kind, an event a row: the redder, the less probable it was to the model. "
        "Below the worst event stands what the model expected in its place.</p>"
    )
    cases = (f"<h3>{escape(case)}: {len(shown)} shown</h3>{''.join(shown)}" for case, shown in gallery.items())
    return intro + "".join(cases)


def _alarms(flagged: pl.DataFrame, templates: Mapping[str, str | None]) -> str:
    shown = flagged.head(SHOWN_ALARMS)
    intro = (
        f"<p>The {len(shown):,} strangest of {len(flagged):,} flagged sequences; alarms.csv has them all. "
        "Tail probability: how probable the worst event was, together with everything less probable.</p>"
    )
    heads = ("sequence", "label", "worst event, and what was expected instead", "flagged by")
    head = "".join(f"<th>{name}</th>" for name in heads)
    numbers = "".join(f'<th class="number">{name}</th>' for name in ("largest rank", "tail probability"))
    rows = "".join(_alarm(row, templates) for row in shown.iter_rows(named=True))
    return intro + _scroll(f"<table><thead><tr>{head}{numbers}</tr></thead><tbody>{rows}</tbody></table>")


def _alarm(row: dict, templates: Mapping[str, str | None]) -> str:
    at_end = row["worst_event"] > row["length"]
    place = f"end after {row['length']:,}" if at_end else f"event {row['worst_event']:,} of {row['length']:,}"
    line = "" if row["line"] is None else f", line {row['line']:,}"
    came = "the sequence ends here" if at_end else row["template"] or row["key"]
    unseen = "<small><b>a key that training never saw</b></small>" if row["has_unseen_key"] else ""
    choices = "".join(f"<small>{escape(_choice(text, templates))}</small>" for text in row["expected"].split("; "))
    label = {0: "normal", 1: "anomaly", None: "-"}[row["label"]]
    rules = "".join(_tag("small", RULE_TITLES[rule]) for rule in row["flagged_by"].split())
    return (
        f"<tr><td><code>{escape(row['sequence_id'])}</code><small>{place}{line}</small></td><td>{label}</td>"
        f'<td class="event">{escape(came)}{unseen}{choices}</td><td>{rules}</td>'
        f'<td class="number">{row["rank"]:,}</td><td class="number">{row["tail_probability"]:.2g}</td></tr>'
    )


def _choice(text: str, templates: Mapping[str, str | None]) -> str:
    """An expected key as alarms.csv has it, `key (45%)`, in words, the share first."""
    key, share = text.rsplit(" ", 1)
    return f"{share.strip('()')} {'end of the sequence' if key == alarms.END else templates.get(key) or key}"


def _making(config: dict, environment: dict, decision: dict, found: dict) -> str:
    kept = "kept" if decision["alpha_kept"] else "not kept"
    calibrated = (
        f"Calibrated on {decision['validation_sequences']:,} normal validation sequences at alpha = "
        f"{decision['alpha']:.2%}, which is {kept}; no rule saw a test label. {tables.model_use(decision)}"
    )
    parts = {
        "Settings": _pairs(config),
        "Machine, and which way the model ran on it": _pairs(environment),
        "Test set": tables.pairs(found["data"]),
        "Cost": tables.cost(found),
    }
    notes = "".join(_tag("p", escape(note)) for note in [calibrated, *decision["notes"]])
    rules = _scroll(as_html(tables.decision(decision), ""))
    grid = "".join(f"<div><h3>{title}</h3>{_scroll(as_html(frame, ''))}</div>" for title, frame in parts.items())
    return f'{notes}{rules}<div class="grid">{grid}</div>'


def _pairs(values: dict) -> pl.DataFrame:
    """Two columns, name and value, as they are; what is nested is named with its parent."""
    rows = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += [(f"{name}: {inner}".replace("_", " "), str(own)) for inner, own in value.items()]
        else:
            rows.append((name.replace("_", " "), str(value)))
    return pl.DataFrame(rows, schema=["what", "value"], orient="row")


def _again(config: dict, environment: dict) -> str:
    values = {name: shlex.quote(str(config[name])) for name in ("data", "model", "seed")}
    if "checkpoint" in config["settings"]:
        values["key_embeddings"] = config["settings"]["key_embeddings"]
    with_make = "make run " + " ".join(f"{name.upper()}={value}" for name, value in values.items())
    options = (f"--{name.replace('_', '-')} {value}" for name, value in values.items())
    without = f"python -m commands.run {' '.join(options)}"
    text = (
        f"In the repository at commit {environment['commit']}, with data whose manifest has the hash "
        f"{config['data_hash']} and the settings above. What is done already is not done again, so remove "
        f"{_place(config)} first."
    )
    return f"{_tag('p', escape(text))}<pre>{escape(with_make)}\n{escape(without)}</pre>"


def _log_keys(templates: Mapping[str, str | None]) -> str:
    frame = pl.DataFrame(list(templates.items()), schema={"key": pl.String, "template": pl.String}, orient="row")
    return _folded(f"{len(templates):,} log keys and their templates", as_html(frame, ""))


def _name(config: dict, found: dict) -> str:
    return f"{config['model']} on {config['data']}{' (simulated)' if found['data']['simulated'] else ''}"


def _place(config: dict) -> str:
    """The run folder as a reader of the repository knows it, whatever lies above it on this machine."""
    return f"results/{config['data']}/{config['method']}-{config['model'].replace('/', '--')}-s{config['seed']}"


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _tag(tag: str, html: str, kind: str = "") -> str:
    return f'<{tag} class="{kind}">{html}</{tag}>' if kind else f"<{tag}>{html}</{tag}>"


def _scroll(table: str) -> str:
    return _tag("div", table, "scroll")


def _folded(title: str, html: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{html}</details>"

"""The data sets: where each comes from and how a line becomes a log key; and the protocols: how papers split them.

Every figure names its source. Sources cited by a short name:
  LogGPT      the parser and splitter released with Han et al. 2023 (arXiv 2309.14482), utils/preprocessing.py and
              args/; the framework's own files were made with them. Masks are written anew for Polars.
  LogLLM      Guan et al. 2024 (arXiv 2411.08561), README and prepareData/ of their release.
  Le & Zhang  Le and Zhang 2022 (arXiv 2202.04820), README of LogADEmpirical.
  Loghub      Zhu et al. 2023 (arXiv 2008.06448), data at https://zenodo.org/records/8196385. The MD5 digests below
              stand in public programs that download from there; they were not checked against a download here.
  CFDR        Computer Failure Data Repository, https://www.usenix.org/cfdr-data; addresses as in LogLLM's README.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from parsing.lines.download import Download
from parsing.sequences.group import Grouping
from parsing.sequences.split import SplitSettings
from parsing.templates.drain import DrainSettings
from parsing.templates.masks import PARAMETER, Mask

_LOGHUB = "https://zenodo.org/records/8196385/files/"
_CFDR = "http://0b4af6cdc2f0c5998459-c0245c5c937c5dedcca3f1764ecc9b2f.r43.cf2.rackcdn.com/hpc4/"
_SECOND_HAND = "public programs that fetch this Zenodo record; unverified here"
_NO_CHECKSUM = "unverified: no published checksum found"


@dataclass(frozen=True)
class Spec:
    """One data set: a Loghub header format, how its time is read, and what makes a line or a block anomalous.

    `session` groups lines, and `session_by` says what it is: a pattern of ids in the message or in the whole line, a
    field that holds the id, a pattern of the message that begins a sequence, or the name of each file; without it lines
    are grouped in windows. `label_field` names the
    header field that is "-", 0, false or normal for a normal line; without it labels come from a file, or there are
    none.
    """

    name: str
    title: str
    origin: str
    license: str
    header: str
    time: str | None
    session: str | None = None
    session_by: str = "message"  # or "line", "field", "begin", "file"
    label_field: str | None = None
    continuation: str = "reject"  # of lines without the header: "join" the event before, or "reject" them
    masks: tuple[Mask, ...] = ()
    miner: str = "drain"  # or "slots", that of own logs; a manifest that does not say it was written with Drain
    drain: DrainSettings = field(default_factory=DrainSettings)
    loggpt: tuple[tuple[Mask, ...], DrainSettings] | None = None  # masks and settings of that protocol, if different
    download: Download | None = None
    log_member: str | None = None
    label_member: str | None = None
    protocol: str = "complete"
    train_normals: int = 5_000
    slices: dict[str, tuple[int, int]] = field(default_factory=dict)  # protocol: first and last line that it uses
    expected: dict[str, int] = field(default_factory=dict)
    expected_source: str = ""
    published: dict[str, dict[str, int]] = field(default_factory=dict)  # protocol: counts that its paper gives
    simulated: bool = False


# A number between two characters that are neither letter nor digit. Neighbors share such a character and a match
# consumes it, so the mask is applied twice: the second pass finds every number that the first had to skip.
_NUMBER = r"(^|[^A-Za-z0-9])[-+]?[0-9]+([^A-Za-z0-9]|$)"
_NUMBER_BLANKED = "${1}" + PARAMETER + "${2}"
_NUMBERS = (Mask("number", _NUMBER, _NUMBER_BLANKED), Mask("number next to a number", _NUMBER, _NUMBER_BLANKED))
_BLOCK = Mask("block id", r"blk_-?[0-9]+")
_ADDRESS = Mask("address", r"/?[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(?::[0-9]+)?:?")
_HEX = r"[0-9a-fA-F]"

_HDFS: dict[str, Any] = {
    "header": "<Date> <Time> <Pid> <Level> <Component>: <Content>",
    "time": "%y%m%d %H%M%S of Date Time",
    "session": r"blk_-?[0-9]+",
    "masks": (_BLOCK, _ADDRESS, *_NUMBERS),  # LogGPT for HDFS: these three
    "drain": DrainSettings(depth=4, similarity=0.5, max_children=100),  # LogGPT: depth 4, st 0.5, maxChild 100
}
_GUID = Mask("hexadecimal id and its braces", rf"<{_HEX}{{16}}>\{{[^}}]*\}}")
# Ours, found on the 2,000 lines of Loghub's sample (benchmarks/data_set_templates.py). No number mask: the hand-made
# templates keep uid=0 and line numbers of source files, and numbers in front of a message would merge different
# programs.
_SUPERCOMPUTER_MASKS = (
    _ADDRESS,
    Mask("MAC address", rf"\b{_HEX}{{2}}(?::{_HEX}{{2}}){{5}}\b"),
    Mask("hexadecimal number", rf"\b0x{_HEX}+\b"),
    Mask("file of ganglia, whose name may hold a blank", r"/rrds/[^:()]*\.rrd", f"/rrds/{PARAMETER}.rrd"),
    Mask("node or list of nodes", r"\b[a-z]n[0-9]+(?: [a-z]n[0-9]+)*\b"),
    _GUID,
)
_SUPERCOMPUTER: dict[str, Any] = {
    "header": "<Label> <Timestamp> <Date> <User> <Month> <Day> <Time> <Location> <Content>",
    "time": "epoch:Timestamp",
    "label_field": "Label",
    "masks": _SUPERCOMPUTER_MASKS,
    "drain": DrainSettings(depth=4, similarity=0.5, max_children=100),  # logparser's benchmark for Thunderbird
    # LogGPT for Thunderbird: address, node, id; depth 2, st 0.3. Drain3 accepts no depth below 3, which gives the same
    # tree: no level of tokens.
    "loggpt": (
        (_ADDRESS, Mask("node", r"\b[a-d]n[0-9]+\b"), _GUID),
        DrainSettings(depth=3, similarity=0.3, max_children=100),
    ),
}

HDFS = Spec(
    name="hdfs",
    title="HDFS v1",
    origin="Xu et al. 2009, as distributed by Loghub (HDFS_v1.zip: HDFS.log, preprocessed/anomaly_label.csv)",
    license="Loghub: free for research, cite Loghub and Xu et al.",
    download=Download(_LOGHUB + "HDFS_v1.zip", "76a24b4d9a6164d543fb275f89773260", _SECOND_HAND),
    log_member="HDFS.log",
    label_member="anomaly_label.csv",
    expected={"lines": 11_175_629, "sequences": 575_061, "anomalous": 16_838},
    expected_source="Loghub; the same three figures in Le & Zhang",
    **_HDFS,
)

SAMPLE = Spec(
    name="sample",
    title="simulated HDFS-like log",
    origin="parsing/simulate.py",
    license="MIT, as this repository",
    # Half of the normals: 1,000 to learn from, 250 to calibrate on, and as many again to test on.
    train_normals=1_250,
    simulated=True,
    **_HDFS,
)

UPDATED_SAMPLE = replace(
    SAMPLE,
    name="sample_update",
    title="simulated HDFS-like log with an update of the software",
    origin="parsing/simulate.py, parsing/update.py",
)

BGL = Spec(
    name="bgl",
    title="BGL",
    origin="Oliner and Stearley 2007, as distributed by Loghub (BGL.zip: BGL.log)",
    license="Loghub: free for research, cite Loghub and Oliner and Stearley",
    header="<Label> <Timestamp> <Date> <Node> <Time> <NodeRepeat> <Type> <Component> <Level> <Content>",
    time="epoch:Timestamp",
    label_field="Label",
    masks=(  # LogGPT for BGL, in its order
        Mask("core file", r"core\.[0-9]+"),
        _BLOCK,
        _ADDRESS,
        Mask("pair of hexadecimal numbers", rf"\b{_HEX}+:{_HEX}+\b"),
        Mask("floating point registers", rf"fpr[0-9]+=0x{_HEX}+(?: {_HEX}+){{3}}"),
        Mask("register", rf"r[0-9]+=0x{_HEX}+"),
        Mask("special register", rf"[lcxetr]r=0x{_HEX}+"),
        Mask("hexadecimal number", rf"0x{_HEX}+"),
        *_NUMBERS,
    ),
    drain=DrainSettings(depth=4, similarity=0.5, max_children=100),  # LogGPT for BGL
    download=Download(_LOGHUB + "BGL.zip", "4452953c470f2d95fcb32d5f6e733f7a", _SECOND_HAND),
    log_member="BGL.log",
    expected={"lines": 4_747_963, "anomalous_lines": 348_460},
    expected_source="Le & Zhang",
    published={"logllm": {"sequences": 47_135}},  # LogLLM, README; its header pattern loses about 34,000 lines
)

THUNDERBIRD = Spec(
    name="thunderbird",
    title="Thunderbird",
    origin="Oliner and Stearley 2007, as distributed by Loghub (Thunderbird.tar.gz: Thunderbird.log)",
    license="Loghub: free for research, cite Loghub and Oliner and Stearley",
    download=Download(_LOGHUB + "Thunderbird.tar.gz", "0891b048df2919dc78c99c4428686b44", _SECOND_HAND),
    log_member="Thunderbird.log",
    # LogGPT counts 20,000,000 lines that match its own stricter header; here it is the first 20,000,000 lines.
    # Le & Zhang use 10,000,000 lines and do not say which.
    slices={"loggpt": (1, 20_000_000), "logllm": (160_000_001, 170_000_000)},
    published={"logllm": {"sequences": 99_997}},  # LogLLM, README
    **_SUPERCOMPUTER,
)

LIBERTY = Spec(
    name="liberty",
    title="Liberty",
    origin="Oliner and Stearley 2007, CFDR (liberty2.gz)",
    license="CFDR: free for research, cite Oliner and Stearley",
    download=Download(_CFDR + "liberty2.gz", None, _NO_CHECKSUM),
    slices={"logllm": (40_000_001, 45_000_000)},
    published={"logllm": {"sequences": 50_000}},  # LogLLM, README
    **_SUPERCOMPUTER,
)

SPIRIT = Spec(
    name="spirit",
    title="Spirit",
    origin="Oliner and Stearley 2007, CFDR (spirit2.gz)",
    license="CFDR: free for research, cite Oliner and Stearley",
    download=Download(_CFDR + "spirit2.gz", None, _NO_CHECKSUM),
    # Le & Zhang use 5,000,000 lines and do not say which.
    **_SUPERCOMPUTER,
)

SPECS = {spec.name: spec for spec in (HDFS, BGL, THUNDERBIRD, LIBERTY, SPIRIT, SAMPLE, UPDATED_SAMPLE)}


@dataclass(frozen=True)
class Protocol:
    """Grouping of logs without sessions, the split, and where both were published.

    `longest` and `shortest` are what the published code keeps, in events; it silently drops the rest. Here nothing is
    dropped unless --paper-faults asks for it.
    """

    windows: Grouping
    split: SplitSettings
    source: str
    of_sessions: SplitSettings | None = None  # the split where the log has sessions, if another
    shortest: int = 1
    longest: int | None = None


PROTOCOLS = {
    "complete": Protocol(
        Grouping("seconds", 60, 60),
        SplitSettings("random"),
        "ours: sessions where the log has them, else LogGPT's minute without its overlap, so that every line is in "
        "exactly one window; LogGPT's split",
    ),
    "loggpt": Protocol(
        Grouping("seconds", 60, 30),
        SplitSettings("random"),
        "LogGPT: 60 s every 30 s, normals shuffled, 5,000 to train. Its code takes 61 s (both ends), loses windows of "
        "more than 512 events to a comparison of seconds with events, and drops those of 0 or 1 event",
        shortest=2,
        longest=512,
    ),
    "supervised": Protocol(
        Grouping("seconds", 60, 60),
        SplitSettings("labeled", train_normals=None, train_share=0.9, validation_share=1 / 9),
        "ours: sessions, or minutes, shuffled, 80% to train, 10% to validate, 10% to test, all with their labels",
    ),
    "logllm": Protocol(
        Grouping("lines", 100, 100),
        SplitSettings("labeled_in_time", train_normals=None, train_share=0.8, validation_share=0.1),
        "LogLLM: 100 lines without overlap, the first 80% to train, labeled anomalies among them; sessions shuffled. "
        "It has no validation: here that is the last tenth of the training",
        SplitSettings("labeled", train_normals=None, train_share=0.8, validation_share=0.1),
    ),
    "chronological": Protocol(
        Grouping("lines", 100, 100),
        SplitSettings("chronological", train_normals=None, train_share=0.5),
        "ours: trained on the first half, tested on the second",
    ),
}


def grouping_of(spec: Spec, protocol: Protocol) -> Grouping:
    """Return sessions if the data set has them, otherwise the protocol's windows."""
    return Grouping("session") if spec.session else protocol.windows

"""The data sets: where each comes from and how a line of it becomes a log key.

Every figure names its source. Two sources are cited by a short name:
  LogGPT   the parser and splitter released with Han et al. 2023 (arXiv 2309.14482), utils/preprocessing.py and args/;
           the framework's own files were made with them.
  Loghub   Zhu et al. 2023 (arXiv 2008.06448), data at https://zenodo.org/records/8196385.
"""

from dataclasses import dataclass, field

PARAMETER = "<*>"  # what Drain writes for a variable part; masks write the same, so that Drain counts it as variable


@dataclass(frozen=True)
class Mask:
    """A variable part that is blanked before mining. Rust syntax: no look-around, `${1}` is the first group."""

    name: str
    pattern: str
    replacement: str = PARAMETER


@dataclass(frozen=True)
class DrainSettings:
    """Knobs of Drain (He et al. 2017) under the names of Drain3."""

    depth: int = 4
    similarity: float = 0.5
    max_children: int = 100


@dataclass(frozen=True)
class SplitSettings:
    """Normals to train on; the last `validation_share` of them is validation, all else and every anomaly is test."""

    train_normals: int = 5_000  # LogGPT and the framework: 5,000 normal sequences
    validation_share: float = 0.2  # the framework trains on 4,000 and looks for K on 1,000


@dataclass(frozen=True)
class Spec:
    """One data set. `header` has the groups `date`, `time` (joined by a blank, read by `time_format`) and `content`."""

    name: str
    title: str
    origin: str
    license: str
    header: str
    time_format: str
    session: str
    label_rule: str
    masks: tuple[Mask, ...]
    drain: DrainSettings = DrainSettings()
    split: SplitSettings = SplitSettings()
    expected: dict[str, int] = field(default_factory=dict)
    expected_source: str = ""
    simulated: bool = False


# A number between two characters that are neither letter nor digit. Neighbors share such a character and a match
# consumes it, so the mask is applied twice: the second pass meets every number that the first had to skip.
_NUMBER = r"(^|[^A-Za-z0-9])[-+]?[0-9]+([^A-Za-z0-9]|$)"
_NUMBER_BLANKED = "${1}" + PARAMETER + "${2}"

_HDFS = {
    "header": (r"^(?<date>\d{6}) (?<time>\d{6}) (?<pid>\d+) (?<level>[A-Z]+) (?<component>[^ :]+): (?<content>.*)$"),
    "time_format": "%y%m%d %H%M%S",
    "session": r"blk_-?[0-9]+",
    "label_rule": "one label a block in the label file (BlockId,Label with Normal or Anomaly)",
    # The three masks of LogGPT for HDFS, rewritten without look-around.
    "masks": (
        Mask("block id", r"blk_-?[0-9]+"),
        Mask("address", r"/?(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?::[0-9]+)?:?"),
        Mask("number", _NUMBER, _NUMBER_BLANKED),
        Mask("number next to a number", _NUMBER, _NUMBER_BLANKED),
    ),
    "drain": DrainSettings(depth=4, similarity=0.5, max_children=100),  # LogGPT: depth 4, st 0.5, maxChild 100
}

HDFS = Spec(
    name="hdfs",
    title="HDFS v1",
    origin="Xu et al. 2009, as distributed by Loghub (HDFS_v1: HDFS.log, anomaly_label.csv)",
    license="Loghub: free for research, cite Loghub and Xu et al.",
    expected={"lines": 11_175_629, "sequences": 575_061, "anomalous": 16_838},
    expected_source="Loghub; the same three figures in Le & Zhang 2022 (arXiv 2202.04820)",
    **_HDFS,
)

SAMPLE = Spec(
    name="sample",
    title="simulated HDFS-like log",
    origin="parsing/simulate.py",
    license="MIT, as this repository",
    # Half of the normals: 1,000 to learn from, 250 to calibrate on, and as many again to test on.
    split=SplitSettings(train_normals=1_250, validation_share=0.2),
    simulated=True,
    **_HDFS,
)

SPECS = {spec.name: spec for spec in (HDFS, SAMPLE)}

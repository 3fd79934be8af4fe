"""How sequences are formed and split, by the name of the paper that did it so."""

from dataclasses import dataclass

from parsing.datasets import Spec
from parsing.sequences.group import Grouping
from parsing.sequences.split import SplitSettings


@dataclass(frozen=True)
class Protocol:
    """Grouping of logs without sessions, the split, and where both were published.

    `longest` and `shortest` are what the published code keeps, in events; it drops the rest unsaid. Here nothing is
    dropped unless --paper-faults asks for it.
    """

    windows: Grouping
    split: SplitSettings
    source: str
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
    "logllm": Protocol(
        Grouping("lines", 100, 100),
        SplitSettings("chronological", train_normals=None, train_share=0.8),
        "LogLLM: 100 lines without overlap, the first 80 % to train. It is supervised and trains on anomalies, too; "
        "here they are unused",
    ),
    "chronological": Protocol(
        Grouping("lines", 100, 100),
        SplitSettings("chronological", train_normals=None, train_share=0.5),
        "ours: trained on the first half, tested on the second",
    ),
}


def grouping_of(spec: Spec, protocol: Protocol) -> Grouping:
    """Sessions where the data set has them, else the protocol's windows."""
    return Grouping("session") if spec.session else protocol.windows

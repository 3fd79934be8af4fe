"""The class of a saved detector by the name of its method, imported only when it is wanted: torch takes seconds."""

from typing import Any

from core.errors import BadInput


def kind_of(method: str) -> Any:
    """Return the class of detectors whose `method` this is; raise BadInput for a name that no detector has."""
    match method:
        case "next_key":
            from methods.next_key import NextKey

            return NextKey
        case "deeplog":
            from methods.deeplog import DeepLog

            return DeepLog
        case "loganomaly":
            from methods.loganomaly import LogAnomaly

            return LogAnomaly
        case "logbert":
            from methods.logbert import LogBERT

            return LogBERT
        case "loggpt":
            from methods.loggpt import LogGPT

            return LogGPT
        case "rapid":
            from methods.rapid import RAPID

            return RAPID
        case "classical":
            from methods.classical import Classical

            return Classical
        case "counts":
            from methods.supervised.counts import Counts

            return Counts
        case "words":
            from methods.supervised.words import Words

            return Words
        case "cnn":
            from methods.supervised.cnn import CNN

            return CNN
        case "logrobust":
            from methods.supervised.logrobust import LogRobust

            return LogRobust
        case "neurallog":
            from methods.supervised.neurallog import NeuralLog

            return NeuralLog
        case "logllm":
            from methods.supervised.logllm import LogLLM

            return LogLLM
        case "sft":
            from methods.supervised.sft import SFT

            return SFT
        case _:
            raise BadInput(f"Runs of the method {method!r} judge no logs; name the run folder of another method.")

"""LogLLM beside the published way to read messages, and the time of its stages at a real model's size.

    python -m benchmarks.supervised --data hdfs_2pct_supervised [--asked 64] [--json FILE]
    python -m benchmarks.supervised --data hdfs_2pct_supervised --stages [--small] [--json FILE]

Nothing is downloaded: encoder and decoder have the shapes of models of a hub and random weights, which changes no
speed.

The first form trains the tiny decoder for a few steps with an encoder of MiniLM's shape, and scores the test twice.
Ours encodes each distinct message once and judges each distinct sequence once; the encoding of the messages is in its
seconds. The other side encodes every message of every sequence and judges each sequence, 16 at a time, as the published
evaluation does; its greedy decoding of six tokens is left out, in its favor. It does so for `--asked` sequences, drawn
by chance, and its seconds a sequence are their mean. Both must give the same log-odds.

The second form trains stages 1, 2a, 2b and 3 for a few steps each, with an encoder of BERT base's shape and a decoder
of Llama 3.2 1B's: 4 bits on an NVIDIA card that has bitsandbytes. Positions are those that the decoder reads, padding
not counted. `--small` does the same with tiny shapes, also without a card, which shows that the code works and nothing
else.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from benchmarks.command import parser_of, run
from benchmarks.gpu import LLAMA_1B, SMALL, save_checkpoint
from core.data import Data, Labeled, open_data
from core.environment import peak_memory_gb
from methods.supervised.logllm import RECIPES, LogLLM
from methods.supervised.logllm.network import LogLLMNetwork
from methods.words.sentence_encoders import SentenceEncoder

# After methods, which imports Unsloth first where it is installed.
# isort: split
from transformers import AutoTokenizer, BertConfig, BertModel

MINI_LM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1_536}
BERT_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3_072}
SMALL_BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WORD_PIECES = 30_522  # of BERT base and MiniLM
AT_ONCE = 16  # sequences a batch, as published
STEPS = 20  # of a stage


def save_encoder(folder: Path, words_of: Path, shape: dict) -> str:
    """Write a random BERT of this shape with the tokenizer in `words_of`; return its folder."""
    torch.manual_seed(0)
    words = AutoTokenizer.from_pretrained(words_of)
    BertModel(BertConfig(vocab_size=WORD_PIECES, pad_token_id=words.pad_token_id, **shape)).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def few_steps(recipe: str, steps: int) -> tuple:
    """Return the stages of a recipe, so many steps each."""
    return tuple(replace(stage, steps=steps, draws=None) for stage in RECIPES[recipe].stages)


def parts_of(data: Data) -> dict[str, Labeled]:
    """Return the splits in words."""
    found = {split: data.labeled(split) for split in ("train", "validation", "test")}
    return {split: part._replace(sequences=data.texts(part.sequences)) for split, part in found.items()}


# ------------------------------------------------------------------------------------------------------------- reading


def read(data: Data, asked: int, place: Path) -> dict:
    """Return the figures of the first form."""
    texts = sorted({text for text in data.templates.values() if text})
    save_checkpoint(place / "words", texts, SMALL)
    encoder, parts = save_encoder(place / "encoder", place / "words", MINI_LM), parts_of(data)
    settings = replace(RECIPES["house"], stages=few_steps("house", STEPS))
    detector = LogLLM("tiny-llama", encoder, settings=settings)
    with calls_of(SentenceEncoder, "__call__") as encoded:
        detector.fit(parts["train"], parts["validation"], place / "checkpoints")
    test = parts["test"].sequences
    distinct = {text for split in ("train", "validation") for one in parts[split].sequences for text in one}
    started = time.perf_counter()
    detector.messages.fill(SentenceEncoder(encoder))  # what fit had done already, so that it counts
    ours = detector.score(test)["log_odds"].to_numpy()
    seconds = (time.perf_counter() - started) / len(test)
    rows = np.random.default_rng(0).choice(len(test), min(asked, len(test)), replace=False)
    started = time.perf_counter()
    theirs = every_message(detector, encoder, [test[row] for row in rows])
    published = (time.perf_counter() - started) / len(rows)
    return {
        "test sequences": len(test),
        "messages of the test": sum(map(len, test)),
        "distinct messages of training and validation": len(distinct),
        "texts encoded by fit": sum(len(call.args[1]) for call in encoded.call_args_list),
        "sequences a second": 1 / seconds,
        "sequences a second, every message encoded": 1 / published,
        "times as fast": published / seconds,
        "largest gap of log-odds": float(np.abs(theirs - ours[rows]).max()),
    }


def calls_of(owner: type, name: str):
    """Return a block that does what it would, and has every call of a method in its `call_args_list`."""
    return mock.patch.object(owner, name, autospec=True, side_effect=getattr(owner, name))


@torch.no_grad()
def every_message(detector: LogLLM, encoder: str, sequences: Sequence[Sequence[str]]) -> np.ndarray:
    """Return log-odds with every message of every sequence encoded, a batch of sequences at a time."""
    reader, found = SentenceEncoder(encoder), []
    most = detector.settings.max_messages
    for start in range(0, len(sequences), AT_ONCE):
        shown = [one[:most] for one in sequences[start : start + AT_ONCE]]
        vectors = torch.from_numpy(reader([text for one in shown for text in one]))
        vectors = torch.nn.functional.normalize(vectors, dim=1) * vectors.shape[1] ** 0.5
        ends = np.cumsum([0, *map(len, shown)])
        rows = [tuple(range(*pair)) for pair in pairwise(ends)]
        found.append(detector.network.log_odds(vectors.to(detector.messages.table.device), rows).cpu())
    return torch.cat(found).numpy()


# -------------------------------------------------------------------------------------------------------------- stages


def stages(data: Data, small: bool, place: Path) -> dict:
    """Return seconds a step, positions a second and memory of every stage, at a real model's size or a small one's."""
    texts = sorted({text for text in data.templates.values() if text})
    save_checkpoint(place / "decoder", texts, SMALL if small else LLAMA_1B)
    encoder = save_encoder(place / "encoder", place / "decoder", SMALL_BERT if small else BERT_BASE)
    settings = replace(RECIPES["paper"], stages=few_steps("paper", STEPS), max_messages=128)
    detector, parts = LogLLM(str(place / "decoder"), encoder, recipe="paper", settings=settings), parts_of(data)
    with calls_of(LogLLMNetwork, "losses") as steps:
        curve = detector.fit(parts["train"], parts["validation"], place / "checkpoints")
    beside = detector.network.prompt.longest
    read = [sum(len(one) + beside for one in call.args[2]) for call in steps.call_args_list]
    figures: dict = {"learned weights": detector.parameters, "4 bits": detector.network.plan.four_bit}
    ends = [0.0, *curve["seconds"].to_list()]
    for number, (name, began, ended) in enumerate(zip(curve["stage"], ends, ends[1:], strict=False)):
        positions = sum(read[number * STEPS : (number + 1) * STEPS])
        figures[f"stage {name} seconds a step, validation in it"] = (ended - began) / STEPS
        figures[f"stage {name} positions a second"] = positions / (ended - began)
    return figures | {"peak memory GB": peak_memory_gb()}


def measure(options: argparse.Namespace) -> dict:
    """Return the figures of the form that is asked for."""
    data = open_data(options.data)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        return stages(data, options.small, place) if options.stages else read(data, options.asked, place)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="sample_supervised", help="folder of data/ (default: sample_supervised)")
    parser.add_argument("--asked", type=int, default=64, help="sequences that the published way judges (default: 64)")
    parser.add_argument("--stages", action="store_true", help="time the stages at the size of Llama 3.2 1B")
    parser.add_argument("--small", action="store_true", help="of --stages: tiny shapes, to see that it works")
    run(parser.parse_args(), measure)

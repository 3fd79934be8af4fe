"""A language model of Llama 3.2 1B's shape on an NVIDIA card: speed and memory, through Unsloth and without it.

    python -m benchmarks.gpu --data hdfs_2pct [--copies 10] [--batch-size 256] [--peak-tflops T] [--json FILE]
    python -m benchmarks.gpu --small                                  the same with a tiny model, also without a card

Nothing is downloaded: the weights are random, which changes no speed. Each path, Unsloth where it is installed and
Transformers + PEFT, in 16 bits and, where bitsandbytes is installed, in 4, has a process of its own, since Unsloth
rewrites transformers when it is imported.

Training: tokens a second of the training sequences, every copy a row, padding not counted, the first epoch left out.
Scoring: tokens of the distinct validation and test sequences by the seconds they took. Where prefixes are shared, the
model reads fewer tokens than that.

The share of the card's matrix rate counts 2 operations a weight of the layers and token for scoring, and 4 for training
with LoRA: forward, and backward to the activations. Frozen weights need no gradient, which would be 2 more. Adapter,
attention scores, padding and recomputed activations are left out, so the share is of useful work.

The gap is the largest difference, in nats, between the paths' log-probabilities of the validation sequences, both with
the adapter that Transformers + PEFT trained in the same format.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import polars as pl
import torch

from benchmarks.command import parser_of, run
from core.environment import peak_memory_gb
from core.errors import BadInput
from evaluation.verdicts import score_gap
from utils import open_data, show_environment

LLAMA_1B = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "rope_theta": 500_000.0,
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": True,
}
SMALL = LLAMA_1B | {"vocab_size": 1_000, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
EPOCHS, SCORINGS = 3, 4  # the first of each warms up and is left out
CHILD = "import json, sys; from benchmarks.gpu import measure; measure(**json.loads(sys.argv[1]))"

# Transformers and the method are imported inside functions alone: whether Unsloth comes before them differs by process.
if TYPE_CHECKING:
    from methods.next_key import NextKey


def save_checkpoint(folder: Path, texts: list[str], shape: dict) -> int:
    """Write a random Llama in bf16 with a byte-level BPE tokenizer of `texts`; return the layers' weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    text = Tokenizer(models.BPE())
    text.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    text.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet))
    words = PreTrainedTokenizerFast(tokenizer_object=text)
    words.add_special_tokens({"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"})
    ids = {name: getattr(words, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**shape, **ids), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return sum(weights.numel() for weights in model.model.layers.parameters())


def matrix_rate() -> float:
    """Return operations a second of a large matrix product, in 16 bits on a card, fp32 on a CPU; the best of ten."""
    size, device, dtype, seconds = 2048, "cpu", torch.float32, []
    if torch.cuda.is_available():
        size, device = 8192, "cuda"
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    for _ in range(10):
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # reading a number waits for the card
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


def variants() -> Iterator[tuple[str, str]]:
    """Return every path and number format that can be measured here."""
    card = torch.cuda.is_available()
    for path in ["transformers", "unsloth"] if card and find_spec("unsloth") else ["transformers"]:
        yield path, "16bit" if card else "32bit"
        if card and find_spec("bitsandbytes"):
            yield path, "4bit"


def measure(place: str, data: str, path: str, bits: str, copies: int, batch_size: int) -> None:
    """Train and score through one path, in a process of its own; writes <path>_<bits>.json and .parquet in `place`."""
    from methods.next_key import NextKey
    from methods.next_key.models import machine
    from methods.parts.recipes import RECIPES

    if path == "unsloth" and machine.WHY_NOT_UNSLOTH:
        sys.exit(machine.WHY_NOT_UNSLOTH)
    opened, folder = open_data(data), Path(place)
    asked = {"heaviest": 1, "batch_size": batch_size, "max_epochs": EPOCHS, "least_steps": None, "patience": EPOCHS}
    settings = replace(RECIPES["lora"], **asked)
    detector = NextKey(str(folder / "checkpoint"), 0, settings=settings, templates=opened.templates)
    detector.plan = replace(detector.plan, four_bit=bits == "4bit")
    print(f"{detector.plan.path}, {detector.plan.dtype}: {detector.plan.why}", flush=True)
    found = measure_training(detector, opened.keys("train") * copies, opened.keys("validation"))
    found |= measure_scoring(detector, opened.keys("validation") + opened.keys("test"))
    (folder / f"{path}_{bits}.json").write_text(json.dumps(found), encoding="utf-8")
    if path == "transformers":
        detector.save(folder / f"adapter_{bits}")
    again = NextKey.load(folder / f"adapter_{bits}")
    again.plan = detector.plan
    again.score(opened.keys("validation")).write_parquet(folder / f"{path}_{bits}.parquet")


def measure_training(detector: "NextKey", train: list[list[str]], validation: list[list[str]]) -> dict[str, float]:
    """Return tokens a second after the first epoch, and the most memory, in GB."""
    with tempfile.TemporaryDirectory() as checkpoints:
        curve = detector.fit(train, validation, Path(checkpoints))
    return {"training_tokens_per_second": curve["tokens_per_second"][2:].mean(), "training_peak_memory_gb": peak_gb()}


def measure_scoring(detector: "NextKey", sequences: list[list[str]]) -> dict[str, float]:
    """Return tokens of the distinct sequences a second, median of the repetitions, and the most memory, in GB."""
    seconds = []
    for _ in range(SCORINGS):
        started = time.perf_counter()
        detector.score(sequences)
        seconds.append(time.perf_counter() - started)
    tokens = sum(len(keys) + 2 for keys in set(map(tuple, sequences)))
    return {"scoring_tokens_per_second": tokens / median(seconds[1:]), "scoring_peak_memory_gb": peak_gb()}


def peak_gb() -> float:
    """Return the most memory of tensors on the card since the last call; without one, of this process so far."""
    if not torch.cuda.is_available():
        return peak_memory_gb()
    peak = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return peak


def compare(options: argparse.Namespace) -> dict[str, float]:
    """Make the checkpoint, measure every variant in turn, and return the figures; one that fails is left out."""
    with tempfile.TemporaryDirectory() as place:
        texts = [text for text in open_data(options.data).templates.values() if text]
        weights = save_checkpoint(Path(place) / "checkpoint", texts, SMALL if options.small else LLAMA_1B)
        figures = {"layer_weights": weights}
        about = {"place": place, "data": options.data, "copies": options.copies, "batch_size": options.batch_size}
        for path, bits in variants():
            print(f"\n{path}, {bits}", flush=True)
            own = os.environ | {"NEXT_KEY_UNSLOTH": "1" if path == "unsloth" else "0"}
            subprocess.run([sys.executable, "-c", CHILD, json.dumps(about | {"path": path, "bits": bits})], env=own)
            if (result := Path(place) / f"{path}_{bits}.json").is_file():
                found = json.loads(result.read_text(encoding="utf-8"))
                figures |= {f"{path}_{bits}_{name}": value for name, value in found.items()}
        figures |= gaps(Path(place))
    # last, so that this process holds nothing on the card while the others measure
    rate = options.peak_tflops * 1e12 if options.peak_tflops else matrix_rate()
    return figures | {"peak_tflops": rate / 1e12} | shares(figures, weights, rate)


def shares(figures: dict[str, float], weights: int, rate: float) -> dict[str, float]:
    """Return the share of the matrix rate behind each speed."""
    found = {}
    for task, operations in {"training": 4, "scoring": 2}.items():
        speed = f"{task}_tokens_per_second"
        for name in [name for name in figures if name.endswith(speed)]:
            found[name.replace(speed, f"{task}_share")] = operations * weights * figures[name] / rate
    return found


def gaps(place: Path) -> dict[str, float]:
    """Return the largest difference between the two paths' log-probabilities, in nats, for each common format."""
    found = {}
    for plain in sorted(place.glob("transformers_*.parquet")):
        bits = plain.stem.removeprefix("transformers_")
        if (fast := place / f"unsloth_{bits}.parquet").is_file():
            found[f"gap_{bits}"] = score_gap(pl.read_parquet(plain), pl.read_parquet(fast))
    return found


def measure_all(options: argparse.Namespace) -> dict:
    """Measure what this machine offers; raise BadInput without a card, unless `--small`."""
    if not (options.small or torch.cuda.is_available()):
        raise BadInput(
            "this measures an NVIDIA card, and PyTorch finds none; --small takes the same steps without one."
        )
    figures = compare(options)
    print()
    show_environment()
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="sample", help="folder of data/")
    parser.add_argument("--copies", type=int, default=10, help="how often the training sequences are repeated")
    parser.add_argument("--batch-size", type=int, default=256, help="sequences of a step")
    parser.add_argument("--peak-tflops", type=float, help="the card's matrix rate; without it, measured")
    parser.add_argument("--small", action="store_true", help="a tiny model, which needs no card")
    run(parser.parse_args(), measure_all)

"""KEY_EMBEDDINGS compared: how well, and in how few steps, the keys are learned from each start of their rows.

    python -m benchmarks.key_embeddings --data hdfs_2pct [--epochs 8] [--seeds 3] [--checkpoint FOLDER] [--json FILE]

Nothing is downloaded. A Llama of a million weights is first trained as an ordinary language model on text, byte-level
BPE and all: the templates of the training split's sequences, one message a line in the order of the log, with made
values of digits and marks in the gaps. Nothing of validation or test is in it. So the checkpoint has read these very
logs, which no model of a hub has, and its first rows, those of `paper`, are trained, as those of a hub's models are.
`--checkpoint` keeps it, or takes the one that is there.

Each choice then learns the keys with LoRA from this checkpoint, with the same settings, optimizer steps and order of
the data. With `template` and `random` the rows of the keys are trained, with `paper` they are frozen.
"""

import argparse
import random
import string
import tempfile
from collections import defaultdict
from dataclasses import replace
from itertools import cycle
from math import ceil, exp
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.command import parser_of, run
from methods.next_key import NextKey
from methods.next_key.models.hub import count_parameters, load_tokenizer
from methods.next_key.training import weighted_rows
from methods.next_key.vocabulary import Vocabulary
from methods.parts.choices import KEY_EMBEDDINGS
from methods.parts.recipes import RECIPES, TrainingSettings
from utils import Data, open_data

# After methods, which imports Unsloth first where it is installed.
# isort: split
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT_STEPS, TEXT_ROWS, TEXT_BLOCK, TEXT_RATE = 500, 4, 512, 2e-3
MOST_WORDS = 2_000  # tokens of the tokenizer; text of few templates has fewer
GAP, MARKS = "<*>", string.digits + string.punctuation  # the first rows of a byte-level vocabulary, so of `paper`
CLOSE = 1.05  # the target: at most 5% above the lowest final loss of the three


def texts_of(data: Data) -> list[str]:
    """Return one text a training sequence: its templates, one a line, with two-character values in their gaps.

    Every gap has eight characters of its own, as real fields have, so that the rows of these characters differ.
    """
    chance = random.Random(0)
    deck = cycle(chance.sample(MARKS, len(MARKS)))
    marks = defaultdict(lambda: [next(deck) for _ in range(8)])

    def message(key: str) -> str:
        first, *rest = data.templates[key].split(GAP)
        values = ["".join(chance.choices(marks[key, number], k=2)) for number in range(len(rest))]
        return first + "".join(value + part for value, part in zip(values, rest, strict=True))

    return ["\n".join(map(message, keys)) for keys in data.keys("train")]


def learn_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return byte-level BPE learned from the texts, single bytes first and special tokens last, as in Llama 3."""
    model = Tokenizer(BPE())
    model.pre_tokenizer = ByteLevel(add_prefix_space=False)
    model.train_from_iterator(texts, BpeTrainer(vocab_size=MOST_WORDS, initial_alphabet=ByteLevel.alphabet()))
    words = PreTrainedTokenizerFast(tokenizer_object=model)
    words.add_special_tokens({"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"})
    return words


def blocks_of(texts: list[str], words: PreTrainedTokenizerFast) -> Tensor:
    """Return all texts, each between begin and end, as one stream of token ids cut into (blocks, TEXT_BLOCK)."""
    stream = []
    for ids in words(texts, add_special_tokens=False)["input_ids"]:
        stream += [words.bos_token_id, *ids, words.eos_token_id]
    whole = len(stream) // TEXT_BLOCK * TEXT_BLOCK
    return torch.tensor(stream[:whole]).view(-1, TEXT_BLOCK)


def new_model(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained Llama of four layers, untied; always the same one."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=TEXT_BLOCK,
        tie_word_embeddings=False,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    return LlamaForCausalLM(config)


def pretrain(texts: list[str], folder: Path) -> None:
    """Train a model and its tokenizer on the texts, in TEXT_STEPS steps, and save both in `folder`."""
    words = learn_tokenizer(texts)
    blocks, model = blocks_of(texts, words), new_model(words)
    optimizer = torch.optim.AdamW(model.parameters(), lr=TEXT_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, TEXT_RATE, total_steps=TEXT_STEPS, pct_start=0.1)
    for step in range(1, TEXT_STEPS + 1):
        batch = blocks[torch.randint(len(blocks), (TEXT_ROWS,))]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"text step {step:>4}   loss {loss.item():.4f} nats a token", flush=True)
    model.save_pretrained(folder)
    words.save_pretrained(folder)


@torch.inference_mode()
def text_losses(model: LlamaForCausalLM, blocks: Tensor, begins: Tensor) -> tuple[float, float]:
    """Mean nats a token of all tokens, and of those after a token of `begins`, which tell what message comes next."""
    logits = model.eval()(input_ids=blocks).logits[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2), blocks[:, 1:], reduction="none")
    return losses.mean().item(), losses[torch.isin(blocks[:, :-1], begins)].mean().item()


def measure_text(texts: list[str], folder: Path, tokens: int) -> dict[str, float]:
    """Return what the checkpoint learned, and how many of its first `tokens` rows, those of `paper`, it saw."""
    words = load_tokenizer(str(folder))
    blocks = blocks_of(texts, words)
    begins = torch.tensor([words.bos_token_id, *words("\n")["input_ids"]])
    figures = {"text_tokens": blocks.numel(), "text_vocabulary": len(words)}
    for name, model in {"_untrained": new_model(words), "": AutoModelForCausalLM.from_pretrained(folder)}.items():
        loss, first_words = text_losses(model, blocks[:: len(blocks) // 64], begins)
        figures |= {f"text_perplexity{name}": exp(loss), f"text_loss_first_words{name}": first_words}
    return figures | {"paper_rows": tokens, "paper_rows_in_text": int((blocks.unique() < tokens).sum())}


def learn_keys(data: Data, folder: Path, settings: TrainingSettings, choice: str, seed: int) -> tuple[list[float], int]:
    """Return the validation loss before the first step and after each epoch, nats a key, and the weights trained."""
    detector = NextKey(str(folder), seed, settings=settings, templates=data.templates, key_embeddings=choice)
    print(f"\n{choice}, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as checkpoints:
        curve = detector.fit(data.keys("train"), data.keys("validation"), Path(checkpoints))
    return curve["validation_loss"].to_list(), count_parameters(detector.model)["trained"]


def summarize(curves: dict[str, np.ndarray], steps: int) -> dict[str, float]:
    """Return flat figures from the losses (seeds, epochs + 1) of each choice; `steps` is the length of an epoch."""
    figures, target = {}, CLOSE * min(losses.mean(0)[-1] for losses in curves.values())
    for choice, losses in curves.items():
        mean = losses.mean(0)
        figures[f"{choice}_loss_untrained"] = mean[0]
        figures[f"{choice}_loss_first_epoch"] = mean[1]
        figures[f"{choice}_loss_final"] = mean[-1]
        figures[f"{choice}_loss_final_lowest"] = losses[:, -1].min()
        figures[f"{choice}_loss_final_highest"] = losses[:, -1].max()
        if mean.min() <= target:
            figures[f"{choice}_steps_to_target"] = int(np.argmax(mean <= target)) * steps
    return figures | {"target_loss": target, "steps_an_epoch": steps}


def show(curves: dict[str, np.ndarray], steps: int, trained: dict[str, int]) -> None:
    """Print one line a choice, the mean over the seeds, then the seeds one by one."""
    epochs = len(next(iter(curves.values()))[0])
    header = "".join(f"{epoch * steps:>9}" for epoch in range(epochs))
    print(f"\nvalidation loss, nats a key, by optimizer steps\n{'':<18}{'trained':>10}{header}")
    for choice, losses in curves.items():
        rows = {choice: losses.mean(0)} | {f"  seed {seed}": own for seed, own in enumerate(losses)}
        for name, row in rows.items():
            weights = f"{trained[choice]:,}" if name == choice else ""
            print(f"{name:<18}{weights:>10}" + "".join(f"{value:>9.4f}" for value in row))


def compare(data: Data, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Learn the keys from every start, print the losses, and return the figures."""
    epochs, rate = options.epochs, options.learning_rate
    settings = replace(RECIPES["lora"], learning_rate=rate, max_epochs=epochs, least_steps=None, patience=epochs)
    vocabulary, curves, trained = Vocabulary.of(data.keys("train")), {}, {}
    steps = ceil(len(weighted_rows(vocabulary, data.keys("train"), settings)) / settings.batch_size)
    figures = measure_text(texts_of(data), folder, vocabulary.tokens)
    for choice in KEY_EMBEDDINGS:
        found = [learn_keys(data, folder, settings, choice, seed) for seed in range(options.seeds)]
        curves[choice], trained[choice] = np.array([losses for losses, _ in found]), found[0][1]
    show(curves, steps, trained)
    return figures | summarize(curves, steps)


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Make the checkpoint if it is not there, and compare the three starts on it."""
    data = open_data(options.data)
    with tempfile.TemporaryDirectory() as place:
        folder = options.checkpoint or Path(place)
        if not (folder / "config.json").is_file():
            pretrain(texts_of(data), folder)
        figures = compare(data, folder, options)
    print(f"\n{data.label}, {options.epochs} epochs, learning rate {options.learning_rate:g}, {options.seeds} seeds")
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="sample", help="folder of data/ that has templates")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--checkpoint", type=Path, help="keep the checkpoint here, or take the one that is here")
    run(parser.parse_args(), measure)

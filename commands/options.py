"""The options that several commands share, and how each of them begins and ends."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from core.errors import EXIT_CODE, INTERRUPTED, BadInput

ALPHA = 0.01  # the false-alarm rate of get_k.ipynb and compare.ipynb, for runs without a notebook
SHARED: dict[str, dict] = {
    "--data": {"default": "sample", "help": "folder of data/ (default: sample, simulated)"},
    "--model": {"default": "tiny-llama", "help": "MODEL of the notebooks (default: tiny-llama)"},
    "--seed": {"type": int, "default": 0, "help": "SEED of the notebooks (default: 0)"},
    "--seeds": {"nargs": "+", "type": int, "default": [0], "help": "seeds of weights and split (default: 0)"},
    "--recipe": {"help": "RECIPE of train.ipynb: tiny, lora or paper (default: by the model)"},
    "--key-embeddings": {"help": "KEY_EMBEDDINGS of train.ipynb: template, random or paper"},
    "--prevalence": {"type": float, "help": "PREVALENCE of test.ipynb: weigh the normals to this share of anomalies"},
    "--drift": {"action": "store_true", "help": "ASK_ONCE of test.ipynb, where the split is by time"},
}


def parser_of(description: str | None, *shared: str) -> argparse.ArgumentParser:
    """Return a parser that has these of the shared options; a command adds its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in shared:
        parser.add_argument(name, **SHARED[name])
    return parser


def said_in_a_sentence(work: Callable[[], int]) -> int:
    """Return the exit code of `work`; BadInput and Ctrl-C end in one sentence, without a traceback."""
    name = Path(sys.argv[0]).stem
    try:
        return work()
    except BadInput as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        print(f"\n{name}: stopped; the same command goes on where it was.", file=sys.stderr)
        return INTERRUPTED

"""What weighting distinct sequences saves: the same model, data, seed and epochs with copies and with weights.

    python -m benchmarks.training --data hdfs_2pct [--epochs 16] [--json FILE]

`copies` trains every sequence as often as it occurs, as published code does; `spread` is the default, heavy weights
shared out over several batches; `once` gives each distinct sequence its whole count at once.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from methods.next_key import NextKey
from methods.next_key.training import TrainingSettings, weighted_rows
from methods.next_key.vocabulary import Vocabulary
from utils import open_data

VARIANTS = {"copies": 1, "spread": TrainingSettings().heaviest, "once": 10**9}


def main() -> None:
    """Train each variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="folder of data/")
    parser.add_argument("--epochs", type=int, default=TrainingSettings().max_epochs)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    data, figures = open_data(options.data), {}
    train, validation = data.keys("train"), data.keys("validation")
    for name, heaviest in VARIANTS.items():
        settings = replace(TrainingSettings(), heaviest=heaviest, max_epochs=options.epochs)
        figures[f"{name}_rows"] = len(weighted_rows(Vocabulary.of(train), train, settings))
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            curve = NextKey("tiny-llama", 0, settings).fit(train, validation, Path(folder) / "checkpoints")
            figures[f"{name}_seconds"] = time.perf_counter() - started
        figures[f"{name}_validation_loss"] = curve["validation_loss"][1:].min()
    figures["spread_speedup_per_epoch"] = figures["copies_seconds"] / figures["spread_seconds"]
    print(f"\n{data.label}, tiny-llama, {options.epochs} epochs")
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<32}{value:>12,.4g}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

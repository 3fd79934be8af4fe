"""train.ipynb without a notebook, for several GPUs: trains, then scores validation and test for the two others.

    torchrun --nproc-per-node 4 -m commands.train --data hdfs --model llama-3.2-1b
    accelerate launch -m commands.train --data hdfs --model llama-3.2-1b
    python -m commands.train --data hdfs                                    on one device the same

The steps are those of the notebook, `Run.fit` and `Run.scores`; every process takes a share of each batch and of the
sequences to score, and the first one writes. `get_k.ipynb` and `test.ipynb` find the scores and need no model pass.
"""

import argparse
import sys

from core.errors import EXIT_CODE, BadInput


def main(arguments: list[str] | None = None) -> int:
    """Train and score; returns the exit code."""
    options = read_options(arguments)
    try:
        train(options)
    except BadInput as error:
        print(f"train.py: {error}", file=sys.stderr)
        return EXIT_CODE
    return 0


def train(options: argparse.Namespace) -> None:
    """What train.ipynb does, and the scores of both splits."""
    from methods.next_key import NextKey, processes  # before anything that imports transformers

    processes.join()
    import utils

    data = utils.open_data(options.data)
    choices = {"recipe": options.recipe, "key_embeddings": options.key_embeddings}
    detector = NextKey(options.model, options.seed, templates=data.templates, **choices)
    with processes.first_process_first():
        run = utils.start_run(options.data, options.model, options.seed, detector.describe())
        run.write_path(detector.plan.describe())
    run.fit(detector)
    processes.wait_for_all()
    detector = NextKey.load(run.model_folder, data.keys("train"))
    for split in ("validation", "test"):
        run.scores(split, detector.score)
    processes.leave()


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line: the parameters of train.ipynb."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="DATA of the notebook (default: sample)")
    parser.add_argument("--model", default="tiny-llama", help="MODEL of the notebook (default: tiny-llama)")
    parser.add_argument("--seed", type=int, default=0, help="SEED of the notebook (default: 0)")
    parser.add_argument("--recipe", help="RECIPE of the notebook")
    parser.add_argument("--key-embeddings", help="KEY_EMBEDDINGS of the notebook")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""train.ipynb without a notebook, for several GPUs: trains, then scores validation and test for the two others.

    torchrun --nproc-per-node 4 -m commands.train --data hdfs --model llama-3.2-1b
    accelerate launch -m commands.train --data hdfs --model llama-3.2-1b
    python -m commands.train --data hdfs                                    on one device the same

The steps are those of the notebook, `steps.fit` and `steps.score`; every process takes a share of each batch and of the
sequences to score, and the first one writes. `get_k.ipynb` and `test.ipynb` find the scores and need no model pass.
"""

import argparse
import sys

from commands.options import changes, check, parser_of, said


def main(arguments: list[str] | None = None) -> int:
    """Train and score; return the exit code."""
    names = ("--data", "--model", "--seed", "--recipe", "--key-embeddings", "--set")
    options = parser_of(__doc__, *names).parse_args(arguments)
    return said(lambda: train(options))


def train(options: argparse.Namespace) -> int:
    """Do what train.ipynb does, and score both splits."""
    check(options)
    from methods.next_key import NextKey, processes  # before anything that imports transformers

    processes.join()
    from core.data import open_data
    from runs import steps
    from runs.folder import start_run

    data = open_data(options.data)
    choices = {"recipe": options.recipe, "key_embeddings": options.key_embeddings, "changes": changes(options)}
    detector = NextKey(options.model, options.seed, templates=data.templates, **choices)
    with processes.first_process_first():
        _ = detector.plan  # before there is a run: it tells a checkpoint that cannot be reached
        run = start_run(options.data, options.model, options.seed, detector.describe())
    steps.fit(run, detector)
    processes.wait_for_all()
    detector = NextKey.load(run.model_folder, data.keys("train"))
    steps.keep_path(run, detector.plan.describe())  # as the training left it, which may have changed the format
    for split in ("validation", "test"):
        steps.score(run, split, detector.score)
    processes.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())

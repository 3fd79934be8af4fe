"""Messages to templates with Drain.

Masking leaves few distinct messages (114 of 222,579 in 2% of HDFS), so Drain3 sees each of them once, in the order
of its first line. Drain's answer to a message depends on what it saw before, but a message that it has seen rarely
changes its state, which is why the partition equals that of Drain3 fed line by line (tests/parsing/test_parse.py on
the sample, benchmarks/parsing.py on any log).
"""

from dataclasses import dataclass

import numpy as np
from drain3.drain import Drain, LogCluster

from parsing.templates.masks import PARAMETER


@dataclass(frozen=True)
class DrainSettings:
    """Knobs of Drain (He et al. 2017) under the names of Drain3."""

    depth: int = 4
    similarity: float = 0.5
    max_children: int = 100


def new_drain(settings: DrainSettings) -> Drain:
    """Return an empty Drain3 parse tree. Tokens with digits get no branch of their own, Drain's rule for parameters."""
    return Drain(
        depth=settings.depth, sim_th=settings.similarity, max_children=settings.max_children, param_str=PARAMETER
    )


def mine(messages: list[str], settings: DrainSettings) -> list[str]:
    """Return the final template of each distinct masked message.

    Final, because templates still change while Drain reads and keys must not.
    """
    drain = new_drain(settings)
    clusters = [drain.add_log_message(message)[0] for message in messages]
    return [cluster.get_template() for cluster in clusters]


def mine_some(messages: list[str], chosen: np.ndarray, settings: DrainSettings) -> list[str | None]:
    """Return templates mined on the chosen messages alone, None for a message that matches none of them.

    `chosen` has one bool per message.
    """
    drain = new_drain(settings)
    clusters = [
        drain.add_log_message(message)[0] if known else None for message, known in zip(messages, chosen, strict=True)
    ]
    return [
        _template(cluster or drain.match(message, "fallback"))
        for message, cluster in zip(messages, clusters, strict=True)
    ]


def match_templates(messages: list[str], templates: list[str], settings: DrainSettings) -> list[str | None]:
    """Return the one of `templates` that each message matches word for word but for its parameters, or None."""
    tree = tree_of(templates, settings)
    return [match(tree, message) for message in messages]


def tree_of(templates: list[str], settings: DrainSettings) -> Drain:
    """Return a parse tree that holds these templates and learns no others."""
    drain = new_drain(settings)
    for number, template in enumerate(templates, start=1):
        cluster = LogCluster(template.split(), number)
        drain.id_to_cluster[number] = cluster
        drain.add_seq_to_prefix_tree(drain.root_node, cluster)
    return drain


def match(tree: Drain, message: str) -> str | None:
    """Return the template of a tree that a message matches word for word but for its parameters, or None."""
    return _template(tree.match(message, "fallback"))


def _template(cluster: LogCluster | None) -> str | None:
    return cluster.get_template() if cluster else None

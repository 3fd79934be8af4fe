"""The three workflows: where their job tables come from, and the digests of the files that were published of them.

Sources cited by a short name:
  FlowBench   Papadimitriou et al. (arXiv 2306.09930), https://github.com/PoSeiDon-Workflows/FlowBench at 58df4e6, MIT:
              job tables (data/*.zip) and graphs (adjacency_list_dags/*.json).
  LLM_AD      Jin et al. (SC 2024), https://github.com/PoSeiDon-Workflows/LLM_AD: sentences and their random split; the
              digests are those of its README.
"""

from dataclasses import dataclass

from parsing.lines.download import Download

PARTS = ("all", "train", "validation", "test")  # the published files, `<part>.csv`
_FLOWBENCH = "https://github.com/PoSeiDon-Workflows/FlowBench/raw/58df4e6/"
_UNVERIFIED = "no published checksum; the digests of the files made of it are known"


@dataclass(frozen=True)
class Workflow:
    """One workflow: its title, its size, and what of its files is published.

    `cut_names`: whether the graph's names of auxiliary jobs are cut as those in the job tables are before jobs are put
    in its order. In the publication's own files of Predict Future Sales they are not, so that such jobs have no place.
    """

    name: str
    title: str
    jobs: int
    md5: dict[str, str]
    cut_names: bool = True
    imitates: str | None = None  # of a simulated one: whose jobs it has

    @property
    def table(self) -> Download:
        """Return where its job tables are: an archive with one csv a run."""
        return Download(f"{_FLOWBENCH}data/{self.name}.zip", None, _UNVERIFIED)

    @property
    def graph(self) -> Download:
        """Return where its graph is."""
        return Download(f"{_FLOWBENCH}adjacency_list_dags/{self.name}.json", None, _UNVERIFIED)


def _digests(*values: str) -> dict[str, str]:
    return dict(zip(PARTS, values, strict=True))


WORKFLOWS = {
    workflow.name: workflow
    for workflow in (
        Workflow(
            "1000genome",
            "1000 Genome",
            48_087,
            _digests(
                "2cda70f14707683102426ae945623ab2",
                "12c6554dab3594071afd5af6b159479e",
                "fbff302e70a365447683a7ee557d9c47",
                "e4f808adaa5aa110bf1db26dea66658e",
            ),
        ),
        Workflow(
            "montage",
            "Montage",
            172_480,
            _digests(
                "b83b1ec871d4c50acd384f821f06d43a",
                "0374689cae2a7dcc6139043f702fc2f9",
                "5b2acfe8b9e459e521c02b0c578a3030",
                "5a1da93d60cc703c0d12c673cdb0adc9",
            ),
        ),
        Workflow(
            "predict_future_sales",
            "Predict Future Sales",
            89_100,
            _digests(
                "7638fc62503946a0e4db22a40eded33c",
                "c27a9039bc27cdaecafa1e41d64ffb41",
                "d0bedeaebbe8b7f765fe30aa0fef8654",
                "6c04b27a497b1e7f56e4a23d6ae556c0",
            ),
            cut_names=False,
        ),
    )
}
SIMULATED = {
    name: Workflow(name, f"a simulated workflow like {WORKFLOWS[real].title}", 0, {}, imitates=real)
    for name, real in (("sample_jobs", "1000genome"), ("sample_mosaic", "montage"))
}
ALL = WORKFLOWS | SIMULATED
KINDS = ("None", "cpu_2", "cpu_3", "cpu_4", "hdd_5", "hdd_10")  # of a worker; None is the word for a normal one
PROTOCOLS = {
    "runs": "ours: whole runs held out, a fifth to test and a tenth of the others to validate, the same share of every "
    "kind of anomaly in each; all jobs of a worker in a run are one sequence",
    "published": "LLM_AD: jobs shuffled with seed 42, 80% to train, 10% to validate, 10% to test; each job is a "
    "sequence of its own, so jobs of one worker are on both sides",
    "workflow": "ours: every other workflow of the folder trains and validates, this one tests",
}

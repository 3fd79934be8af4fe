"""Settings that must come before torch, and data folders that many tests read."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # spinning threads collapse beside any other busy process
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("JUPYTER_PATH", None)

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

import parse_logs
from parsing.simulate import simulate
from tests.typed import notebooks_here

__all__ = ["notebooks_here"]  # a fixture

settings.register_profile("house", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent


# Files of minutes each: one that began last would keep one worker busy while the other waits.
LONG = ("test_notebooks", "test_docs_code", "test_docs_own_logs", "test_run", "test_labels", "test_damaged")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files; `make test` keeps this order (--no-loadscope-reorder)."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """data/sample as `parse_logs.py sample` makes it."""
    out = tmp_path_factory.mktemp("data") / "sample"
    assert parse_logs.main(["sample", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def labeled(tmp_path_factory) -> Path:
    """A data folder split so that labels are learned from: 2,000 simulated sessions, 15% of them anomalous."""
    folder, simulated = tmp_path_factory.mktemp("labeled"), simulate(seed=3, sessions=2_000, anomaly_share=0.15)
    log, labels = folder / "simulated.log", folder / "labels.csv"
    log.write_text("\n".join(simulated.lines) + "\n", encoding="utf-8")
    rows = [f"{block},{label}" for block, label in simulated.labels.items()]
    labels.write_text("\n".join(["BlockId,Label", *rows]) + "\n", encoding="utf-8")
    sources = ["--log", str(log), "--labels", str(labels)]
    out = folder / "data" / "small"
    assert parse_logs.main(["hdfs", *sources, "--protocol", "supervised", "--out", str(out)]) == 0
    return out


@pytest.fixture
def workspace(tmp_path, sample, monkeypatch) -> Path:
    """A working folder with data/sample, as the notebooks see it."""
    (tmp_path / "data").mkdir()
    shutil.copytree(sample, tmp_path / "data" / "sample")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def small_log(tmp_path_factory) -> tuple[Path, Path]:
    """A simulated log of 400 sessions and its label file, as a person would have them."""
    folder, simulated = tmp_path_factory.mktemp("log"), simulate(seed=7, sessions=400)
    log, labels = folder / "small.log", folder / "labels.csv"
    log.write_text("\n".join(simulated.lines) + "\n", encoding="utf-8")
    rows = [f"{block},{label}" for block, label in simulated.labels.items()]
    labels.write_text("\n".join(["BlockId,Label", *rows]) + "\n", encoding="utf-8")
    return log, labels

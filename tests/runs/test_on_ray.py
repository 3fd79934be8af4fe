"""Runs on a cluster: a lost one is done again, all of them end in the ledger once, with the rows of one machine."""

import shutil
import threading
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from commands import compare, sweep
from core import cluster
from core.errors import BadInput
from evaluation import ledger
from methods.classical import Classical
from runs import many, on_ray, task
from runs.folder import LEDGER
from tests.commands.test_compare import Fails

WAITS = "waits.txt"


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        self.cause = cause


class StandIn:
    """The parts of the module `ray` that are used; a task is done by `get`, or lost, as its fate says."""

    def __init__(self, *fates: Exception | None) -> None:
        self.fates, self.canceled, self.options = list(fates), [], {}
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError, TaskCancelledError=RayError)

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def remote(self, **options):
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda *arguments: partial(function, *arguments))

    def get(self, work):
        if self.fates and (fate := self.fates.pop(0)) is not None:
            raise fate
        try:
            return work()
        except Exception as error:
            raise RayTaskError(error) from error

    def cancel(self, work, force):
        self.canceled.append(work)


@pytest.fixture
def wanted(workspace):
    """A run whose folder is there, and no more."""
    run = task.Wanted(None, "classical", "pca", "sample", 0, {}, 0.01)
    run.log.parent.mkdir(parents=True)
    return run


def tasks(*fates: Exception | None) -> on_ray.Tasks:
    shared = Path("results/seen")
    shared.touch()
    return on_ray.Tasks(StandIn(*fates), shared.resolve())


@pytest.fixture
def tried(monkeypatch):
    """How often the work of a run was begun; it does nothing."""
    begun = []
    monkeypatch.setattr(on_ray, "work", lambda run, patience: begun.append(patience) or 0)
    monkeypatch.setattr(task, "ledger_rows", lambda run, status: [{"status": status}])
    monkeypatch.setattr(on_ray, "ledger_rows", lambda run, status: [{"status": status}])
    return begun


def test_a_run_is_done_again_when_its_node_is_lost(wanted, tried, capsys):
    assert tasks(RayError(), RayError()).do(wanted)[:2] == ("done", [{"status": "done"}])
    assert tried == [on_ray.PATIENCE], "a file server may still hold the lock of the node that is gone"
    assert capsys.readouterr().out.count("is done again") == 2


def test_a_run_that_is_lost_each_time_has_failed(wanted, tried):
    """One that takes more memory than any node has would go round for ever."""
    status, rows, _ = tasks(*[RayError()] * on_ray.TRIES).do(wanted)
    assert status.startswith("failed: lost 3 times with its process or node")
    assert rows == [{"status": status}]
    assert not tried


def test_a_node_with_another_working_folder_ends_all_in_a_sentence(wanted, tried):
    """It would leave the results where nobody looks for them."""
    engine = tasks()
    Path("results/seen").unlink()
    with pytest.raises(BadInput, match=r"does not see .*; start in one that all nodes share"):
        engine.do(wanted)
    assert not tried


def test_a_node_without_the_environment_ends_all_in_a_sentence(wanted):
    with pytest.raises(BadInput, match=r"No module named 'polars'\); all of them need this repository"):
        tasks(RayTaskError(ModuleNotFoundError("No module named 'polars'"))).do(wanted)


def test_stopped_runs_are_canceled_neither_failed_nor_done_again(wanted, tried):
    engine = tasks()

    def stopped(work):
        engine.stop()
        raise RayError

    engine._ray.get = stopped
    assert engine.do(wanted)[:2] == (task.STOPPED, [])
    assert len(engine._ray.canceled) == 1
    assert engine.do(wanted)[:2] == (task.STOPPED, []), "one that had not begun does not begin"
    assert len(engine._ray.canceled) == 1


def test_one_refusal_stops_the_other_runs_and_leaves_the_ledger_alone(wanted, monkeypatch):
    """A sweep of a hundred runs went on to the end of all others before it said why one cannot begin."""
    engine = tasks(RayTaskError(BadInput("it sees another folder")))
    monkeypatch.setattr(many, "check_engine", lambda name: None)
    monkeypatch.setattr(on_ray, "begun", lambda: nullcontext(engine))
    with pytest.raises(BadInput, match="it sees another folder"):
        many.run_all([wanted], cluster.RAY)
    assert engine._stopped
    assert not LEDGER.exists()


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([{"CPU": 2.0}], (1, 0)),
        ([{"CPU": 64.0}, {"CPU": 8.0}, {}], (2, 0)),
        ([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 4.0}], (8, 1)),
        ([{}], (1, 0)),
    ],
)
def test_every_node_can_take_a_run(nodes, expected):
    """Of more cores than the smallest node has, a task would wait for ever."""
    alive = [{"Alive": True, "Resources": found} for found in nodes]
    assert on_ray.share([{"Alive": False, "Resources": {"CPU": 1.0}}, *alive]) == expected


@pytest.mark.parametrize("command", [sweep, compare])
def test_without_ray_both_commands_say_what_to_install(workspace, monkeypatch, capsys, command):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    assert command.main(["--engine", "ray"]) == 2
    assert "needs Ray: pip install -r requirements/ray.txt" in capsys.readouterr().err


def test_another_engine_is_a_sentence(workspace):
    with pytest.raises(BadInput, match="ENGINE = 'dask' is no place to work; give local or ray"):
        compare.run_missing({"classical/pca": partial(Classical, "pca")}, "sample", [0], 0.01, None, engine="dask")


# ----------------------------------------------------------------------------------------------------- a real cluster


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes on this machine, each with one worker."""
    pytest.importorskip("ray", reason="Ray is optional: pip install -r requirements/ray.txt")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", found.address)
        try:
            yield found, [found.add_node(num_cpus=1) for _ in range(2)]
        finally:
            found.shutdown()


def rows() -> pl.DataFrame:
    """What the ledger says of the runs, but for what no two runs share."""
    return ledger.read(LEDGER).drop("date", "seconds", "peak_memory_gb").sort(ledger.IDENTITY)


@pytest.mark.slow
def test_two_nodes_give_the_rows_of_one_machine_each_once(nodes, workspace):
    detectors = {"classical/pca": partial(Classical, "pca"), "fails/always": Fails}
    found, of_each = [], []
    for engine in cluster.ENGINES:
        found.append(compare.run_missing(detectors, "sample", [0], 0.01, 0.03, engine=engine).drop("seconds"))
        of_each.append(rows())
        LEDGER.unlink()
        shutil.rmtree("results/sample")
    assert_frame_equal(*found)
    assert_frame_equal(*of_each)
    assert set(found[0]["status"]) == {"done", "failed: ValueError: it cannot"}
    assert not of_each[0].select(ledger.IDENTITY).is_duplicated().any()
    assert not [*Path("results").glob(".*")], "what nodes were to see is removed"


@pytest.mark.slow
def test_a_run_whose_node_dies_is_done_by_another_one(nodes, workspace, capsys):
    def kill() -> None:
        while not (waits.is_file() and waits.read_text()):
            time.sleep(0.1)
        (victim,) = (node for node in both if node.node_id == waits.read_text())
        started.remove_node(victim, allow_graceful=False)

    (started, both), waits = nodes, Path(WAITS).resolve()
    killer = threading.Thread(target=kill)
    killer.start()
    status = compare.run_missing({"classical/pca": partial(Waits, "pca")}, "sample", [0], 0.01, None, engine="ray")
    killer.join()
    assert status["status"].to_list() == ["done"]
    assert "it is done again" in capsys.readouterr().out
    assert not ledger.read(LEDGER).select(ledger.IDENTITY).is_duplicated().any()


class Waits(Classical):
    """A detector that learns when it is asked for the second time; the first time it says where it is."""

    def fit(self, train, validation, checkpoints):
        import ray

        if not (waits := Path(WAITS)).is_file():
            waits.write_text(ray.get_runtime_context().get_node_id())
            time.sleep(600)
        return super().fit(train, validation, checkpoints)

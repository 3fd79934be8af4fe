"""What is asked is checked before anything is touched."""

import pytest

from commands import compare, run, sweep
from core.asked import check_alpha, check_data, check_model, check_prevalence, check_seed
from core.errors import BadInput
from runs import steps
from runs.folder import start_run

WRONG = [
    *((check_data, name) for name in ("", "..", "../x", "a/b", "a\\b", ".x", "C:x", "a\x1b]0;x\x07", "x" * 101)),
    *((check_model, name) for name in ("", "a\nb", "x" * 201)),
    *((check_seed, seed) for seed in (-1, 2**32, True, 1.0)),
    *((check_alpha, alpha) for alpha in (0.0, 1.0, float("nan"), -0.1, 1)),
    *((check_prevalence, share) for share in (0.0, 1.0, 2.0, -1.0, float("nan"), float("inf"))),
]


@pytest.mark.parametrize(("check", "value"), WRONG)
def test_what_is_out_of_range_is_a_sentence(check, value):
    with pytest.raises(BadInput, match=r"^(DATA|MODEL|SEED|ALPHA|PREVALENCE) = "):
        check(value)


def test_what_is_in_range_passes():
    for check, value in ((check_data, "hdfs_keys-split1"), (check_model, "owner/name"), (check_seed, 2**32 - 1)):
        check(value)
    check_alpha(0.01)
    check_prevalence(0.0293)
    check_prevalence(None)


@pytest.mark.parametrize(
    "arguments",
    [["--prevalence", "nan"], ["--prevalence", "2"], ["--seed", "-1"], ["--data", "../x"], ["--model", "m" * 300]],
)
def test_a_command_ends_with_exit_code_2_and_leaves_everything_as_it_is(arguments, workspace, capsys):
    """PREVALENCE = nan was a traceback, and metrics.json was gone by then; `../x` wrote outside the project."""
    before = sorted(workspace.rglob("*"))
    assert run.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(workspace.rglob("*")) == before


def test_the_commands_of_many_runs_check_the_same(workspace, capsys):
    assert sweep.main(["--seeds", "0", "-1"]) == 2
    assert sweep.main(["--models", "tiny-llama", "x\x07"]) == 2
    assert compare.main(["--data", "a/b"]) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_a_notebook_is_told_the_same(workspace):
    with pytest.raises(BadInput, match="SEED = -1"):
        start_run("sample", "tiny-llama", -1, {})
    with pytest.raises(BadInput, match="PREVALENCE = nan"):
        steps.judge(None, None, {}, float("nan"))
    with pytest.raises(BadInput, match=r"ALPHA = 1\.5"):
        steps.calibrate(None, None, 1.5)
    assert not (workspace / "results").exists()

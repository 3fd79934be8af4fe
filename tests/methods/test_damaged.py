"""Models that see ahead, trainings that diverge, and files that were damaged: a sentence, or the checkpoint before."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertLMHeadModel

from core.errors import BadInput
from evaluation.verdicts import score_gap
from methods.classical import Classical
from methods.deeplog import DeepLog, Settings
from methods.loganomaly import LogAnomaly
from methods.loggpt import LogGPT
from methods.next_key import NextKey, training
from methods.next_key.causality import refuse_seeing_ahead
from methods.next_key.checkpoints import last_checkpoint
from methods.next_key.models.machine import small_plan
from methods.next_key.models.tiny import build_tiny
from methods.parts.choices import TINY_MODELS
from methods.parts.recipes import TrainingSettings
from tests.methods.checkpoints import save_checkpoint, tokenizer
from tests.methods.test_next_key import _Killed, grammar
from tests.methods.test_parts import Line, train_line

SHORT = TrainingSettings(context=24, batch_size=8, max_epochs=4, learning_rate=5e-3)

# ----------------------------------------------------------------------------------------------------- seeing ahead


def test_an_encoder_is_refused_before_it_is_trained(tmp_path):
    """It sees the key that it is to predict: a loss near 0, and no anomaly found."""
    words = tokenizer()
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertLMHeadModel(config).save_pretrained(tmp_path / "bert")
    words.save_pretrained(tmp_path / "bert")
    with pytest.raises(BadInput, match="bert reads in both directions"):
        NextKey(str(tmp_path / "bert"), key_embeddings="random").prepare(grammar(20))


@pytest.mark.parametrize("name", TINY_MODELS)
def test_what_reads_forward_passes(name):
    torch.manual_seed(0)
    refuse_seeing_ahead(build_tiny(name, 9, 32), 9, small_plan(), name)
    refuse_seeing_ahead(build_tiny(name, 5, 32), 5, small_plan(), name)


# -------------------------------------------------------------------------------------------------------- diverging


def test_weights_that_are_no_numbers_are_refused_before_training(tmp_path):
    """K was 1, nothing was flagged, and alpha was said to be kept."""
    folder = save_checkpoint(tmp_path / "base", "llama", False)
    detector = NextKey(str(folder), settings=SHORT, key_embeddings="random")
    detector.prepare(grammar(20))
    with torch.no_grad():
        detector.model.get_output_embeddings().weight.fill_(torch.nan)
    assert detector.loss(grammar(5)) != detector.loss(grammar(5)), "NaN was left out of the mean"
    with pytest.raises(BadInput, match="validation loss before training is no number"):
        training._refuse_diverged(detector.loss(grammar(5)), "before training")


def test_a_language_model_that_diverges_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "mean_validation_loss", lambda *_: next(losses))
    losses = iter([1.0] + [float("nan")] * 20)
    with pytest.raises(BadInput, match="validation loss of every epoch is no number"):
        NextKey(settings=SHORT).fit(grammar(20), grammar(5), tmp_path)


def test_a_network_that_diverges_is_refused_and_one_good_epoch_is_kept(tmp_path):
    with pytest.raises(BadInput, match="validation loss of the kept epoch is nan"):
        train_line(Line(), tmp_path / "never", lambda: float("nan"))
    losses = iter([float("nan"), 2.0, 1.0] + [float("nan")] * 20)
    curve = train_line(Line(), tmp_path / "once", lambda: next(losses))
    assert len(curve) == 6, "patience counts from the best epoch"
    with pytest.raises(BadInput, match="kept epoch is inf"):
        train_line(Line(), tmp_path / "last", lambda: float("inf"), keep_last=True)


# ------------------------------------------------------------------------------------------------------ checkpoints


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES = {
    "weights cut": lambda folder: cut(folder / "model.safetensors"),
    "weights empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights gone": lambda folder: (folder / "model.safetensors").unlink(),
    "optimizer cut": lambda folder: cut(folder / "optimizer.pt"),
    "optimizer changed": lambda folder: flip(folder / "optimizer.pt"),
    "scheduler gone": lambda folder: (folder / "scheduler.pt").unlink(),
    "chance cut": lambda folder: cut(folder / "rng_state.pth"),
    "state cut": lambda folder: cut(folder / "trainer_state.json"),
    "state of nothing": lambda folder: (folder / "trainer_state.json").write_text("null"),
    "words cut": lambda folder: cut(folder / "tokenizer.json"),
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Path:
    """The checkpoints of a training that was killed in its third epoch."""
    folder, original, calls = tmp_path_factory.mktemp("interrupted"), training.WeightedTrainer.evaluate, []

    def killed(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise _Killed
        return original(self, *arguments, **options)

    training.WeightedTrainer.evaluate = killed
    try:
        with pytest.raises(_Killed):
            NextKey(settings=SHORT).fit(grammar(40), grammar(20, seed=1), folder)
    finally:
        training.WeightedTrainer.evaluate = original
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(damage, interrupted, tmp_path, capsys):
    """Seven of eight ways ended in a traceback, for good."""
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(interrupted, checkpoints)
    newest, _ = last_checkpoint(checkpoints)
    shutil.copytree(newest, checkpoints / "checkpoint-999")
    DAMAGES[damage](checkpoints / "checkpoint-999")
    assert last_checkpoint(checkpoints)[0] == newest
    assert "checkpoint-999 is damaged" in capsys.readouterr().out
    assert not (checkpoints / "checkpoint-999").exists()
    DAMAGES[damage](newest)
    assert last_checkpoint(checkpoints) == (None, 0.0) or newest != last_checkpoint(checkpoints)[0]


@pytest.mark.slow
def test_a_training_that_begins_anew_ends_where_it_would_have(interrupted, tmp_path):
    whole = NextKey(settings=SHORT)
    whole.fit(grammar(40), grammar(20, seed=1), tmp_path / "whole")
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(interrupted, checkpoints)
    for folder in checkpoints.glob("checkpoint-*"):
        cut(folder / "model.safetensors")
    again = NextKey(settings=SHORT)
    again.fit(grammar(40), grammar(20, seed=1), checkpoints)
    assert score_gap(whole.score(grammar(20)), again.score(grammar(20))) < 1e-4


@pytest.mark.parametrize("damage", [cut, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"x" * 100)])
def test_a_damaged_checkpoint_of_a_network_begins_anew(damage, tmp_path, capsys):
    train_line(Line(), tmp_path, lambda: 1.0)
    damage(tmp_path / "epoch.safetensors")
    curve = train_line(Line(), tmp_path, lambda: 1.0)
    assert curve["epoch"].to_list() == [0, 1, 2, 3]
    assert "is damaged" in capsys.readouterr().out


def test_a_checkpoint_of_another_size_changes_nothing_of_the_model(tmp_path, capsys):
    train_line(Line(), tmp_path, lambda: 1.0)
    model = Line()
    model.more = nn.Linear(2, 2)
    before = model.more.weight.detach().clone()
    train_line(model, tmp_path, lambda: 1.0, max_epochs=0)
    assert torch.equal(model.more.weight, before)
    assert "other sizes" in capsys.readouterr().out


@pytest.mark.slow
def test_a_damaged_first_stage_of_loggpt_begins_anew(tmp_path, capsys):
    quick = TrainingSettings(context=24, batch_size=8, max_epochs=1)
    make = lambda: LogGPT(reinforcement=None, settings=_loggpt(quick))  # noqa: E731
    first = make().fit(grammar(20), grammar(5), tmp_path)
    cut(tmp_path / "pretrained" / "model.safetensors")
    again = make().fit(grammar(20), grammar(5), tmp_path)
    assert "the first stage begins anew" in capsys.readouterr().out
    assert again["validation_loss"].to_list() == pytest.approx(first["validation_loss"].to_list())


def _loggpt(pretraining: TrainingSettings):
    from methods.loggpt import Settings as LogGPTSettings

    return LogGPTSettings(pretraining=pretraining)


# ----------------------------------------------------------------------------------------------------- saved models


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, tuple[type, Path]]:
    """One detector of each kind on disk."""
    folder, normal = tmp_path_factory.mktemp("saved"), grammar(20)
    quick = TrainingSettings(context=24, batch_size=8, max_epochs=1)
    detectors = {
        "next_key": NextKey(settings=quick),
        "loggpt": LogGPT(reinforcement=None, settings=_loggpt(quick)),
        "deeplog": DeepLog(settings=Settings(max_epochs=1)),
        "loganomaly": LogAnomaly(),
        "classical": Classical("pca"),
    }
    detectors["loganomaly"].settings = type(detectors["loganomaly"].settings)(max_epochs=1)
    for name, detector in detectors.items():
        detector.fit(normal, normal[:5], folder / "checkpoints" / name)
        detector.save(folder / name)
    return {name: (type(detector), folder / name) for name, detector in detectors.items()}


def fields(content: dict, above: tuple = ()) -> list[tuple]:
    found = []
    for name, value in content.items():
        found += [(*above, name)] + (fields(value, (*above, name)) if isinstance(value, dict) else [])
    return found


@pytest.mark.parametrize("name", ["next_key", "loggpt", "deeplog", "loganomaly", "classical"])
def test_a_damaged_model_is_a_sentence(name, saved, tmp_path):
    """11 of 12 ways to damage a file of a model ended in a traceback."""
    kind, folder = saved[name]
    for file in sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".json")):
        if file in ("generation_config.json", "tokenizer_config.json", "pretraining.json"):
            continue  # nothing of them is needed
        for damage in (cut, lambda path: path.write_bytes(b""), lambda path: path.unlink()):
            shutil.copytree(folder, tmp_path / "model", dirs_exist_ok=True)
            damage(tmp_path / "model" / file)
            with pytest.raises(BadInput, match="model"):
                kind.load(tmp_path / "model").score(grammar(3))


@pytest.mark.parametrize("name", ["next_key", "loggpt", "deeplog", "loganomaly", "classical"])
def test_every_damaged_field_of_a_model_is_a_sentence_or_does_not_matter(name, saved, tmp_path):
    kind, folder = saved[name]
    shutil.copytree(folder, tmp_path / "model")
    files = [file for file in ("detector.json", "next_key.json", "loggpt.json") if (folder / file).is_file()]
    refused = 0
    for path in (tmp_path / "model" / file for file in files):
        text = path.read_text()
        for field in fields(json.loads(text)):
            for value in (None, "<b>x", -1, "missing"):
                content = json.loads(text)
                place = content
                for part in field[:-1]:
                    place = place[part]
                place[field[-1]] = value
                if value == "missing":
                    del place[field[-1]]
                path.write_text(json.dumps(content))
                try:
                    kind.load(tmp_path / "model")
                except BadInput:
                    refused += 1
        path.write_text(text)
    assert refused > 10

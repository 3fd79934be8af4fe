"""Settings of a training that a person changes by name, and the least number of steps of a small data set."""

from dataclasses import replace

import pytest

from core.errors import BadInput
from methods.next_key import NextKey, training
from methods.next_key.training import repeated, weighted_rows
from methods.next_key.vocabulary import Vocabulary
from methods.parts.choices import choose_recipe
from methods.parts.recipes import RECIPES, TrainingSettings, changed
from tests.methods.test_next_key import grammar


def test_settings_are_changed_by_name_and_type():
    settings = choose_recipe(None, "owner/name", "learning_rate=1e-3 batch_size=16 context=64 lora_rank=none")
    assert (settings.learning_rate, settings.batch_size, settings.context, settings.lora_rank) == (1e-3, 16, 64, None)
    assert settings.least_steps == RECIPES["lora"].least_steps
    assert choose_recipe(None, None, None) == choose_recipe(None, None, "") == RECIPES["tiny"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("epochs=8", r"names no setting; write name=value, with one of context, batch_size.*lora_alpha\.$"),
        ("max_epochs 8", "'max_epochs' names no setting"),
        ("max_epochs=8.5", "give max_epochs a whole number from 1 on"),
        ("learning_rate=fast", "give learning_rate a number from"),
        ("learning_rate=nan", "give learning_rate a number from"),
        ("learning_rate=inf", "give learning_rate a number from"),
        ("context=1", "give context a whole number from 2 on"),
        ("warmup_share=1", "a number from 0 on and below 1"),
        ("max_epochs=none", "give max_epochs a whole number"),
        ("lora_alpha=none", "give lora_alpha a whole number"),
        ({"max_epochs": 8}, r"is no text; write it as in 'learning_rate=1e-3 max_epochs=8'"),
    ],
)
def test_a_setting_that_cannot_be_is_a_sentence(asked, said):
    with pytest.raises(BadInput, match=said):
        changed(RECIPES["lora"], asked)


def test_a_model_that_is_trained_whole_has_no_settings_of_lora():
    with pytest.raises(BadInput, match=r"names no setting.*least_steps, patience\.$"):
        changed(RECIPES["tiny"], "lora_rank=8")


@pytest.mark.parametrize("recipe", ["lora", "paper"])
def test_a_recipe_with_lora_trains_a_tiny_model_whole(recipe, tmp_path):
    """Saving failed after the training: there was no adapter to save."""
    detector = NextKey("tiny-llama", recipe=recipe, changes="max_epochs=1 batch_size=8")
    assert detector.settings.lora_rank is None and detector.settings.learning_rate == RECIPES[recipe].learning_rate
    detector.fit(grammar(20), grammar(5), tmp_path / "checkpoints")
    detector.save(tmp_path / "model")
    assert NextKey.load(tmp_path / "model").score(grammar(5)).equals(detector.score(grammar(5)))
    assert NextKey("tiny-llama", settings=RECIPES["lora"]).settings.lora_rank is None


def test_an_epoch_of_a_small_data_set_has_a_least_number_of_steps_and_the_same_gradient(tmp_path, monkeypatch):
    """LoRA took 12 steps an epoch on the sample, and was far from done after 13 of them."""
    few = TrainingSettings(context=24, batch_size=8, max_epochs=2, least_steps=9)
    rows = weighted_rows(Vocabulary.of(grammar(30)), grammar(30), few)
    assert len(rows) < 8 * 9 <= len(repeated(rows, few)) < 8 * 9 + len(rows)
    assert repeated(rows, replace(few, least_steps=1)) == repeated(rows, replace(few, least_steps=None)) == rows
    steps, train = [], training.WeightedTrainer.train

    def counted(trainer, **options):
        train(trainer, **options)
        steps.append((trainer.state.global_step, trainer.mean_step_keys))

    monkeypatch.setattr(training.WeightedTrainer, "train", counted)
    for number, settings in enumerate((few, replace(few, least_steps=None))):
        NextKey("tiny-llama", settings=settings).fit(grammar(30), grammar(5, seed=1), tmp_path / f"{number}")
    assert steps[0][0] >= 2 * 9 > steps[1][0] == 2 * len(rows) / 8
    assert steps[0][1] == pytest.approx(steps[1][1])
    assert RECIPES["tiny"].least_steps is None, "its figures are committed"

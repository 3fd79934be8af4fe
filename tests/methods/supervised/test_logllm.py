"""LogLLM by its parts: targets, padding, draws, stages, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from core.data import Labeled
from core.errors import BadInput
from methods.next_key.models.machine import small_plan
from methods.next_key.models.tiny import build_tiny
from methods.supervised.logllm import RECIPES, LogLLM, Prompt, Settings, Stage, detector, training
from methods.supervised.logllm.batches import Draws, balanced_size, change, chunks, draw_probabilities
from methods.supervised.logllm.network import LogLLMNetwork
from methods.supervised.logllm.prompt import PromptWords, pretrained_ids, tiny_ids
from methods.supervised.logllm.training import judge, rate, stage_steps
from tests.methods.checkpoints import FAMILIES, save_checkpoint, save_encoder, tokenizer
from tests.methods.supervised.examples import WORDS, quick, toy

SHORT = quick(20, 10, 40, batch_size=16, evaluations=2)
SIZE = 12  # numbers a vector


@pytest.fixture
def network() -> LogLLMNetwork:
    torch.manual_seed(0)
    words = PromptWords(Prompt())
    prompt = tiny_ids(Prompt(), words)
    model = build_tiny("tiny-llama", len(words), 64 + prompt.longest)
    return LogLLMNetwork(model, prompt, SIZE, small_plan()).eval()


@pytest.fixture
def vectors() -> torch.Tensor:
    return torch.randn(5, SIZE, generator=torch.Generator().manual_seed(1))


# ----------------------------------------------------------------------------------------------------------- network


@torch.no_grad()
def test_the_loss_is_that_of_the_answer_alone_worked_out_token_by_token(network, vectors):
    """One target moved by one position would train the wrong question and still look like learning."""
    sequences, labels = [(0, 1, 1), (4,)], [1, 0]
    found = network.losses(vectors, sequences, labels)
    prompt, embed = network.prompt, network.decoder.get_input_embeddings()
    for sequence, label, loss in zip(sequences, labels, found, strict=True):
        answer = prompt.answers[label]
        shown = torch.cat(
            [
                embed(torch.tensor(prompt.lead)),
                network.projector(vectors[list(sequence)]),
                embed(torch.tensor([*prompt.question, *answer])),
            ]
        )
        logits = network.decoder(inputs_embeds=shown[None]).logits[0]
        begin = len(prompt.lead) + len(sequence) + len(prompt.question)
        by_hand = [
            cross_entropy(logits[begin + place - 1], torch.tensor(token)).item() for place, token in enumerate(answer)
        ]
        assert loss.item() == pytest.approx(np.mean(by_hand), abs=1e-5)


@torch.no_grad()
def test_log_odds_are_the_class_words_where_the_answer_has_them(network, vectors):
    normal, anomalous = network.prompt.answers
    place = next(place for place, (a, b) in enumerate(zip(normal, anomalous, strict=False)) if a != b)
    assert network.prompt.prefix == normal[:place] == anomalous[:place]
    assert network.prompt.classes == (normal[place], anomalous[place])
    lengths = network._logits(vectors, [(2, 3)], [network.prompt.prefix], 1)[0, -1]
    odds = lengths[anomalous[place]] - lengths[normal[place]]
    assert network.log_odds(vectors, [(2, 3)])[0].item() == pytest.approx(odds.item(), abs=1e-6)


@torch.no_grad()
def test_a_padded_batch_judges_as_each_sequence_alone(network, vectors):
    sequences = [(0,), (1, 2, 3, 4, 0, 1, 2), (3, 3)]
    together = network.log_odds(vectors, sequences)
    alone = torch.cat([network.log_odds(vectors, [one]) for one in sequences])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@torch.no_grad()
def test_another_vector_changes_only_the_sequences_that_have_the_message(network, vectors):
    sequences = [(0, 1), (1, 2), (3,)]
    before = network.log_odds(vectors, sequences)
    changed = vectors.clone()
    changed[2] += 1
    after = network.log_odds(changed, sequences)
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]], atol=1e-6, rtol=0)
    assert abs(after[1] - before[1]) > 1e-4


def test_only_the_parts_of_a_stage_learn(network):
    chosen = network.learn_only(("projector",))
    assert {id(weights) for weights in chosen} == {id(weights) for weights in network.projector.parameters()}
    assert network.projector.training
    assert not network.decoder.training
    network.learn_only(("decoder", "projector"))
    assert all(weights.requires_grad for weights in network.parameters())


def test_a_long_sequence_is_as_odd_as_its_oddest_chunk(network, vectors):
    """The published code reads the first 128 messages and never judges the rest."""
    long = (0,) * 10 + (4,) + (1,) * 9
    parts = chunks(long, 8)
    assert [message for own in parts for message in own] == list(long)
    assert [*map(len, parts)] == [8, 8, 4]
    odds = judge(network, vectors, [*parts, long], 8)
    assert odds[-1] == pytest.approx(odds[:-1].max(), abs=1e-5)


# ------------------------------------------------------------------------------------------------------------- draws


def test_the_rarer_class_is_drawn_up_to_its_share_and_no_class_is_drawn_less():
    labels, counts = np.array([0, 0, 1]), np.array([900.0, 64.0, 36.0])
    drawn = draw_probabilities(labels, counts, Settings(minority_share=0.3, draw_exponent=1.0))
    np.testing.assert_allclose(drawn, [0.7 * 900 / 964, 0.7 * 64 / 964, 0.3])
    rare = draw_probabilities(labels, counts, Settings(minority_share=0.3, draw_exponent=0.5))
    np.testing.assert_allclose(rare, [0.7 * 30 / 38, 0.7 * 8 / 38, 0.3])
    often = draw_probabilities(np.array([0, 1]), np.array([15.0, 85.0]), Settings(minority_share=0.3))
    np.testing.assert_allclose(often, [0.3, 0.7])  # Liberty: there the normals are the rarer class
    half = draw_probabilities(np.array([0, 1]), np.array([60.0, 40.0]), Settings(minority_share=0.3))
    np.testing.assert_allclose(half, [0.6, 0.4])


def test_an_epoch_repeats_the_rarer_class_up_to_its_share():
    assert balanced_size(np.array([0, 1]), np.array([970.0, 30.0]), 0.3) == round(970 / 0.7)
    assert balanced_size(np.array([0, 1]), np.array([60.0, 40.0]), 0.3) == 100


def test_a_batch_holds_as_many_draws_as_asked_for_and_each_of_its_rows_once():
    settings = Settings(batch_size=64, changed_share=0.0)
    draws = Draws([(0, 1), (0,), (2,)], np.array([0, 0, 1]), np.array([50.0, 40.0, 10.0]), settings)
    rows = draws.batch(np.random.default_rng(0))
    assert rows.weights.sum() == 64
    assert len(rows.sequences) == len(set(rows.sequences)) <= 3
    assert dict(zip(rows.sequences, rows.labels.tolist(), strict=True)).get((2,), 1) == 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(0, 2**16))
def test_a_change_moves_and_repeats_common_events_alone(messages, seed):
    """A rare event that came or went would be another label."""
    common = {0, 1, 2}
    found = change(tuple(messages), common, np.random.default_rng(seed))
    assert [one for one in found if one not in common] == [one for one in messages if one not in common]
    assert abs(len(found) - len(messages)) <= 2
    assert set(found) <= set(messages)


def test_common_events_are_the_six_commonest_of_normals():
    counted = Draws([(0, 1, 2, 3, 4, 5, 5, 6), (9, 9)], np.array([0, 1]), np.array([9.0, 99.0]), Settings())
    assert 5 in counted.common
    assert len(counted.common) == 6
    assert 9 not in counted.common
    assert len(Draws([(9, 9, 9), (0,)], np.array([1, 0]), np.array([1.0, 1.0]), Settings()).common) == 1


# ------------------------------------------------------------------------------------------------------------ stages


def test_the_published_learning_rate_falls_by_three_tenths_at_every_tenth_of_a_stage():
    paper = RECIPES["paper"]
    rates = [rate(step, 100, paper) for step in range(100)]
    np.testing.assert_allclose(rates, [0.7 ** (step // 10) for step in range(100)])
    assert rates[-1] == pytest.approx(0.0404, abs=1e-4)


def test_the_published_stages_have_their_published_steps():
    """62 steps of the first thousand draws, then 50,000 draws an epoch at least, in batches of 16."""
    counts = [stage_steps(stage, 9_000, 16) for stage in RECIPES["paper"].stages]
    assert counts == [63, 3_125, 3_125, 6_250]
    assert [stage_steps(stage, 638_000, 16) for stage in RECIPES["paper"].stages[1:2]] == [39_875]
    assert [stage.learning_rate for stage in RECIPES["paper"].stages] == [5e-4, 5e-4, 5e-5, 5e-5]


def test_the_house_warms_up_and_comes_down_to_nothing():
    rates = [rate(step, 200, Settings()) for step in range(200)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 1e-3


@pytest.mark.slow
def test_it_can_learn_twenty_sequences_by_heart(tmp_path):
    """The first check of any training: labels by chance can only be remembered."""
    chance = np.random.default_rng(0)
    texts = [*WORDS.values()]
    sequences = [[texts[place] for place in chance.integers(0, 5, 6)] for _ in range(20)]
    learned = Labeled(sequences, (np.arange(20) % 2).astype(np.int8))
    model = LogLLM(settings=quick(30, 20, 250, changed_share=0.0, draw_exponent=1.0))
    model.fit(learned, learned, tmp_path)
    assert ((model.score(sequences)["log_odds"].to_numpy() > 0) == learned.labels).all()


@pytest.mark.slow
def test_the_weights_of_lowest_validation_loss_are_kept(tmp_path, monkeypatch):
    looks = iter([0.5, 0.1, 0.4, 0.3])
    states = []

    def validate(network, messages, validation):
        states.append(network.learned_state())
        return {"validation_loss": next(looks), "average_precision": 0.5}

    monkeypatch.setattr(training, "validate", validate)
    model = LogLLM(settings=replace(SHORT, stages=(Stage("3", ("decoder", "projector"), 1e-3, 40),), evaluations=4))
    curve = model.fit(toy(), toy(), tmp_path)
    assert curve["validation_loss"].to_list() == [0.5, 0.1, 0.4, 0.3]
    assert all(torch.equal(one, states[1][name]) for name, one in model.network.learned_state().items())


@pytest.mark.slow
def test_each_distinct_message_is_encoded_once(tmp_path, monkeypatch):
    """The published code encodes 222,579 lines that hold 32 distinct messages, in every epoch again."""
    encoded: list[str] = []
    original = detector.text_encoder

    def counting(encoder, texts):
        inner = original(encoder, texts)

        def encode(asked):
            encoded.extend(asked)
            return inner(asked)

        return encode

    monkeypatch.setattr(detector, "text_encoder", counting)
    model = LogLLM(settings=SHORT)
    model.fit(toy(), toy(), tmp_path)
    assert sorted(encoded) == sorted(WORDS.values())
    encoded.clear()
    scores = model.score([*toy().sequences, ["Opening block <*>", "something new", "something new"]] * 3)
    assert encoded == ["something new"]
    assert scores["has_unseen_text"].sum() == 3
    assert scores["nearest_text"][0] == pytest.approx(1.0, abs=1e-5)
    assert scores["nearest_text"][60] < 0.9


# --------------------------------------------------------------------------------------------- encoders and decoders


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pretrained_decoder_of_every_family_learns_scores_and_loads(family, tmp_path):
    """Rows of a padded batch must not see padding, whatever the family does with position ids."""
    checkpoint = save_checkpoint(tmp_path / family, family, tied=True)
    model = LogLLM(str(checkpoint), settings=quick(3, 3, 6, recipe="house, pretrained decoder", evaluations=1))
    model.fit(toy(), toy(), tmp_path / "checkpoints")
    asked = [*toy().sequences[:5], toy().sequences[0] * 4]
    together = model.score(asked)["log_odds"].to_numpy()
    alone = [model.score([one])["log_odds"][0] for one in asked]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    model.save(tmp_path / "model")
    loaded = LogLLM.load(tmp_path / "model", toy())
    np.testing.assert_allclose(loaded.score(asked)["log_odds"], together, atol=1e-4)
    assert 0 < model.parameters < sum(weights.numel() for weights in model.network.parameters())
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"logllm.json", "weights.safetensors"}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["house", "paper"])
def test_an_encoder_learns_with_it_and_loads(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LEAST_DRAWS", 32)
    encoder = save_encoder(tmp_path / "bert")
    steps = {"house": quick(2, 2, 2, 4, 4, recipe="house, encoder trained", evaluations=1), "paper": None}[recipe]
    model = LogLLM("tiny-llama", str(encoder), train_encoder=recipe == "house", recipe=recipe, settings=steps)
    model.fit(toy(), toy(), tmp_path / "checkpoints")
    moved = [name for name, one in model.network.learned_state().items() if "lora_B" in name and one.abs().max() > 0]
    assert any(name.startswith("encoder.") for name in moved)
    asked = [*toy().sequences[:5], ["something new"]]
    together = model.score(asked)["log_odds"].to_numpy()
    model.save(tmp_path / "model")
    np.testing.assert_allclose(LogLLM.load(tmp_path / "model").score(asked)["log_odds"], together, atol=1e-4)
    assert model.name == {"house": "tiny-llama-bert-trained", "paper": "tiny-llama-bert-paper"}[recipe]


def test_no_word_of_the_prompt_is_taken_for_a_begin():
    """The published code cuts the first token off, which is a word where a tokenizer has no begin, as GPT-2's."""
    words = tokenizer()
    found = pretrained_ids(Prompt(), words)
    told = [found.lead, found.question, found.answers[1][:-1]]
    expected = [Prompt().lead, Prompt().question, Prompt().answer + Prompt().anomalous]
    assert [words.convert_ids_to_tokens(ids) for ids in told] == [words.tokenize(text) for text in expected]
    assert not {words.bos_token_id, words.eos_token_id} & {*found.lead, *found.question}
    assert found.answers[1][-1] == words.eos_token_id


# ---------------------------------------------------------------------------------------------------------- bad input


def test_class_words_that_begin_alike_are_one_sentence():
    alike = Prompt(normal=" same.", anomalous=" same!")
    with pytest.raises(BadInput, match="share their first token"):
        tiny_ids(alike, PromptWords(alike))
    with pytest.raises(BadInput, match="share their first token"):
        pretrained_ids(Prompt(normal=" blocks", anomalous=" blocks!"), tokenizer())


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"recipe": "best"}, "no recipe 'best'"),
        ({"train_encoder": True}, "offline vectors of words cannot learn"),
        ({"recipe": "paper"}, "offline vectors of words cannot learn"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(wanted, says):
    with pytest.raises(BadInput, match=says):
        LogLLM("tiny-llama", **wanted)


def test_a_sequence_without_messages_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="without any message"):
        LogLLM(settings=SHORT).fit(Labeled([[], ["a"]], np.array([0, 1], np.int8)), toy(), tmp_path)


@pytest.mark.slow
def test_other_bases_than_the_saved_ones_are_refused(tmp_path):
    """Vectors of another encoder would be read without a word, and every score would be noise."""
    encoder = save_encoder(tmp_path / "bert")
    model = LogLLM("tiny-llama", str(encoder), settings=SHORT)
    model.fit(toy(), toy(), tmp_path / "checkpoints")
    model.save(tmp_path / "model")
    save_encoder(encoder, seed=1)
    with pytest.raises(BadInput, match="was trained with the encoder hash"):
        LogLLM.load(tmp_path / "model")


@pytest.mark.slow
def test_a_stage_left_by_another_training_is_refused_and_a_damaged_one_done_again(tmp_path, capsys):
    model = LogLLM(settings=SHORT)
    model.fit(toy(), toy(), tmp_path)
    with pytest.raises(BadInput, match="was left by a training of"):
        LogLLM(settings=SHORT).fit(Labeled(toy().sequences[:30], toy().labels[:30]), toy(), tmp_path)
    (tmp_path / "stage.safetensors").write_bytes(b"half a file")
    again = LogLLM(settings=SHORT)
    again.fit(toy(), toy(), tmp_path)
    assert "is damaged" in capsys.readouterr().out
    np.testing.assert_allclose(
        again.score(toy().sequences)["log_odds"], model.score(toy().sequences)["log_odds"], atol=1e-5
    )

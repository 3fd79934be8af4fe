"""LogGPT: rewards, credit and losses by hand; generation without padding; two stages that go on where they stopped."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from evaluation.verdicts import score_gap
from methods import loggpt
from methods.loggpt import LogGPT, Settings
from methods.next_key import NextKey
from methods.next_key.vocabulary import END
from methods.parts import learning, reinforce
from methods.parts.choices import TINY_MODELS
from methods.parts.recipes import TrainingSettings
from methods.parts.reinforce import Episodes, Policy, Rollout
from tests.methods.checkpoints import TEMPLATES, save_checkpoint
from tests.methods.test_next_key import grammar

pytestmark = pytest.mark.slow  # each of them trains a model

SHORT = TrainingSettings(context=24, batch_size=8, max_epochs=2, learning_rate=5e-3)
SMALL = Settings(pretraining=SHORT, episodes=2, batch_size=6, learning_rate=1e-3)
LORA = TrainingSettings(context=24, batch_size=8, max_epochs=2, learning_rate=1e-2, lora_rank=4, lora_alpha=8)
TRAIN, VALIDATION = grammar(40), grammar(12, seed=1)
TESTED = [*grammar(8, seed=2), ["open", *["read", "write"] * 20, "close"], ["open", "new", "close"], ["close"]]


def make(reinforcement: str | None = "ppo", model: str = "tiny-llama", settings: Settings = SMALL, **wanted) -> LogGPT:
    return LogGPT(model, 0, reinforcement=reinforcement, settings=settings, templates=TEMPLATES, **wanted)


def untrained(reinforcement: str, model: str = "tiny-llama", **wanted) -> tuple[LogGPT, Policy]:
    """A detector before its first stage, in evaluation mode, and its policy."""
    detector = make(reinforcement, model, **wanted)
    detector.detector.prepare(TRAIN)
    return detector, Policy(detector.detector.model.eval(), 2)


# -------------------------------------------------------------------------------------------------- rewards and places


def test_a_reward_is_a_hit_among_the_k_likeliest_worked_by_hand():
    choices = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], [0.25] * 4]).log()[None]
    columns = torch.tensor([[1, 2, -1, 0]])  # second likeliest, third, never seen, one of four alike
    assert reinforce.top_k_rewards(choices, columns, 2).tolist() == [[1, -1, -1, -1]]
    assert reinforce.top_k_rewards(choices, columns, 3).tolist() == [[1, 1, -1, -1]]
    assert reinforce.top_k_rewards(choices, columns, 4).tolist() == [[1, 1, -1, 1]]


def test_places_are_those_of_the_next_token_worked_by_hand():
    """Off by one, the policy would be rewarded for its prompt, or choose what follows the end."""
    detector, _ = untrained("ppo")
    episodes, weights = detector.episodes([["open", *["read"] * 7, "close"], ["open", "new"], ["open", "new"]])
    assert episodes.lengths.tolist() == [[11], [4]]
    assert episodes.prompts.tolist() == [[2], [2]]  # begin and one key, more than 20% of both
    assert episodes.columns[1, :3].tolist() == [detector.detector.vocabulary.encode(["open"])[1] - END, -1, 0]
    assert episodes.judged.int().tolist() == [[0, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]]
    assert episodes.chosen.int().tolist() == [[0, 1, 1, 1, 1, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]]
    assert torch.equal(episodes.from_second, episodes.judged)
    assert weights.tolist() == [1, 2]
    assert episodes.take(torch.tensor([1])).ids.shape == (1, 4)


def test_the_prompt_is_a_fifth_of_a_long_sequence():
    detector, _ = untrained("ppo")
    episodes, _ = detector.episodes([["open", *["read"] * 16, "close"], ["open", *["write"] * 60, "close"]])
    assert episodes.lengths.tolist() == [[20], [24]]  # the second one has the context's
    assert episodes.prompts.tolist() == [[4], [4]]


def test_labeled_anomalies_are_rewarded_for_misses_and_no_other_sequence_is():
    detector, _ = untrained("logllama", labeled_anomalies=[["close", "open", "new"], ["write", "open"]])
    normal, _ = detector.episodes(TRAIN)
    both, _ = detector.episodes(TRAIN, detector.labeled_anomalies)
    rows = len(normal.ids)
    choices = torch.randn(len(both.ids), both.ids.shape[1] - 1, len(detector.detector.vocabulary) + 1)
    rewards = detector.rewards(choices, both)
    assert both.labeled[:, 0].tolist() == [False] * rows + [True, True]
    assert torch.equal(rewards[:rows], detector.rewards(choices[:rows], normal))
    assert (rewards[:rows] == -1).any()
    assert (rewards[rows:] == 1).all()
    assert detector.describe()["labeled_anomalies"] == 2


# ------------------------------------------------------------------------------------------------------------- credit


def test_a_key_is_credited_with_what_follows_it_worked_by_hand():
    """Its own reward does not depend on it: credited with that, a policy gradient is noise around nothing."""
    rewards, judged = torch.tensor([[1.0, 1.0, -1.0, 1.0, 1.0]]), torch.tensor([[False, True, True, True, False]])
    assert reinforce.rewards_that_follow(rewards, judged, 0.5)[0].tolist() == [1 - 0.5 + 0.25, -1 + 0.5, 1, 0, 0]
    assert reinforce.rewards_that_follow(rewards, judged, 1.0)[0].tolist() == [1, 0, 1, 0, 0]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(0, 2**16))
def test_advantages_are_without_mean_among_places_with_as_many_choices_left(lengths, seed):
    """Else early keys, which more rewards follow, would be preferred to late ones whatever they are."""
    chance = torch.Generator().manual_seed(seed)
    chosen = torch.arange(6)[None] < torch.tensor(lengths)[:, None]
    earned = torch.randn(len(lengths), 6, generator=chance)
    weights = torch.rand(len(lengths), generator=chance) + 0.1
    advantages = reinforce.advantages(earned, chosen, weights)
    assert (advantages[~chosen] == 0).all()
    left = torch.tensor(lengths)[:, None] - torch.arange(6)[None]
    for count in range(1, 7):
        assert (advantages * weights[:, None])[left == count].sum().item() == pytest.approx(0, abs=1e-4)
        own = earned[left == count]
        assert torch.allclose(advantages[left == count].diff(), own.diff(), atol=1e-5)


# ------------------------------------------------------------------------------------------------------------- losses


def test_the_clipped_ratio_worked_by_hand():
    before = torch.tensor([0.5, 0.5, 0.5, 0.5]).log()
    now = torch.tensor([0.7, 0.7, 0.3, 0.3]).log()  # ratios 1.4 and 0.6
    losses = reinforce.clipped_loss(now, before, torch.tensor([1.0, -1.0, 1.0, -1.0]), 0.2)
    assert losses.tolist() == pytest.approx([-1.2, 1.4, -0.6, 0.8])


def test_the_first_step_of_ppo_is_that_of_reinforce():
    """The ratio is then 1: were it not, generating and teacher forcing would disagree about the same keys."""
    gradients = []
    for reinforcement in ("ppo", "logllama"):
        settings = Settings(pretraining=SHORT, entropy_bonus=0.0, reward_clip=math.inf)
        detector, policy = untrained(reinforcement, settings=settings)
        episodes, weights = detector.episodes(TRAIN)
        chance = torch.Generator().manual_seed(0)
        rollout = detector.roll_out(policy, episodes, weights, chance)
        rollout = replace(rollout, rewards=torch.randn(rollout.rewards.shape, generator=chance).sign())
        now = reinforce.key_choices(policy(rollout.shown), rollout.shown)[1]
        assert torch.allclose(now[episodes.chosen], rollout.before[episodes.chosen], atol=1e-5)
        detector.policy_loss(policy, rollout).backward()
        gradients.append(torch.cat([weights.grad.flatten() for weights in policy.parameters()]))
    assert gradients[0].abs().max() > 1e-4
    assert torch.allclose(*gradients, atol=1e-6)


class Flat(torch.nn.Module):
    """Tokens of the same probabilities at every place: end, then two keys, as logits."""

    device = "cpu"

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([-9.0, -9.0, -9.0, *map(math.log, probabilities)]))

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(*shown.shape, -1)


def flat_case(reinforcement: str, rewards: list[list[float]], *probabilities: float, **wanted):
    """Two sequences of begin, a prompt key, one key of the policy's own, here a and b, another a, and the end."""
    detector = make(reinforcement, settings=Settings(pretraining=SHORT, discount=1.0, **wanted))
    detector.detector.prepare([["a", "b"]])
    ids = torch.tensor([[1, 4, 4, 4, 3], [1, 4, 5, 4, 3]])
    sizes = torch.tensor([[5], [5]])
    episodes = Episodes(ids, sizes, torch.tensor([[2], [2]]), torch.zeros(2, 1, dtype=torch.bool))
    policy = Flat(*probabilities)
    before = reinforce.key_choices(policy(ids[:, :-1]), ids[:, :-1])[1].detach()
    rollout = Rollout(episodes, torch.ones(2), ids[:, :-1], before, torch.tensor(rewards))
    return detector.policy_loss(policy, rollout)


def test_reinforce_with_entropy_bonus_and_clipped_rewards_by_hand():
    """Places 1 and 2 are chosen: a then a, and b then a; the end earns no choice of its own."""
    rewards = [[0, 0, 1, 1], [0, 0, -1, -1]]  # so what follows is 2 and 1, and -2 and -1
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    gain = 2 * math.log(0.75) - 2 * math.log(0.25) + math.log(0.75) - math.log(0.75)
    plain = flat_case("logllama", rewards, 0.2, 0.6, 0.2, entropy_bonus=0.0)
    assert plain.item() == pytest.approx(-gain / 4, abs=1e-5)
    clipped = flat_case("logllama", rewards, 0.2, 0.6, 0.2, entropy_bonus=0.0, reward_clip=0.5)
    assert clipped.item() == pytest.approx(-0.5 * (math.log(0.75) - math.log(0.25)) / 4, abs=1e-5)
    with_bonus = flat_case("logllama", rewards, 0.2, 0.6, 0.2, entropy_bonus=0.1)
    assert (with_bonus - plain).item() == pytest.approx(-0.1 * entropy, abs=1e-5)


def test_the_released_loss_pushes_the_true_keys_down_where_misses_outnumber_hits():
    """K is 1 of two keys and the end. Where a is likeliest, the first sequence is hit twice and missed at its end."""
    mostly_hit = flat_case("released", [[0] * 4] * 2, 0.2, 0.6, 0.2)
    a, b, end = math.log(0.6), math.log(0.2), math.log(0.2)
    assert mostly_hit.item() == pytest.approx((-(2 * a + end) * (2 - 1) - (b + a + end) * (1 - 2)) / 2, abs=1e-3)
    for end_first, sign in ((0.8, 1), (0.2, -1)):  # the first sequence: missed but at its end; or hit but at its end
        probabilities = torch.tensor([end_first, (1 - end_first) * 0.9, (1 - end_first) * 0.1])
        logs = probabilities.log()[None, None].repeat(1, 3, 1).requires_grad_()
        columns = torch.tensor([[1, 1, 0]])
        true = logs.gather(-1, columns[..., None])[..., 0]
        rewards = reinforce.top_k_rewards(logs, columns, 1)
        reinforce.likelihood_times_reward(true, rewards, torch.ones(1, 3)).sum().backward()
        assert logs.grad[0, 0, 1].sign() == sign  # minimized: 1 lowers the likelihood of the true key, -1 raises it


# --------------------------------------------------------------------------------------------------------- generation


@pytest.mark.parametrize("model", TINY_MODELS)
def test_generation_reads_what_teacher_forcing_reads_and_keeps_the_prompts(model):
    """With prompts of several lengths in one batch; a wrong position or cache would show in the logits."""
    detector, policy = untrained("ppo", model)
    episodes, _ = detector.episodes([["open", *["read"] * 17, "close"], ["open", *["write"] * 3, "close"], ["open"]])
    shown, logits = policy.generate(episodes, torch.Generator().manual_seed(0))
    observed = episodes.ids[:, :-1]
    own = torch.cat([torch.zeros(3, 1, dtype=torch.bool), episodes.chosen[:, :-1]], dim=1)
    assert torch.equal(shown[~own], observed[~own])
    assert (shown[own] >= reinforce.FIRST_KEY).all()
    assert not torch.equal(shown[own], observed[own])
    assert torch.allclose(logits, policy(shown), atol=1e-4)


def test_sequences_too_short_for_a_choice_are_no_fault():
    detector, policy = untrained("ppo")
    rollout = detector.roll_out(policy, *detector.episodes([["open"], []]))
    assert detector.policy_loss(policy, rollout).item() == 0
    assert detector.mean_reward(policy, *detector.episodes([[]])) == 0


# ------------------------------------------------------------------------------------------------------------- stages


@pytest.mark.parametrize("reinforcement", ["ppo", "logllama"])
def test_reinforcement_learns_the_key_that_pays(reinforcement, tmp_path):
    """After `open` three sequences of four go on with `a`: where K is 1 it pays to choose `a` always."""
    lines = [["open", *[key] * size] for key in ("a", "a", "a", "b") for size in range(3, 11)]
    pretraining = TrainingSettings(context=24, batch_size=4, max_epochs=6)
    settings = Settings(
        pretraining, top_share=0.34, prompt_share=0.0, episodes=3, learning_rate=1e-3, batch_size=16, entropy_bonus=0.0
    )
    curve = make(reinforcement, settings=settings).fit(lines, lines, tmp_path)
    rewards = curve.filter(stage="reinforcement")["reward"]
    assert rewards.is_not_null().all()
    assert rewards[-1] > rewards[0] + 0.1


@pytest.fixture(scope="module")
def through(tmp_path_factory) -> dict:
    """Of every variant a detector that ran through, its curve, and whether dropout was on in each step."""
    found = {}
    for reinforcement in loggpt.REINFORCEMENTS:
        detector, modes = make(reinforcement), []
        original = detector.policy_loss
        detector.policy_loss = lambda policy, rollout, own=original, seen=modes: (
            seen.append(policy.model.training) or own(policy, rollout)
        )
        curve = detector.fit(TRAIN, VALIDATION, tmp_path_factory.mktemp("checkpoints"))
        found[reinforcement] = detector, curve, modes
    return found


def test_only_the_released_variant_trains_with_dropout(through):
    assert {name: set(modes) for name, (_, _, modes) in through.items()} == {
        "ppo": {False}, "released": {True}, "logllama": {False},
    }  # fmt: skip
    assert len(through["ppo"][2]) == SMALL.updates * len(through["logllama"][2])


@pytest.mark.parametrize("reinforcement", loggpt.REINFORCEMENTS)
def test_an_interrupted_fit_ends_at_the_same_scores_and_curve(reinforcement, through, tmp_path, monkeypatch):
    """Killed between the stages, and once more inside the second."""
    detector, whole, _ = through[reinforcement]

    def kill(*arguments, **options):
        raise KeyboardInterrupt

    def fit(place, name: str, stand_in) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, stand_in)
            with pytest.raises(KeyboardInterrupt):
                make(reinforcement).fit(TRAIN, VALIDATION, tmp_path)

    fit(loggpt, "learn", kill)
    monkeypatch.setattr(NextKey, "fit", kill)  # the first stage is done: it must not train again
    original, done = learning._keep, []
    fit(learning, "_keep", lambda *given: kill() if done else (done.append(1), original(*given)))
    resumed = make(reinforcement)
    curve = resumed.fit(TRAIN, VALIDATION, tmp_path)
    assert score_gap(detector.score(TESTED), resumed.score(TESTED)) < 1e-5
    assert curve["epoch"].to_list() == whole["epoch"].to_list() == [0, 1, 2, 0, 1, 2]
    assert curve["seconds"].is_sorted()
    for column in ("training_loss", "validation_loss", "reward"):
        np.testing.assert_allclose(*(one[column].cast(float).to_numpy() for one in (curve, whole)), atol=1e-5)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> tuple[LogGPT, LogGPT]:
    """LogGPT's own model without and with its second stage."""
    pair = []
    for reinforcement in (None, "ppo"):
        detector = make(reinforcement, "tiny-gpt2")
        detector.fit(TRAIN, VALIDATION, tmp_path_factory.mktemp("checkpoints"))
        pair.append(detector)
    return tuple(pair)


def test_without_reinforcement_it_is_the_next_key_model(gpt2, tmp_path):
    plain = NextKey("tiny-gpt2", 0, settings=SHORT)
    plain.fit(TRAIN, VALIDATION, tmp_path)
    assert score_gap(gpt2[0].score(TESTED), plain.score(TESTED)) == 0
    assert score_gap(gpt2[1].score(TESTED), plain.score(TESTED)) > 1e-4
    assert [one.name for one in gpt2] == ["tiny-gpt2", "tiny-gpt2-ppo"]


def test_scores_of_gpt2_are_equal_alone_batched_and_after_loading(gpt2, tmp_path):
    """It has learned positions: in a padded row, and in chunks of a long sequence, they must be the same."""
    for detector in gpt2:
        together = detector.score(TESTED)
        for number, keys in enumerate(TESTED):
            assert score_gap(together[number : number + 1], detector.score([keys])) < 1e-4
        detector.save(tmp_path / detector.name)
        loaded = LogGPT.load(tmp_path / detector.name, TRAIN)
        assert score_gap(together, loaded.score(TESTED)) < 1e-4
        assert (loaded.name, loaded.seed, loaded.describe()) == (detector.name, 0, detector.describe())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny-gpt2", "tiny-gpt2-ppo"]


def test_its_model_has_the_published_sizes():
    detector = LogGPT()
    detector.detector.prepare(TRAIN)
    config = detector.detector.model.config
    assert (config.n_layer, config.n_head, config.n_embd, config.n_positions) == (6, 6, 60, 512)
    assert detector.parameters == 295_800 + (len(detector.detector.vocabulary) - 14) * 60


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_with_lora_only_trainable_weights_change(tied, tmp_path, monkeypatch):
    settings = Settings(pretraining=LORA, episodes=1, batch_size=16, learning_rate=1e-2)
    detector, before = make("ppo", str(save_checkpoint(tmp_path / "base", "llama", tied)), settings), {}
    original = loggpt.learn
    monkeypatch.setattr(
        loggpt, "learn", lambda policy, *given, **options: (
            before.update(copy.deepcopy(policy.model.state_dict())), original(policy, *given, **options)
        )[1],
    )  # fmt: skip
    detector.fit(TRAIN, VALIDATION, tmp_path / "checkpoints")
    model = detector.detector.model
    trained = {name for name, weights in model.named_parameters() if weights.requires_grad}
    changed = {name for name, weights in model.named_parameters() if not torch.equal(weights, before[name])}
    assert trained
    assert changed == trained
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    same_rows = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert same_rows == tied
    detector.save(tmp_path / "model")
    assert score_gap(detector.score(TESTED), LogGPT.load(tmp_path / "model", TRAIN).score(TESTED)) < 1e-4


def test_what_cannot_be_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="no reinforcement 'dpo'; choose one of ppo, released, logllama"):
        LogGPT(reinforcement="dpo")
    with pytest.raises(BadInput, match="alone; leave them out"):
        LogGPT(labeled_anomalies=[["open"]])
    make("ppo").fit(TRAIN, VALIDATION, tmp_path)
    with pytest.raises(BadInput, match="training of tiny-llama-ppo, 2 episodes"):
        make("released").fit(TRAIN, VALIDATION, tmp_path)
    with pytest.raises(BadInput, match="another data set"):
        make("ppo").fit([["other"]], VALIDATION, tmp_path)

"""The loop that collects transitions, step by step next to SB3's: what it does, stores and counts."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from models import Scripted, differences, make, scripted, state, step_counts
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_tinyrl import TinySAC
from sb3_tinyrl.contract.data import BUFFER_ARRAYS


def assert_equal_buffers(ours: ReplayBuffer, theirs: ReplayBuffer) -> None:
    assert (ours.pos, ours.full) == (theirs.pos, theirs.full)
    for name in BUFFER_ARRAYS:
        one, other = getattr(ours, name), getattr(theirs, name)
        if not isinstance(one, dict):
            one, other = {"": one}, {"": other}
        assert one.keys() == other.keys()
        for key in one:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{name} {key}")


def normal(n: int = 1) -> ActionNoise:
    return NormalActionNoise(np.zeros(n), np.full(n, 0.5))


def ornstein_uhlenbeck(n: int = 1) -> ActionNoise:
    return OrnsteinUhlenbeckActionNoise(np.zeros(n), np.full(n, 0.5))


def hopper(n_envs: int) -> VecEnv:
    return make_vec_env("Hopper-v5", n_envs, env_kwargs={"max_episode_steps": 15})


# --- warm-up: the same seed takes the same random actions ---

ENVIRONMENTS: dict[str, Callable[[], Any]] = {
    "Pendulum-v1": lambda: gym.make("Pendulum-v1", max_episode_steps=7),
    "Hopper-v5": lambda: hopper(1),
    "Hopper-v5 x 3": lambda: hopper(3),
    "scripted": scripted,
    "scripted x 4": lambda: scripted(4),
    "scripted in 2 processes": lambda: scripted(2, subprocesses=True),
    "several dimensions": lambda: scripted(
        2, observation_space=spaces.Box(-9, 9, (2, 1, 2), np.float32), action_shape=(2, 2)
    ),
    "integers": lambda: scripted(observation_space=spaces.Box(0, 255, (3,), np.uint8)),
    "VecNormalize": lambda: VecNormalize(scripted(3)),
}


@pytest.mark.parametrize("make_env", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_warm_up_does_and_stores_what_sb3_does_and_stores(make_env: Callable[[], Any]) -> None:
    models = [make(cls, make_env(), learning_starts=10**6).learn(80) for cls in (TinySAC, SAC)]
    assert_equal_buffers(*(model.replay_buffer for model in models))
    ours, theirs = models
    np.testing.assert_array_equal(ours._last_obs, theirs._last_obs)
    assert (ours.num_timesteps, ours._episode_num) == (theirs.num_timesteps, theirs._episode_num)
    assert ours.replay_buffer.dones.any()
    for model in models:
        model.env.close()


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("noise", [normal, ornstein_uhlenbeck])
def test_warm_up_adds_the_noise_that_sb3_adds(noise: Callable[[], ActionNoise], n_envs: int) -> None:
    def collect(cls: type[SAC]) -> SAC:
        return make(cls, scripted(n_envs), learning_starts=10**6, action_noise=noise()).learn(60)

    ours, theirs = collect(TinySAC), collect(SAC)
    assert_equal_buffers(ours.replay_buffer, theirs.replay_buffer)
    assert np.abs(ours.replay_buffer.actions).max() == 1


# --- after the warm-up: SB3, given the same actions, stores the same ---


class Replayed(SAC):
    """SB3's SAC with actions from a replay buffer instead of its policy."""

    source: ReplayBuffer

    def _sample_action(self, learning_starts: int, action_noise: Any = None, n_envs: int = 1) -> Any:
        action = self.source.actions[self.replay_buffer.pos].reshape(n_envs, *self.action_space.shape)
        return self.policy.unscale_action(action), action


def assert_stored_as_by_sb3(make_env: Callable[[], Any], n_steps: int, **arguments: Any) -> TinySAC:
    ours = make(TinySAC, make_env(), **arguments).learn(n_steps)
    theirs = make(Replayed, make_env(), **{**arguments, "gradient_steps": 0})
    theirs.source = ours.replay_buffer
    theirs.learn(n_steps)
    assert ours._n_updates > 0
    assert_equal_buffers(ours.replay_buffer, theirs.replay_buffer)
    np.testing.assert_equal(ours._last_obs, theirs._last_obs)
    return ours


@pytest.mark.parametrize(
    "make_env",
    [ENVIRONMENTS["Pendulum-v1"], ENVIRONMENTS["Hopper-v5"], ENVIRONMENTS["Hopper-v5 x 3"], lambda: scripted(4)],
    ids=["Pendulum-v1", "Hopper-v5", "Hopper-v5 x 3", "scripted x 4"],
)
def test_stores_what_sb3_stores(make_env: Callable[[], Any]) -> None:
    ours = assert_stored_as_by_sb3(make_env, 120)
    buffer = ours.replay_buffer
    assert buffer.dones.any()
    ended = buffer.dones[:-1].astype(bool)
    assert not np.any(np.all(buffer.next_observations[:-1][ended] == buffer.observations[1:][ended], axis=-1))
    following = buffer.next_observations[: buffer.size() - 1], buffer.observations[1 : buffer.size()]
    np.testing.assert_array_equal(*(array[~ended[: buffer.size() - 1]] for array in following))


def test_stores_what_sb3_stores_of_a_normalised_environment() -> None:
    ours = assert_stored_as_by_sb3(lambda: VecNormalize(scripted(3)), 120)
    assert np.abs(ours.replay_buffer.observations).max() > 20  # as they were before they were normalised
    assert np.abs(ours._last_obs).max() <= ours.get_env().clip_obs


def test_stores_what_sb3_stores_of_goals() -> None:
    arguments = {"policy": "MultiInputPolicy", "replay_buffer_class": HerReplayBuffer}
    assert_stored_as_by_sb3(lambda: BitFlippingEnv(n_bits=3, continuous=True, max_steps=4), 60, **arguments)


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple),
    n_envs=st.integers(1, 4),
    train_freq=st.integers(1, 7),
    n_steps=st.integers(40, 90),
    buffer_size=st.sampled_from([24, 1000]),
)
def test_stores_what_sb3_stores_for_any_pattern_of_episodes(
    lengths: tuple[int, ...], n_envs: int, train_freq: int, n_steps: int, buffer_size: int
) -> None:
    ours = make(TinySAC, scripted(n_envs, lengths=lengths), train_freq=train_freq, learning_starts=10)
    recorded = []

    def record(local: dict[str, Any], _: dict[str, Any]) -> bool:
        recorded.append(local["buffer_actions"].copy())
        return True

    ours.replay_buffer = ReplayBuffer(
        buffer_size, ours.observation_space, ours.action_space, device="cpu", n_envs=n_envs
    )
    ours.learn(n_steps, callback=record)

    class Recorded(SAC):
        def _sample_action(self, learning_starts: int, action_noise: Any = None, n_envs: int = 1) -> Any:
            action = recorded[self.num_timesteps // n_envs]
            return self.policy.unscale_action(action), action

    theirs = make(
        Recorded, scripted(n_envs, lengths=lengths), train_freq=train_freq, gradient_steps=0, buffer_size=buffer_size
    ).learn(n_steps)
    assert ours._n_updates > 0
    assert_equal_buffers(ours.replay_buffer, theirs.replay_buffer)


def test_a_vectorised_environment_without_terminal_observations_is_stored_as_by_sb3() -> None:
    def make_env() -> VecEnv:
        env = scripted(2)
        step = env.step_wait

        def step_without() -> Any:
            *outcome, infos = step()
            return *outcome, [{**info, "terminal_observation": None} for info in infos]

        env.step_wait = step_without
        return env

    assert_stored_as_by_sb3(make_env, 80)


def test_environments_in_other_processes() -> None:
    env = scripted(2, subprocesses=True)
    try:
        model = make(env=env).learn(100)
        assert (model.num_timesteps, model._n_updates, model.replay_buffer.size()) == (100, 40, 50)
        assert set(step_counts(model).values()) == {40}
    finally:
        env.close()


# --- the policy's actions ---


@pytest.mark.parametrize("n_envs", [1, 3])
def test_state_dependent_noise_is_that_of_sb3s_policy(n_envs: int) -> None:
    """SB3's policy acts with the matrices that the kernel has drawn, and takes the same actions."""
    model = make(env=scripted(n_envs), use_sde=True, sde_sample_freq=4, policy_kwargs={"log_std_init": -1.0}).learn(60)
    matrices = model.actor.action_dist.exploration_matrices
    assert matrices.shape == (n_envs, 256, 1)
    expected = model.policy.scale_action(model.predict(model._last_obs, deterministic=False)[0])
    np.testing.assert_allclose(model._sample_action(0, n_envs=n_envs)[1], expected, atol=1e-5)
    drawn = matrices.clone()
    model._reset_noise(n_envs, learning_starts=0)
    assert not np.isin(model.actor.action_dist.exploration_matrices, drawn).any()


def test_state_dependent_noise_has_the_standard_deviation_of_sb3s() -> None:
    model = make(env=scripted(400), use_sde=True, policy_kwargs={"net_arch": [16], "log_std_init": -1.0})
    model.learn(400)
    model._reset_noise(400, learning_starts=0)
    standard_deviation = model.actor.action_dist.exploration_matrices.std(dim=0)
    # Five standard errors of a standard deviation of 400 normal variates.
    error = (standard_deviation / model.actor.get_std().detach() - 1).abs().max()
    assert error < 5 / np.sqrt(2 * 400)


@pytest.mark.parametrize(("sde_sample_freq", "matrices_per_rollout"), [(-1, 1), (2, 4), (5, 3)])
def test_state_dependent_noise_is_drawn_as_often_as_by_sb3(sde_sample_freq: int, matrices_per_rollout: int) -> None:
    model = make(env=scripted(), use_sde=True, sde_sample_freq=sde_sample_freq, train_freq=6, learning_starts=0)
    model.learn(60)
    # One number for each action and one for each draw of matrices.
    assert model._n_sampled_actions == 60 + 10 * matrices_per_rollout


def test_each_environment_and_each_step_gets_noise_of_its_own() -> None:
    """All observations are the same, so that only the noise can differ."""
    spoil = {n: lambda obs, reward: (np.zeros_like(obs), reward) for n in range(1000)}
    model = make(env=scripted(4, spoil=spoil), learning_starts=0, gradient_steps=0).learn(200)
    actions = model.replay_buffer.actions[: model.replay_buffer.size()]
    assert len(np.unique(actions)) == actions.size == 200


@pytest.mark.parametrize("n_envs", [1, 3])
def test_action_noise_is_added_and_clipped(n_envs: int) -> None:
    """With a constant as noise: larger than the action space, it decides on the action alone."""

    class Constant(ActionNoise):
        n_resets = 0

        def __call__(self) -> np.ndarray:
            return np.full(1, 3.0)

        def reset(self) -> None:
            Constant.n_resets += 1

    def collect(cls: type[SAC]) -> tuple[SAC, int]:
        Constant.n_resets = 0
        return make(cls, scripted(n_envs), learning_starts=0, action_noise=Constant()).learn(60), Constant.n_resets

    (ours, our_resets), (theirs, their_resets) = collect(TinySAC), collect(SAC)
    assert_equal_buffers(ours.replay_buffer, theirs.replay_buffer)
    assert set(ours.replay_buffer.actions[: 60 // n_envs].ravel()) == {1.0}
    assert our_resets == their_resets > 10


def test_the_environment_gets_the_stored_action_in_its_own_bounds() -> None:
    given_ = []

    class Bounded(Scripted):
        def __init__(self) -> None:
            super().__init__(action_shape=(1,))
            self.action_space = spaces.Box(np.float32(3.0), np.float32(7.0), (1,))

        def step(self, action: np.ndarray) -> Any:
            given_.append(action)
            return super().step(action)

    model = make(env=Bounded()).learn(60)
    np.testing.assert_allclose(np.array(given_), 5 + 2 * model.replay_buffer.actions[:60, 0], rtol=1e-6)
    assert all(action.dtype == np.float32 for action in given_)


# --- counts ---


@settings(max_examples=25)
@given(
    n_envs=st.integers(1, 4),
    train_freq=st.one_of(st.integers(1, 5), st.tuples(st.integers(1, 2), st.just("episode"))),
    gradient_steps=st.sampled_from([-1, 0, 1, 2, 3]),
    learning_starts=st.sampled_from([0, 1, 7, 25, 1000]),
    target_update_interval=st.integers(1, 3),
    ent_coef=st.sampled_from(["auto", "auto_0.1", 0.1]),
    total=st.integers(1, 40),
    second=st.integers(0, 10),
)
def test_counts_are_sb3s(
    n_envs: int,
    train_freq: int | tuple[int, str],
    gradient_steps: int,
    learning_starts: int,
    total: int,
    second: int,
    **arguments: Any,
) -> None:
    if isinstance(train_freq, tuple):
        n_envs = 1

    def counts(cls: type[SAC]) -> dict[str, Any]:
        model = make(
            cls,
            scripted(n_envs),
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            learning_starts=learning_starts,
            **arguments,
        ).learn(total)
        if second:
            model.learn(second, reset_num_timesteps=False)
        return {
            "timesteps": model.num_timesteps,
            "updates": model._n_updates,
            "episodes": model._episode_num,
            "stored": model.replay_buffer.pos,
            "progress": model._current_progress_remaining,
            "ent_coef_learned": model.log_ent_coef is not None,
            "adam": set(step_counts(model).values()),
        }

    ours, theirs = counts(TinySAC), counts(SAC)
    if not theirs["updates"]:
        ours.pop("adam"), theirs.pop("adam")  # SB3 makes it at the first update, we at the first action
    assert ours == theirs


@pytest.mark.parametrize("cls", [SAC, TinySAC])
def test_episodes_of_several_environments_are_refused(cls: type[SAC]) -> None:
    with pytest.raises(AssertionError):
        make(cls, scripted(2), train_freq=(1, "episode")).learn(10)


@pytest.mark.parametrize(
    "schedule", [lambda progress: 1e-3 * progress, lambda progress: 1e-3 if progress > 0.5 else 1e-4]
)
def test_learning_rates_follow_the_schedule(schedule: Callable[[float], float]) -> None:
    def rates(cls: type[SAC]) -> list[list[float]]:
        seen = []

        def see(local: dict[str, Any], _: dict[str, Any]) -> bool:
            model = local["self"]
            optimizers = (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer)
            seen.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
            return True

        make(cls, learning_rate=schedule).learn(50, callback=see)
        return seen

    ours, theirs = rates(TinySAC), rates(SAC)
    assert ours == theirs
    assert len({rate for step in ours for rate in step}) > 1


def test_a_learning_rate_of_zero_keeps_the_networks() -> None:
    model = make(learning_rate=0.0)
    before = state(model)
    model.learn(60)
    after = {name: tensor for name, tensor in state(model).items() if name in before}
    assert all("critic_target" in name for name in differences(before, after))


@pytest.mark.parametrize("start", [0.1, 0.5])
def test_a_learned_entropy_coefficient_starts_where_it_was_told_to(start: float) -> None:
    model = make(ent_coef=f"auto_{start}", gradient_steps=0).learn(40)
    model.train(1, 32)
    assert model.logger.name_to_value["train/ent_coef"] == pytest.approx(start, rel=1e-6)
    assert model.log_ent_coef.exp().item() != pytest.approx(start, rel=1e-6)


def test_a_fixed_entropy_coefficient_stays() -> None:
    model = make(ent_coef=0.25).learn(60)
    assert model.log_ent_coef is None
    assert model.logger.name_to_value["train/ent_coef"] == 0.25
    assert "train/ent_coef_loss" not in model.logger.name_to_value


# --- methods replaced on SB3's classes ---


@pytest.mark.parametrize("cls", [SAC, OffPolicyAlgorithm])
@pytest.mark.parametrize("name", ["_store_transition", "_sample_action", "collect_rollouts"])
def test_a_method_replaced_on_a_class_of_sb3_is_called(
    cls: type[OffPolicyAlgorithm], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(cls, name)
    n_calls = []

    def counted(*arguments: Any, **named: Any) -> Any:
        n_calls.append(1)
        return original(*arguments, **named)

    monkeypatch.setattr(cls, name, counted)
    with pytest.warns(UserWarning, match=f"{name} has been replaced"):
        make(kernel="auto").learn(40)
    assert len(n_calls) == 40

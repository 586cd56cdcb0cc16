"""One memory, two views: the kernel trains SB3's own tensors from SB3's own arrays, wherever the user puts them."""

import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from models import At, Scripted, assert_trained, differences, make, scripted, state, step_counts
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EveryNTimesteps
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_tinyrl import TinySAC
from sb3_tinyrl._native.errors import CompilerNotFoundError, UnsupportedByKernelError
from sb3_tinyrl.contract.data import BUFFER_ARRAYS
from sb3_tinyrl.observations import NonFiniteError


def trained(**arguments: Any) -> TinySAC:
    return make(**arguments).learn(60)


def memory(model: SAC) -> dict[str, tuple[int, int]]:
    """Identity and address of each tensor and array that training uses."""
    tensors = dict(model.policy.named_parameters()) | {"log_ent_coef": model.log_ent_coef}
    for optimizer in (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer):
        for i, moments in enumerate(optimizer.state.values()):
            tensors |= {f"{id(optimizer)} {i} {name}": tensor for name, tensor in moments.items()}
    arrays = {name: getattr(model.replay_buffer, name) for name in BUFFER_ARRAYS}
    addresses = {name: (id(tensor), tensor.data_ptr()) for name, tensor in tensors.items()}
    return addresses | {name: (id(array), array.ctypes.data) for name, array in arrays.items()}


def test_training_changes_sb3s_tensors_in_place() -> None:
    model = trained()
    before, addresses = state(model), memory(model)
    held = model.critic.q_networks[0][0].weight.detach()
    value = held.clone()
    model.learn(20, reset_num_timesteps=False)
    assert memory(model) == addresses
    assert not th.equal(held, value)
    assert_trained(model, before)
    assert len(differences(before, state(model))) > 0.9 * len(before)


def test_nothing_moves_when_the_kernel_takes_over() -> None:
    model = make(learning_starts=1000).learn(40)
    theirs = memory(model)
    model.learning_starts = 0
    model.learn(5, reset_num_timesteps=False)
    ours = memory(model)
    assert {name: ours[name] for name in theirs} == theirs


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_gets_the_state_that_torch_gives_it(amsgrad: bool) -> None:
    policy_kwargs = {"net_arch": [32, 32], "optimizer_kwargs": {"amsgrad": amsgrad}}
    ours, theirs = (make(cls, gradient_steps=0, policy_kwargs=policy_kwargs).learn(40) for cls in (TinySAC, SAC))
    for model in (ours, theirs):
        model.train(1, 32)
    one, other = state(ours), state(theirs)
    assert one.keys() == other.keys()
    for name in one:
        assert (one[name].shape, one[name].dtype) == (other[name].shape, other[name].dtype), name


def test_torch_can_take_over_and_hand_back() -> None:
    model = trained()
    for kernel, n_updates in (("torch", 50), ("native", 60), ("torch", 70)):
        model.kernel = kernel
        before = state(model)
        model.learn(10, reset_num_timesteps=False)
        assert_trained(model, before)
        assert model._n_updates == n_updates
        assert set(step_counts(model).values()) == {n_updates}


def test_amsgrad_may_change_between_two_steps() -> None:
    model = trained()
    model.learn(5, reset_num_timesteps=False, callback=At(2, enable_amsgrad))
    assert all("max_exp_avg_sq" in moments for moments in model.critic.optimizer.state.values())
    largest = [moments["max_exp_avg_sq"].clone() for moments in model.critic.optimizer.state.values()]
    assert all(tensor.max() > 0 for tensor in largest)
    for optimizer in (model.actor.optimizer, model.critic.optimizer):
        optimizer.param_groups[0]["amsgrad"] = False
    model.learn(5, reset_num_timesteps=False)
    after = [moments["max_exp_avg_sq"] for moments in model.critic.optimizer.state.values()]
    assert all(map(th.equal, largest, after))


def enable_amsgrad(model: TinySAC) -> None:
    for optimizer in (model.actor.optimizer, model.critic.optimizer):
        optimizer.param_groups[0]["amsgrad"] = True
        for moments in optimizer.state.values():
            moments["max_exp_avg_sq"] = moments["exp_avg_sq"] * 0


def test_amsgrad_without_its_state_is_refused_as_torch_does() -> None:
    model = trained()
    model.critic.optimizer.param_groups[0]["amsgrad"] = True
    with pytest.raises(UnsupportedByKernelError, match="critic's Adam has amsgrad=True, but has taken steps without"):
        model.learn(5, reset_num_timesteps=False)
    model.kernel = "torch"
    with pytest.raises(KeyError, match="max_exp_avg_sq"):
        model.learn(5, reset_num_timesteps=False)


def test_weight_decay_shrinks_the_weights() -> None:
    """A weight that never gets a gradient of its own loses lr * weight_decay of itself with each step of AdamW."""
    policy_kwargs = {"net_arch": [32, 32], "optimizer_class": th.optim.AdamW, "optimizer_kwargs": {"weight_decay": 0.5}}
    model = make(policy_kwargs=policy_kwargs, learning_rate=0.1, ent_coef=0.1)
    layer = model.actor.latent_pi[0]
    with th.no_grad():
        layer.bias[0], layer.weight[0] = -1e6, 1.0
    model.learn(40)
    assert step_counts(model)["actor.optimizer.0.step"] == 20
    np.testing.assert_allclose(layer.weight[0].detach(), 0.95**20, rtol=1e-5)


# --- memory that moves ---


def load_optimizers(model: TinySAC) -> None:
    for optimizer in (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer):
        optimizer.load_state_dict(deepcopy(optimizer.state_dict()))


def replace_moments(model: TinySAC) -> None:
    for moments in model.critic.optimizer.state.values():
        moments.update({name: tensor.clone() for name, tensor in moments.items()})


def replace_moments_of_one(model: TinySAC) -> None:
    optimizer = model.actor.optimizer
    parameter = next(iter(optimizer.state))
    optimizer.state[parameter] = {name: tensor.clone() for name, tensor in optimizer.state[parameter].items()}


def replace_optimizer(model: TinySAC) -> None:
    old = model.critic.optimizer
    model.critic.optimizer = th.optim.Adam(model.critic.parameters())
    model.critic.optimizer.load_state_dict(old.state_dict())


def move_policy(model: TinySAC) -> None:
    held = [parameter.data for parameter in model.policy.parameters()]  # so that no address is used again
    model.policy.to(th.float64)
    model.policy.to(th.float32)
    assert not {tensor.data_ptr() for tensor in held} & {tensor.data_ptr() for tensor in model.policy.parameters()}


def assign_data(model: TinySAC) -> None:
    for parameter in (model.actor.mu.weight, model.critic_target.q_networks[1][2].bias, model.log_ent_coef):
        parameter.data = parameter.data.clone()


def assign_strided_data(model: TinySAC) -> None:
    for parameter in model.actor.parameters():
        parameter.data = th.stack([parameter.data, parameter.data], dim=-1)[..., 0]
        assert not parameter.is_contiguous() or parameter.numel() == 1


def replace_entropy_coefficient(model: TinySAC) -> None:
    old, optimizer = model.log_ent_coef, model.ent_coef_optimizer
    model.log_ent_coef = old.detach().clone().requires_grad_(True)
    optimizer.param_groups[0]["params"] = [model.log_ent_coef]
    optimizer.state[model.log_ent_coef] = optimizer.state.pop(old)


def new_buffer(model: TinySAC) -> None:
    old = model.replay_buffer
    buffer = ReplayBuffer(old.buffer_size, old.observation_space, old.action_space, device="cpu")
    for name in BUFFER_ARRAYS:
        getattr(buffer, name)[:] = getattr(old, name)
    buffer.pos, buffer.full = old.pos, old.full
    model.replay_buffer = buffer


def new_buffer_array(model: TinySAC) -> None:
    model.replay_buffer.rewards = model.replay_buffer.rewards.copy()


def zip_buffer(model: TinySAC, folder: Path) -> None:
    model.save_replay_buffer(folder / "buffer")
    model.load_replay_buffer(folder / "buffer")


MOVES: list[Callable[..., None]] = [
    load_optimizers, replace_moments, replace_moments_of_one, replace_optimizer, move_policy, assign_data,
    assign_strided_data, replace_entropy_coefficient, new_buffer, new_buffer_array,
]  # fmt: skip


@pytest.fixture(scope="module")
def unmoved() -> dict[str, th.Tensor]:
    """Where training gets when the memory stays where it is."""
    return state(trained().learn(40, reset_num_timesteps=False))


@pytest.mark.parametrize("move", MOVES)
def test_training_goes_on_where_the_memory_has_moved_to(
    move: Callable[[TinySAC], None], unmoved: dict[str, th.Tensor]
) -> None:
    model = trained()
    before = memory(model)
    move(model)
    assert memory(model) != before
    assert not differences(state(model.learn(40, reset_num_timesteps=False)), unmoved)


@pytest.mark.parametrize("move", [move for move in MOVES if move is not new_buffer])  # the loop holds the old one
def test_memory_may_move_during_training(move: Callable[[TinySAC], None], unmoved: dict[str, th.Tensor]) -> None:
    model = trained()
    model.learn(40, reset_num_timesteps=False, callback=At(15, move))
    assert not differences(state(model), unmoved)


def test_a_replay_buffer_from_a_file_is_sampled(tmp_path: Path, unmoved: dict[str, th.Tensor]) -> None:
    model = trained()
    zip_buffer(model, tmp_path)
    assert not differences(state(model.learn(40, reset_num_timesteps=False)), unmoved)


def test_a_full_replay_buffer_is_sampled_beyond_where_it_is_written() -> None:
    """The first rows hold a constant reward, the others a large one: the critic's loss tells which are sampled."""
    model = make(buffer_size=40, gradient_steps=0, ent_coef=0.0, gamma=0.0).learn(45)
    buffer = model.replay_buffer
    assert (buffer.full, buffer.pos) == (True, 5)
    buffer.rewards[:] = 0
    buffer.rewards[20:] = 1000
    model.train(1, 32)
    assert model.logger.name_to_value["train/critic_loss"] > 1e4


def test_weights_set_by_the_user_are_the_weights_trained() -> None:
    model, reference = trained(), trained()
    with th.no_grad():
        for each in (model, reference):
            for parameter in each.policy.parameters():
                parameter.mul_(0.5)
    assign_data(reference)
    assert not differences(*(state(each.learn(20, reset_num_timesteps=False)) for each in (model, reference)))


def test_adam_starts_anew_when_its_state_is_cleared() -> None:
    model = trained()
    model.critic.optimizer.state.clear()
    model.actor.optimizer.state[model.actor.mu.weight].clear()
    for moments in [*model.actor.optimizer.state.values()]:
        moments.clear()
    model.learn(5, reset_num_timesteps=False)
    counts = step_counts(model)
    assert {count for name, count in counts.items() if "ent_coef" not in name} == {5}
    assert {count for name, count in counts.items() if "ent_coef" in name} == {45}


def test_adams_step_counts_that_differ_are_left_to_torch() -> None:
    model = trained(kernel="auto")
    model.actor.optimizer.state[model.actor.mu.weight]["step"] += 1
    before = state(model)
    with pytest.warns(UserWarning, match=r"different numbers of steps for its parameters"):
        model.learn(5, reset_num_timesteps=False)
    assert_trained(model, before)
    counts = step_counts(model)
    assert {count for name, count in counts.items() if name.startswith("actor")} == {45, 46}


# --- replay buffers that do not fit ---


@pytest.mark.parametrize(
    ("observation_shape", "action_shape", "culprit"),
    [((2,), (1,), "observations"), ((3,), (2,), "actions"), ((3, 1), (1,), "observations"), ((), (1,), "observations")],
)
def test_a_replay_buffer_of_another_shape_is_refused_before_it_is_read(
    observation_shape: tuple[int, ...], action_shape: tuple[int, ...], culprit: str
) -> None:
    model = trained()
    before = state(model)
    observations, actions = (spaces.Box(-1, 1, shape, np.float32) for shape in (observation_shape, action_shape))
    model.replay_buffer = ReplayBuffer(1000, observations, actions, device="cpu")
    with pytest.raises(
        UnsupportedByKernelError, match=rf"replay buffer's {culprit} have the shape .*expected \(1000, 1"
    ):
        model.learn(5, reset_num_timesteps=False)
    assert not differences(before, state(model))


@pytest.mark.parametrize("name", BUFFER_ARRAYS)
@pytest.mark.parametrize("change", [lambda a: a[:-1], lambda a: a[:, :, None]])
def test_a_replay_buffers_array_replaced_by_another_shape_is_refused_by_name(
    name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    model = trained()
    setattr(model.replay_buffer, name, change(getattr(model.replay_buffer, name)))
    with pytest.raises(UnsupportedByKernelError, match=rf"({name}|the observations) have"):
        model.train(1, 32)


@pytest.mark.parametrize("name", BUFFER_ARRAYS)
@pytest.mark.parametrize("change", [lambda a: a.astype(np.float16), lambda a: np.repeat(a, 2, axis=0)[::2]])
def test_a_replay_buffers_array_of_another_kind_is_sampled_in_python(
    name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    model = trained()
    setattr(model.replay_buffer, name, change(getattr(model.replay_buffer, name)))
    before = state(model)
    model.train(2, 32)
    assert_trained(model, before)


@pytest.mark.parametrize("name", BUFFER_ARRAYS)
@settings(max_examples=4)
@given(row=st.integers(0, 59), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_replay_buffer_that_holds_nan_is_refused_by_place(name: str, row: int, value: float) -> None:
    model = make(learning_starts=1000).learn(60)
    before = state(model)
    array = getattr(model.replay_buffer, name)
    array[row] = value
    with pytest.raises(ValueError, match=rf"holds -?(nan|inf) in {name} at index \({row}, 0"):
        model.train(1, 32)
    assert not differences(before, state(model))


@pytest.mark.parametrize("name", BUFFER_ARRAYS)
@settings(max_examples=4)
@given(value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_written_behind_a_bound_kernel_is_refused_before_any_weight_changes(name: str, value: float) -> None:
    model = trained()
    before = state(model)
    getattr(model.replay_buffer, name)[...] = value
    with pytest.raises(ValueError, match=rf"holds -?(nan|inf) in {name} at index \(0, 0"):
        model.train(3, 32)
    assert not differences(before, state(model))


@pytest.mark.parametrize("name", ["observations", "next_observations"])
def test_what_float32_can_not_hold_is_refused_before_any_weight_changes(name: str) -> None:
    model = make(env=Scripted(observation_space=spaces.Box(-1000, 1000, (3,), np.float64))).learn(60)
    before = state(model)
    getattr(model.replay_buffer, name)[:, :, 1] = 1e39
    with pytest.raises(ValueError, match=rf"holds 1e\+39 in {name} at index \(0, 0, 1\)"):
        model.train(3, 32)
    assert not differences(before, state(model))


def test_steps_before_the_first_with_nan_count() -> None:
    """Of these batches of a single transition the first few miss the row that is spoiled."""
    model = make(batch_size=1, learning_starts=1000).learn(60)
    model.train(1, 1)
    counts, before = (model._n_updates, model._n_sampled_batches), step_counts(model)
    model.replay_buffer.rewards[30] = np.nan
    with pytest.raises(ValueError, match=r"holds nan in rewards at index \(30, 0\)"):
        model.train(2000, 1)
    n_taken = model._n_updates - counts[0]
    assert 0 < n_taken < 2000
    assert model._n_sampled_batches - counts[1] == n_taken
    assert {after - before[name] for name, after in step_counts(model).items()} == {n_taken}
    assert all(parameter.isfinite().all() for parameter in model.policy.parameters())
    model.replay_buffer.rewards[30] = 0
    model.train(2000 - n_taken, 1)
    undisturbed = make(batch_size=1, learning_starts=1000).learn(60)
    undisturbed.replay_buffer.rewards[30] = 0
    undisturbed.train(1, 1)
    undisturbed.train(2000, 1)
    assert not differences(state(undisturbed), state(model))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_as_sb3_does(value: float) -> None:
    models = trained(), make(SAC).learn(60)
    for model in models:
        with th.no_grad():  # in place: the kernel stays bound
            model.actor.latent_pi[0].weight[0, 0] = np.nan
            model.actor.latent_pi[0].weight[0, 1] = value
    before = {name: tensor.nan_to_num() for name, tensor in state(models[0]).items()}
    for model in models:
        with pytest.raises(ValueError, match=r"nan"):
            model.train(1, 32)
    assert not differences(before, {name: tensor.nan_to_num() for name, tensor in state(models[0]).items()})
    with pytest.raises(NonFiniteError, match=r"actor.* holds nan, expected finite weights"):
        models[0].train(1, 32)


def test_values_that_overflow_are_refused() -> None:
    model = trained()
    with th.no_grad():
        for critic in model.critic_target.q_networks:
            critic[-1].bias.fill_(3e38)
            critic[-1].weight.fill_(1e38)
    before = state(model)
    with pytest.raises(NonFiniteError, match="values of the next observations"):
        model.train(1, 32)
    assert not differences(before, state(model))


def test_statistics_of_vec_normalize_that_are_not_finite_are_refused() -> None:
    model = make(env=VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]))).learn(60)
    before = state(model)
    for statistics, number in ((model.env.obs_rms, 1), (model.env.ret_rms, ())):
        kept, statistics.mean = statistics.mean, statistics.mean + 0
        kept_var, statistics.var = statistics.var, np.array(statistics.var)
        statistics.var[number] = np.nan
        with pytest.raises(NonFiniteError, match="statistics of VecNormalize"):
            model.train(1, 32)
        statistics.mean, statistics.var = kept, kept_var
        assert not differences(before, state(model))
    model.train(1, 32)
    assert differences(before, state(model))


def test_an_empty_replay_buffer_is_refused() -> None:
    model = trained()
    model.replay_buffer.reset()
    with pytest.raises(ValueError, match="replay buffer is empty"):
        model.train(1, 32)


# --- what needs a new kernel, and what does not ---


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "kernels"
    monkeypatch.setenv("SB3_TINYRL_CACHE_DIR", str(folder))
    return folder


def test_hyperparameters_change_without_a_new_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    monkeypatch.setenv("CXX", "/no/such/compiler")  # whoever asks for one now fails
    model.gamma, model.tau, model.target_entropy = 0.5, 0.1, -3.0
    model.lr_schedule = lambda _: 0.1
    model.train_freq = model.train_freq._replace(frequency=3)
    model.gradient_steps, model.target_update_interval, model.learning_starts = 2, 2, 10
    model.critic.optimizer.param_groups[0].update(betas=(0.5, 0.6), eps=1e-3)
    before = state(model)
    assert_trained(model.learn(12, reset_num_timesteps=False), before)
    assert model._n_updates == 40 + 8
    model.batch_size = 31
    with pytest.raises(CompilerNotFoundError):
        model.learn(1, reset_num_timesteps=False)


@pytest.mark.parametrize(
    "change",
    [{"gamma": 0.0}, {"tau": 0.5}, {"target_entropy": 5.0}, {"lr_schedule": lambda _: 0.1}],
    ids=lambda change: next(iter(change)),
)
def test_changed_hyperparameters_count(change: dict[str, Any], unmoved: dict[str, th.Tensor]) -> None:
    model = trained()
    for name, value in change.items():
        setattr(model, name, value)
    assert differences(state(model.learn(40, reset_num_timesteps=False)), unmoved)


def test_another_batch_size_gets_another_kernel() -> None:
    model = trained()
    for batch_size in (16, 32):
        before = state(model)
        model.batch_size = batch_size
        assert_trained(model.learn(10, reset_num_timesteps=False), before)
    assert model._n_updates == 60


@pytest.mark.parametrize("work", ["construct", "save and load", "predict", "set_env", "parameters", "warm up in torch"])
def test_nothing_is_compiled_before_learn(work: str, kernels: Path, tmp_path: Path) -> None:
    model = make()
    if work == "save and load":
        model.save(tmp_path / "model")
        TinySAC.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    elif work == "predict":
        model.predict(np.zeros(3), deterministic=True)
        model.predict(np.zeros((2, 3)))
    elif work == "set_env":
        model.set_env(gym.make("Pendulum-v1"))
    elif work == "parameters":
        model.set_parameters(model.get_parameters())
    elif work == "warm up in torch":
        make(kernel="torch").learn(10)
    time.sleep(0.1)
    assert not kernels.exists()


@pytest.mark.slow
def test_the_build_starts_with_learn_and_overlaps_the_warm_up(
    kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler waits for the twentieth step: a `learn` that waited for the compiler would fail."""
    signal, compiler = tmp_path / "twentieth step", tmp_path / "c++"
    compiler.write_text(
        "#!/bin/sh\n"
        'case "$*" in *--version) exec c++ --version; esac\n'
        f"for i in $(seq 300); do [ -e '{signal}' ] && exec c++ \"$@\"; sleep 0.1; done\n"
        "exit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))

    def warmed_up(model: TinySAC) -> None:
        assert not [*kernels.glob("*.so")]
        signal.touch()

    model = make(learning_starts=20)
    before = state(model)
    assert_trained(model.learn(30, callback=At(20, warmed_up)), before)
    assert len([*kernels.glob("*.so")]) == 1


# --- shapes ---


def test_observations_and_actions_of_several_dimensions_are_taken_flat() -> None:
    env = Scripted(observation_space=spaces.Box(-1000, 1000, (1, 3), np.float32), action_shape=(1, 1))
    flat, shaped = make(env=Scripted()), make(env=env)
    flat.learn(60)
    shaped.learn(60)
    assert not differences(state(flat), state(shaped))


def test_integer_observations_train_as_their_float_values() -> None:
    spaces_ = (spaces.Box(-100, 100, (3,), dtype) for dtype in (np.float32, np.int16))
    floats, integers = (make(env=scripted(observation_space=space)).learn(60) for space in spaces_)
    assert integers.replay_buffer.observations.dtype == np.int16
    assert not differences(state(floats), state(integers))


class Pieces(gym.Env):
    """The same numbers in one array, or in the entries of a dictionary."""

    def __init__(self, as_dictionary: bool) -> None:
        box = {name: spaces.Box(-9, 9, (n,), np.float32) for name, n in (("wheels", 2), ("arm", 1))}
        self.as_dictionary = as_dictionary
        self.observation_space = spaces.Dict(box) if as_dictionary else spaces.Box(-9, 9, (3,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.numbers = np.random.default_rng(0)
        self.n_steps = 0

    def _observation(self) -> Any:
        numbers = self.numbers.normal(size=3).astype(np.float32)
        if not self.as_dictionary:
            return numbers
        pieces, start = {}, 0
        for name, box in self.observation_space.spaces.items():  # in the order in which SB3 joins them
            pieces[name] = numbers[start : start + box.shape[0]]
            start += box.shape[0]
        return pieces

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.n_steps += 1
        return self._observation(), float(-np.square(action).sum()), False, self.n_steps % 20 == 0, {}


def test_a_dictionary_learns_what_the_flat_observation_learns() -> None:
    """SB3's own test_dict_env.py asks for it; here to the bit."""
    models = [
        make(env=Pieces(as_dictionary), policy="MultiInputPolicy" if as_dictionary else "MlpPolicy").learn(80)
        for as_dictionary in (False, True)
    ]
    assert all(model.kernel_status().batches == "in place" for model in models)
    assert not differences(*map(state, models))


def test_an_entry_of_a_dictionary_may_be_replaced_during_training() -> None:
    unmoved = make(env=Pieces(True), policy="MultiInputPolicy").learn(60)
    moved = make(env=Pieces(True), policy="MultiInputPolicy")

    def move(model: TinySAC) -> None:
        arrays = model.replay_buffer.observations
        arrays["arm"] = arrays["arm"].copy()

    moved.learn(60, callback=At(40, move))
    assert not differences(state(unmoved), state(moved))
    np.testing.assert_array_equal(
        moved.replay_buffer.observations["arm"][:60], unmoved.replay_buffer.observations["arm"][:60]
    )


def test_code_of_the_users_is_looked_behind_at_each_step() -> None:
    model = make().learn(60)
    session = model._session
    for is_library_code, most in [(True, 64), (False, 1)]:
        with session.learning():
            for _ in range(100):
                session.look_again(lambda is_library_code=is_library_code: is_library_code)
                assert session.for_acting(model) is not None
            model.tau *= 2  # as another thread could
            n_steps = 0
            while session.for_acting(model) is not None:
                session.look_again(lambda is_library_code=is_library_code: is_library_code)
                n_steps += 1
        assert n_steps <= most
        model.learn(20, reset_num_timesteps=False)  # and the kernel is bound anew


class Meddling(ReplayBuffer):
    """Does something to the model whenever it draws a batch."""

    meddle: Callable[[], Any] | None = None

    def sample(self, *arguments: Any, **named: Any) -> Any:
        if self.meddle:
            self.meddle()
        return super().sample(*arguments, **named)


@pytest.mark.parametrize("overlap", [False, True])
def test_hyperparameters_set_while_a_batch_is_drawn_count_for_its_step(overlap: bool) -> None:
    model = trained(replay_buffer_class=Meddling, overlap=overlap)

    def stop_learning() -> None:
        model.critic.optimizer.param_groups[0]["lr"] = 0.0

    model.replay_buffer.meddle = stop_learning
    before = state(model)
    model.learn(10, reset_num_timesteps=False)
    assert model._session.bound is not None
    assert not {name for name in differences(before, state(model)) if "qf" in name and "target" not in name}


class Counting(ReplayBuffer):
    """Keeps numbers of its own, as buffers with priorities do."""

    n_added = n_drawn = 0

    def add(self, *arguments: Any, **named: Any) -> None:
        self.n_added += 1
        super().add(*arguments, **named)

    def sample(self, *arguments: Any, **named: Any) -> Any:
        self.n_drawn += 1
        return super().sample(*arguments, **named)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_buffer_that_draws_batches_in_python_may_change_itself(overlap: bool) -> None:
    model = trained(replay_buffer_class=Counting, overlap=overlap)
    bound = model._session.bound
    model.learn(10, reset_num_timesteps=False)
    assert bound is not None
    assert model._session.bound is bound
    assert model.replay_buffer.n_drawn == model._n_updates


@pytest.mark.parametrize("overlap", [False, True])
def test_memory_that_moves_while_a_batch_is_drawn_is_trained(overlap: bool) -> None:
    model = trained(replay_buffer_class=Meddling, overlap=overlap, kernel="auto")
    weight = model.actor.mu.weight
    drawn: list[th.Tensor] = []

    def move() -> None:
        weight.data = weight.data.clone()
        drawn.append(weight.detach().clone())

    model.replay_buffer.meddle = move
    with pytest.warns(UserWarning, match=r"sample\(\) of the replay buffer has changed the model"):
        model.learn(10, reset_num_timesteps=False)
    assert len(drawn) == 10
    assert not any(th.equal(one, other) for one, other in pairwise(drawn))


class CountsStores(TinySAC):
    def _update_info_buffer(self, *arguments: Any) -> None:
        super()._update_info_buffer(*arguments)


class Quiet(BaseCallback):
    def _on_step(self) -> bool:
        return True

    def update_locals(self, locals_: dict[str, Any]) -> None:
        pass


def patched_buffer(model: TinySAC) -> None:
    assert model.replay_buffer is not None
    model.replay_buffer.add = partial(model.replay_buffer.add)


@pytest.mark.parametrize(
    ("arrange", "callback", "may_skip"),
    [
        (lambda model: None, None, True),
        (lambda model: None, lambda folder: [EveryNTimesteps(1000, CheckpointCallback(1000, folder))], True),
        (patched_buffer, None, False),
        (lambda model: setattr(model, "_end_episode", partial(model._end_episode)), None, False),
        (lambda model: setattr(model, "__class__", CountsStores), None, False),
        (lambda model: None, lambda folder: EveryNTimesteps(1000, Quiet()), False),
        (lambda model: setattr(model.env.envs[0].unwrapped, "_get_obs", lambda: np.zeros(3, np.float32)), None, False),
    ],
)
def test_a_step_is_followed_by_a_look_where_it_may_run_code_of_the_users(
    arrange: Callable[[TinySAC], None], callback: Callable[[str], Any] | None, may_skip: bool, tmp_path: Path
) -> None:
    model = TinySAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, learning_starts=10, batch_size=8)
    arrange(model)
    model.learn(50, callback and callback(str(tmp_path)))
    assert model._session._may_skip_looks == may_skip

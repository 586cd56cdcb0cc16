"""The kernel's gradient steps against SB3's ``train()``: same weights, batches and noise in, same weights out.

float64: everything to 1e-10, which leaves no room for a different formula.

float32: to rounding. Losses and moments, which are linear in the gradients, agree to 1e-4 of the largest element of
their tensor, parameters to a tenth of one Adam step. After one step all numbers do, so that an error of a thousandth in
the bias of a head is seen. Later one number in a hundred may differ by more: Adam divides a gradient that is all
rounding by its own size, and a ReLU or the smaller critic can switch where two roundings of the same number lie on
either side, and then one sample of the batch counts differently. That grows along a run: after 100 steps nearly all
parameters are held to the tight bound, the others to ten steps.
"""

import platform
import shlex
from functools import partial

import numpy as np
import pytest
import torch as th
from activation_cases import CASES
from backends import EACH_LIBRARY
from fast_loop import slow_but
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from models import kernel_of
from parity import Pair, make_pair
from profiles import examples
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.sac import policies
from torch import nn

from sb3_tinyrl._native.jit.compiler import find_compiler

SHAPES = {
    "pendulum": dict(observation_dim=3, action_dim=1, net_arch=[256, 256], batch_size=256),
    "smallest": dict(observation_dim=1, action_dim=1, net_arch=[64, 64], batch_size=64),
    # In the first steps of seed 1 one sample lies on the edge of a ReLU.
    "halfcheetah": dict(observation_dim=17, action_dim=6, net_arch=[400, 300], batch_size=256, seed=2),
    "humanoid": dict(observation_dim=376, action_dim=17, net_arch=[256, 256], batch_size=100),
    "three layers": dict(observation_dim=11, action_dim=3, net_arch=[64, 48, 64], batch_size=37),
    # Panels of several lines, the last in part; rows of weights that share a few cache sets.
    "wide": dict(observation_dim=9, action_dim=2, net_arch=[512, 520], batch_size=200),
    "one layer": dict(observation_dim=5, action_dim=2, net_arch=[32], batch_size=32),
    "no layer": dict(observation_dim=4, action_dim=2, net_arch=[], batch_size=16),
    "unlike": dict(observation_dim=6, action_dim=2, net_arch=dict(pi=[24], qf=[40, 32]), batch_size=1),
}


def pair_of(shape: str, dtype: th.dtype, **arguments) -> Pair:
    parameters = SHAPES[shape] | {name: arguments.pop(name) for name in SHAPES[shape].keys() & arguments.keys()}
    policy_kwargs = dict(net_arch=parameters.pop("net_arch"), **arguments.pop("policy_kwargs", {}))
    return make_pair(**parameters, dtype=dtype, policy_kwargs=policy_kwargs, **arguments)


def moment_deviations(pair: Pair) -> dict[str, th.Tensor]:
    """Differences of Adam's moments, relative to the largest element of each tensor."""
    return {
        name: (ours - expected).abs() / max(expected.abs().max().item(), 1e-300)
        for name, (ours, expected) in pair.tensors().items()
        if "exp_avg" in name
    }


def parameter_deviations(pair: Pair) -> dict[str, th.Tensor]:
    """Absolute differences of parameters, targets and log entropy coefficient."""
    return {name: (ours - expected).abs() for name, (ours, expected) in pair.tensors().items() if "exp_avg" not in name}


def assert_equal_to(pair: Pair, tolerance: float, parameter_tolerance: float | None = None) -> None:
    for name, deviation in moment_deviations(pair).items():
        assert deviation.max().item() < tolerance, name
    for name, deviation in parameter_deviations(pair).items():
        assert deviation.max().item() < (parameter_tolerance or tolerance), name
    assert_losses_equal_to(pair, tolerance)


def assert_losses_equal_to(pair: Pair, tolerance: float) -> None:
    for name, (ours, expected) in pair.losses().items():
        assert ours == pytest.approx(expected, rel=tolerance, abs=tolerance), name


def assert_rounded_equal_to(pair: Pair, gradient_steps: int, tolerance: float = 1e-4) -> None:
    """Every element of each tensor after one step; nearly all of them after several, where a ReLU may have switched."""
    if gradient_steps == 1:
        assert_equal_to(pair, tolerance, parameter_tolerance=3e-5)
        return
    assert_losses_equal_to(pair, tolerance)
    assert_nearly_all_equal_to(pair, tolerance)


def assert_nearly_all_equal_to(pair: Pair, tolerance: float = 1e-4) -> None:
    assert fraction_below(moment_deviations(pair), tolerance) > 0.99
    assert fraction_below(parameter_deviations(pair), 3e-5) > 0.99
    assert_equal_to(pair, 0.02, parameter_tolerance=3e-4)


def fraction_below(deviations: dict[str, th.Tensor], tolerance: float) -> float:
    elements = th.cat([deviation.flatten() for deviation in deviations.values()])
    return (elements < tolerance).float().mean().item()


@pytest.mark.parametrize("shape", slow_but(["smallest", "three layers", "no layer", "unlike"], SHAPES))
def test_float64_steps_equal_sb3(shape):
    pair = pair_of(shape, th.float64)
    for gradient_steps in (1, 9, 20):
        pair.train(gradient_steps)
        assert_equal_to(pair, 1e-10)


@pytest.mark.parametrize("shape", slow_but(["smallest", "one layer"], SHAPES))
def test_float32_steps_equal_sb3_to_rounding(shape):
    pair = pair_of(shape, th.float32)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_rounded_equal_to(pair, gradient_steps)
    pair.train(90)
    # How far each ReLU that switches takes the rest along is the processor's rounding: most elements stay, not all.
    assert fraction_below(parameter_deviations(pair), 3e-5) > 0.5
    pair.synchronise()
    pair.train(1)
    assert_nearly_all_equal_to(pair)


# A panel in part, several of them, first layers that pass gradients to actions, no layer at all, one sample.
@EACH_LIBRARY
@pytest.mark.parametrize("shape", slow_but(["three layers"], ["humanoid", "three layers", "no layer", "unlike"]))
def test_float64_steps_with_a_blas_equal_sb3(shape, library):
    pair = pair_of(shape, th.float64, backend=library)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_equal_to(pair, 1e-10)


@EACH_LIBRARY
@pytest.mark.parametrize("shape", slow_but(["three layers"], ["pendulum", "three layers"]))
def test_float32_steps_with_a_blas_equal_sb3_to_rounding(shape, library):
    pair = pair_of(shape, th.float32, backend=library)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_rounded_equal_to(pair, gradient_steps)


@pytest.mark.slow
@EACH_LIBRARY
@pytest.mark.parametrize("features", [dict(use_sde=True), dict(policy_kwargs=dict(activation_fn=nn.SiLU, n_critics=3))])
def test_features_with_a_blas_equal_sb3(features, library):
    pair = pair_of("smallest", th.float64, batch_size=100, backend=library, **features)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_equal_to(pair, 1e-10)


class OwnReplayBuffer(ReplayBuffer):
    """Samples as SB3's does, which can't be known."""


DICTIONARY = spaces.Dict(
    position=spaces.Box(-1, 1, (2, 2), np.float64), velocity=spaces.Box(-1, 1, (3,)), gear=spaces.Discrete(4)
)

BOXES = spaces.Dict(
    position=spaces.Box(-1, 1, (2, 2), np.float64),
    velocity=spaces.Box(-1, 1, (3,), np.float32),
    gear=spaces.Box(-9, 9, (1,), np.int16),
)

FEATURES = {
    "fixed entropy coefficient": dict(ent_coef=0.2),
    "initial entropy coefficient": dict(ent_coef="auto_0.1", target_entropy=-0.5),
    "gamma and tau": dict(gamma=0.9, tau=0.05),
    "tau of one": dict(tau=1.0),
    "learning rate": dict(learning_rate=1e-2),
    "target update interval": dict(target_update_interval=3),
    "adam": dict(policy_kwargs=dict(optimizer_kwargs=dict(betas=(0.8, 0.99), eps=1e-5))),
    "weight decay": dict(policy_kwargs=dict(optimizer_kwargs=dict(weight_decay=0.1))),
    "AMSGrad": dict(policy_kwargs=dict(optimizer_kwargs=dict(amsgrad=True, betas=(0.6, 0.7)))),
    "AMSGrad with weight decay": dict(policy_kwargs=dict(optimizer_kwargs=dict(amsgrad=True, weight_decay=0.1))),
    "AdamW": dict(policy_kwargs=dict(optimizer_class=th.optim.AdamW)),
    "AdamW of all kinds": dict(
        policy_kwargs=dict(
            optimizer_class=th.optim.AdamW,
            optimizer_kwargs=dict(weight_decay=0.5, amsgrad=True, betas=(0.5, 0.9), eps=1e-4, foreach=True),
        )
    ),
    "decoupled weight decay": dict(
        policy_kwargs=dict(optimizer_kwargs=dict(weight_decay=0.1, decoupled_weight_decay=True))
    ),
    "one critic": dict(policy_kwargs=dict(n_critics=1)),
    "three critics": dict(policy_kwargs=dict(n_critics=3)),
    "several environments": dict(n_envs=3),
    "float64 observations": dict(observation_type=np.float64),
    "integer observations": dict(observation_type=np.int16),
    "shared extractor": dict(policy_kwargs=dict(share_features_extractor=True)),
    "ten critics": dict(policy_kwargs=dict(n_critics=10)),
    "no bootstrapping at time limits": dict(replay_buffer_kwargs=dict(handle_timeout_termination=False)),
    "memory-optimised buffer": dict(
        optimize_memory_usage=True, replay_buffer_kwargs=dict(handle_timeout_termination=False)
    ),
    "full memory-optimised buffer": dict(
        optimize_memory_usage=True,
        replay_buffer_kwargs=dict(handle_timeout_termination=False),
        buffer_size=60,
        n_envs=2,
    ),
    # Powers of one half are exact in float32, in which SB3 adds up these returns.
    "n steps": dict(n_steps=3, gamma=0.5),
    "n steps in a full buffer": dict(n_steps=5, gamma=0.5, buffer_size=60, n_envs=2),
    "normalised observations and rewards": dict(normalize=dict()),
    "normalised observations": dict(normalize=dict(norm_reward=False, clip_obs=0.5)),
    "normalised rewards": dict(normalize=dict(norm_obs=False, clip_reward=0.5)),
    "normalised float64 observations": dict(normalize=dict(), observation_type=np.float64),
    "normalised n steps": dict(n_steps=3, gamma=0.5, normalize=dict(norm_reward=False)),
    "images": dict(observation_space=spaces.Box(0, 255, (3, 36, 36), np.uint8)),
    "matrices": dict(observation_space=spaces.Box(-1, 1, (2, 3), np.float32)),
    "float16 observations": dict(observation_type=np.float16),
    "dictionaries": dict(policy="MultiInputPolicy", observation_space=DICTIONARY),
    "normalised dictionaries": dict(
        policy="MultiInputPolicy", observation_space=DICTIONARY, normalize=dict(norm_obs_keys=["velocity"])
    ),
    "dictionaries of boxes": dict(policy="MultiInputPolicy", observation_space=BOXES, n_envs=2),
    "normalised dictionaries of boxes": dict(
        policy="MultiInputPolicy", observation_space=BOXES, normalize=dict(norm_obs_keys=["velocity", "gear"])
    ),
    "discrete observations": dict(observation_space=spaces.Discrete(5)),
    "own replay buffer": dict(replay_buffer_class=OwnReplayBuffer),
    "gSDE": dict(use_sde=True),
    # Ends with numbers on both sides of zero, and draws no action so close to a bound that atanh loses digits.
    "gSDE with expln": dict(
        use_sde=True, learning_rate=1e-2, seed=2, policy_kwargs=dict(use_expln=True, log_std_init=0.02)
    ),
    "gSDE with a wide policy": dict(use_sde=True, policy_kwargs=dict(log_std_init=-0.5, clip_mean=0.05)),
    "gSDE without clipping": dict(use_sde=True, policy_kwargs=dict(clip_mean=0.0)),
    "gSDE and a fixed entropy coefficient": dict(use_sde=True, ent_coef=0.1),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_features_equal_sb3(feature):
    pair = pair_of("one layer", th.float64, **FEATURES[feature])
    for gradient_steps in (1, 7):
        pair.train(gradient_steps)
        assert_equal_to(pair, 1e-10)


def test_images_that_are_not_normalised_equal_sb3():
    """Numbers up to 255 saturate the policy: see below for why that costs digits."""
    images = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    pair = pair_of("one layer", th.float64, observation_space=images, policy_kwargs=dict(normalize_images=False))
    pair.train(1)
    assert_equal_to(pair, 1e-6, parameter_tolerance=1e-8)


class GentleELU(nn.ELU):
    """Other constants than torch's, the usual way."""

    def __init__(self) -> None:
        super().__init__(alpha=0.3)


ACTIVATIONS = {**CASES, "elu of a subclass": GentleELU, "elu below zero": partial(nn.ELU, alpha=-0.5)}
QUICK_ACTIVATIONS = ["tanh", "softplus"]  # each compiles a kernel of its own


def activation_pair(name: str, dtype: th.dtype) -> Pair:
    net_arch = dict(pi=[24], qf=[40, 17])
    policy_kwargs = dict(net_arch=net_arch, activation_fn=ACTIVATIONS[name])
    return make_pair(6, 2, dtype, policy_kwargs=policy_kwargs, batch_size=37)


@pytest.mark.parametrize("name", slow_but(QUICK_ACTIVATIONS, ACTIVATIONS))
def test_activations_equal_sb3(name):
    pair = activation_pair(name, th.float64)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_equal_to(pair, 1e-10)
    observations = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    actions = kernel_of(pair.ours).act(observations)[0]
    expected = pair.reference.predict(observations, deterministic=True)[0]
    np.testing.assert_allclose(actions, pair.reference.policy.scale_action(expected), atol=1e-6)


@pytest.mark.parametrize("name", slow_but(["tanh"], ["tanh", "gelu", "softplus"]))
def test_activations_equal_sb3_to_rounding(name):
    pair = activation_pair(name, th.float32)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_rounded_equal_to(pair, gradient_steps)


@pytest.mark.parametrize("name", slow_but(QUICK_ACTIVATIONS, ACTIVATIONS))
def test_saturated_activations_equal_sb3(name):
    """Arguments of some thousands, far beyond where exponentials overflow.

    Derivatives close to zero are all rounding there, in torch too: they have to be finite, and the values exact.
    """
    pair = activation_pair(name, th.float64)
    with th.no_grad():
        for model in (pair.ours, pair.reference):
            for network in (model.actor.latent_pi, *model.critic.q_networks, *model.critic_target.q_networks):
                network[0].weight *= 1e4
    pair.train(1)
    for tensor_name, (ours, expected) in pair.tensors().items():
        assert expected.isfinite().all()
        assert ours.isfinite().all(), tensor_name
    for loss, (value, expected_value) in pair.losses().items():
        assert value == pytest.approx(expected_value, rel=1e-9), loss


def test_hyperparameters_that_change_between_calls_equal_sb3():
    pair = pair_of("one layer", th.float64)
    kernel = kernel_of(pair.ours)
    for name, value in {"gamma": 0.5, "tau": 0.3, "target_entropy": 1.5, "target_update_interval": 2}.items():
        for model in (pair.ours, pair.reference):
            setattr(model, name, value)
        pair.train(3)
        assert_equal_to(pair, 1e-10)
    for name, value in {"betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.1}.items():
        for model in (pair.ours, pair.reference):
            model.critic.optimizer.param_groups[0][name] = value
        pair.train(3)
        assert_equal_to(pair, 1e-10)
    assert kernel_of(pair.ours) is kernel


def test_learning_rate_schedule_equals_sb3():
    pair = pair_of("one layer", th.float64, learning_rate=lambda remaining: 1e-2 * remaining)
    for remaining in (1.0, 0.5, 0.1):
        for model in (pair.ours, pair.reference):
            model._current_progress_remaining = remaining
        pair.train(3)
        assert_equal_to(pair, 1e-10)


def test_saturated_policy_equals_sb3():
    """Standard deviations at both clips and actions at the bounds.

    At the lower clip (2e-9) the draw differs from the mean in few bits, so log pi is exact to 1e-7 only, in torch too.
    """
    pair = pair_of("one layer", th.float64)
    with th.no_grad():
        for model in (pair.ours, pair.reference):
            model.actor.log_std.bias[0] = -30.0
            model.actor.log_std.bias[1] = 5.0
            model.actor.mu.bias[0] = 8.0
    for gradient_steps in (1, 7):
        pair.train(gradient_steps)
        assert_equal_to(pair, 1e-6, parameter_tolerance=1e-8)


def test_other_bounds_of_the_standard_deviation_equal_sb3(monkeypatch):
    """Read as SB3 reads them, at each call: some standard deviations lie at either bound, and pass no gradient then."""
    pair = pair_of("one layer", th.float64)
    kernel = kernel_of(pair.ours)
    observations = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    for bounds in ((-0.2, 0.1), (-20, 0.0), (0.05, 2), (0.5, -0.5), (-20, 2)):
        for name, bound in zip(("LOG_STD_MIN", "LOG_STD_MAX"), bounds, strict=True):
            monkeypatch.setattr(policies, name, bound)
        with th.no_grad():
            log_std = pair.reference.actor.get_action_dist_params(th.tensor(observations))[1]
        n_clipped = sum(int((log_std == bound).sum()) for bound in bounds)
        assert (0 < n_clipped < log_std.numel()) == (bounds not in ((0.5, -0.5), (-20, 2)))
        pair.train(7)
        assert_equal_to(pair, 1e-10)
        assert kernel_of(pair.ours) is kernel
        normal = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)
        with th.no_grad():
            mean, log_std, _ = pair.reference.actor.get_action_dist_params(th.tensor(observations))
        expected = th.tanh(mean + th.tensor(normal) * log_std.exp())
        np.testing.assert_allclose(kernel.act(observations, None, normal)[0], expected, atol=1e-6)


def test_long_calls_equal_several_short_ones():
    """A call is split where Python looks for interrupts; targets still move at SB3's steps."""
    one, many = (pair_of("one layer", th.float32, target_update_interval=5) for _ in range(2))
    one.ours.train(40, 32)
    for _ in range(8):
        many.ours.train(5, 32)
    for ours, expected in zip(one.ours.policy.parameters(), many.ours.policy.parameters(), strict=True):
        assert th.equal(ours, expected)


def test_nan_weights_stay_nan():
    """ReLU and the minimum over critics hand NaN on, as torch's do, instead of hiding it."""
    pair = pair_of("one layer", th.float32)
    for model in (pair.ours, pair.reference):
        with th.no_grad():
            model.critic.qf1[0].weight[0, 0] = th.nan
    pair.train(1)
    for name, (ours, expected) in pair.tensors().items():
        assert th.equal(ours.isnan(), expected.isnan()), name


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flags of x86")
@pytest.mark.parametrize("flag", ["-mno-avx512f", "-mno-avx"])
def test_narrower_vectors_equal_sb3(flag, monkeypatch):
    monkeypatch.setenv("CXX", f"{shlex.join(find_compiler().command)} {flag}")
    pair = pair_of("three layers", th.float64)
    pair.train(3)
    assert_equal_to(pair, 1e-10)


@pytest.mark.parametrize("shape", slow_but(["smallest"], ["smallest", "halfcheetah", "no layer", "unlike"]))
def test_gsde_equals_sb3(shape):
    pair = pair_of(shape, th.float64, use_sde=True)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_equal_to(pair, 1e-10)


@pytest.mark.parametrize("shape", slow_but(["smallest"], ["smallest", "halfcheetah"]))
def test_gsde_in_float32_equals_sb3_to_rounding(shape):
    pair = pair_of(shape, th.float32, use_sde=True)
    for gradient_steps in (1, 9):
        pair.train(gradient_steps)
        assert_rounded_equal_to(pair, gradient_steps, 2e-4)


OBSERVATIONS = st.one_of(
    st.builds(
        dict,
        observation_dim=st.integers(1, 40),
        observation_type=st.sampled_from([np.float32, np.float64, np.float16, np.int16]),
    ),
    st.sampled_from(
        [
            dict(observation_space=spaces.Box(0, 255, (3, 7, 7), np.uint8)),
            dict(observation_space=spaces.Box(-1, 1, (2, 3, 2), np.float32)),
            dict(observation_space=spaces.Discrete(5)),
            dict(observation_space=DICTIONARY, policy="MultiInputPolicy"),
        ]
    ),
)
OPTIMIZERS = st.fixed_dictionaries(
    dict(
        optimizer_class=st.sampled_from([th.optim.Adam, th.optim.AdamW]),
        optimizer_kwargs=st.fixed_dictionaries(
            {},
            optional=dict(
                betas=st.tuples(st.floats(0.0, 0.99), st.floats(0.5, 0.9999)),
                eps=st.floats(1e-8, 1e-3),
                weight_decay=st.floats(0, 1),
                amsgrad=st.booleans(),
                foreach=st.sampled_from([None, True, False]),
            ),
        ),
    )
)
GSDE = st.fixed_dictionaries(
    dict(use_expln=st.booleans(), clip_mean=st.sampled_from([0.0, 0.1, 2.0]), log_std_init=st.floats(-3.0, -1.0))
)


@st.composite
def configurations(draw):
    """Arguments of ``make_pair``: any that Stable-Baselines3 takes, as long as it computes in float64 with them."""
    policy_kwargs = dict(
        net_arch=dict(
            pi=draw(st.lists(st.integers(1, 70), max_size=3)), qf=draw(st.lists(st.integers(1, 70), max_size=3))
        ),
        activation_fn=draw(st.sampled_from([*ACTIVATIONS.values()])),
        n_critics=draw(st.integers(1, 4)),
        share_features_extractor=draw(st.booleans()),
        **draw(OPTIMIZERS),
    )
    observations = draw(OBSERVATIONS)
    is_dictionary = "policy" in observations
    use_sde = draw(st.booleans())
    if use_sde:
        policy_kwargs |= draw(GSDE)
    n_steps = 1 if is_dictionary else draw(st.integers(1, 4))
    optimize_memory_usage = not is_dictionary and n_steps == 1 and draw(st.booleans())
    n_envs = draw(st.integers(1, 4))
    arguments = dict(
        observation_dim=1,
        action_dim=draw(st.integers(1, 19)),
        n_envs=n_envs,
        buffer_size=draw(st.sampled_from([60, 1000])),
        use_sde=use_sde,
        n_steps=n_steps,
        optimize_memory_usage=optimize_memory_usage,
        replay_buffer_kwargs=dict(handle_timeout_termination=not optimize_memory_usage and draw(st.booleans())),
        batch_size=draw(st.integers(1, 70)),
        # Powers of one half are exact in float32, in which SB3 adds up the returns of several steps.
        gamma=draw(st.floats(0, 1)) if n_steps == 1 else 0.5,
        tau=draw(st.floats(0, 1)),
        learning_rate=draw(st.floats(1e-5, 1e-3)),  # a policy that saturates loses digits in torch, too
        target_update_interval=draw(st.integers(1, 4)),
        ent_coef=draw(st.sampled_from(["auto", "auto_0.1", 0.2, 0.0])),
        target_entropy=draw(st.just("auto") | st.floats(-10, 1)),
        policy_kwargs=policy_kwargs,
    )
    if draw(st.booleans()) and not isinstance(observations.get("observation_space"), spaces.Discrete):
        keys = dict(norm_obs_keys=["velocity"]) if is_dictionary else {}
        arguments["normalize"] = dict(
            norm_obs=draw(st.booleans()),
            norm_reward=n_steps == 1 and draw(st.booleans()),
            clip_obs=draw(st.floats(0.1, 10)),
            clip_reward=draw(st.floats(0.1, 10)),
            **keys,
        )
    return arguments | observations


@pytest.mark.slow
@settings(max_examples=examples(8))
@given(configuration=configurations())
def test_any_configuration_equals_sb3(configuration):
    """Observations that reach the heads unsquashed make policies so wide that tanh saturates: see above."""
    tolerance = 1e-10 if configuration["policy_kwargs"]["net_arch"]["pi"] else 1e-8
    pair = make_pair(**configuration, dtype=th.float64)
    for gradient_steps in (1, 4):
        pair.train(gradient_steps)
        assert_equal_to(pair, tolerance)

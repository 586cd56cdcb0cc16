"""What can be described, and the reasons why something can't."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from models import Scripted, make
from policies import PolicyKind
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from stable_baselines3.sac.policies import SACPolicy
from torch import nn

from sb3_tinyrl.export import export_cpp, export_onnx, export_policy
from sb3_tinyrl.export.check import evaluate, largest_difference, predicted_samples
from sb3_tinyrl.export.description import ExportError, describe


def sac(env: Any = "Pendulum-v1", policy: Any = "MlpPolicy", **policy_kwargs: Any) -> SAC:
    return make(SAC, env, policy=policy, buffer_size=10, policy_kwargs={"net_arch": [4], **policy_kwargs})


def test_layers_are_those_of_the_actor() -> None:
    kind = PolicyKind((2, 3), (2, 2), (5, 7), lambda: nn.ELU(alpha=0.3), sde=True, clip_mean=1.5, clip_obs=4.0)
    model = kind.model()
    description = describe(model)
    assert (description.observation_dim, description.action_dim) == (6, 4)
    assert [(layer.n_inputs, layer.n_outputs) for layer in description.layers] == [(6, 5), (5, 7), (7, 4)]
    named = [(layer.activation.function.name, layer.activation.constants) for layer in description.layers]
    assert named == [("elu", {"alpha": 0.3})] * 2 + [("identity", {})]
    assert np.array_equal(description.layers[-1].weight, model.actor.mu[0].weight.detach())
    assert description.mean_bound == 1.5
    assert np.array_equal(description.action_low, model.action_space.low.ravel())
    assert description.normalization is not None
    assert description.normalization.bound == 4.0
    assert description.summary() == "observation [2, 3] -> VecNormalize -> 5 elu -> 7 elu -> action [2, 2]"


def test_vec_normalize_of_rewards_only_leaves_observations_alone() -> None:
    env = VecNormalize(DummyVecEnv([Scripted]), norm_obs=False)
    assert describe(make(SAC, env)).normalization is None


class OwnPolicy(SACPolicy):
    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return -super()._predict(observation, deterministic)


def images(**policy_kwargs: Any) -> SAC:
    env = Scripted(observation_space=spaces.Box(0, 255, (3, 36, 36), np.uint8))
    return make(SAC, env, buffer_size=1, policy_kwargs={"net_arch": [4], **policy_kwargs})


def dictionary(image: bool = False, **normalized: Any) -> SAC:
    class Env(gym.Env):
        observation_space = spaces.Dict(
            {
                "velocity": spaces.Box(-3, 3, (2, 2)),
                "arm": spaces.Box(-5, 9, (3,), np.float64),
                **({"camera": spaces.Box(0, 255, (36, 36, 3), np.uint8)} if image else {}),
            }
        )
        action_space = spaces.Box(-2, 3, (2,))

        def reset(self, **_: Any) -> Any:
            return self.observation_space.sample(), {}

    env: Any = Env()
    if normalized:
        env = VecNormalize(DummyVecEnv([Env]), **normalized)
        for name, statistics in env.obs_rms.items():
            statistics.mean = np.full(statistics.mean.shape, len(name) / 9)
            statistics.var = np.arange(1.0, 1 + statistics.var.size).reshape(statistics.var.shape)
    return sac(env, "MultiInputPolicy")


def frame_stack() -> SAC:
    return sac(VecFrameStack(VecNormalize(DummyVecEnv([Scripted])), 2))


def with_parameter(value: float) -> SAC:
    model = sac()
    with th.no_grad():
        model.actor.latent_pi[0].weight[0, 0] = value
    return model


def without_bias() -> SAC:
    model = sac()
    model.actor.mu = nn.Linear(4, 1, bias=False)
    return model


def without_variance() -> SAC:
    env = VecNormalize(DummyVecEnv([Scripted]), epsilon=0.0)
    env.obs_rms.var[1] = 0
    return sac(env)


@pytest.mark.parametrize(
    ("build", "reason", "remedy"),
    [
        (lambda: PPO("MlpPolicy", "Pendulum-v1"), "the model is a PPO", "pass a SAC"),
        (lambda: SAC("MlpPolicy", "Pendulum-v1", _init_setup_model=False), "the policy is a NoneType", "MlpPolicy"),
        (lambda: sac(policy=OwnPolicy), "the policy is a OwnPolicy", "without subclasses"),
        (lambda: dictionary(image=True), "the observations are images", "normalize_images=False"),
        (lambda: dictionary(norm_obs_keys=["arm"]), "leaves entries .*: velocity", "norm_obs_keys=None"),
        (images, "the observations are images", "normalize_images=False"),
        (frame_stack, r"statistics of shape \(3,\) for observations of shape \(6,\)", "outermost"),
        (lambda: sac(activation_fn=nn.Mish), "Mish.* is unknown", "ReLU, Tanh, ELU, LeakyReLU"),
        (lambda: sac(activation_fn=lambda: nn.Softplus(beta=2)), "beta=2", "Softplus as it comes"),
        (lambda: with_parameter(np.nan), "NaN", "earlier checkpoint"),
        (lambda: with_parameter(-np.inf), "infinite", "earlier checkpoint"),
        (without_bias, "Linear with bias", "net_arch"),
        (without_variance, "without variance", "VecNormalize.save"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_a_remedy(build: Any, reason: str, remedy: str) -> None:
    with pytest.raises(ExportError, match=f"(?s){reason}.*To export: .*{remedy}"):
        describe(build())


@pytest.mark.parametrize("normalized", [{}, {"clip_obs": 2.0}], ids=["as they are", "normalised"])
def test_dictionaries_are_joined_in_the_order_of_the_policy(normalized: dict[str, Any], tmp_path: Path) -> None:
    model = dictionary(**normalized)
    description = describe(model)
    assert description.entries == {"arm": (3,), "velocity": (2, 2)}
    assert (description.observation_shape, description.action_dim) == ((7,), 2)
    middle = "VecNormalize -> " if normalized else ""
    assert description.summary() == f"'arm' [3], 'velocity' [2, 2] -> {middle}4 relu -> action [2]"

    observation = {"velocity": np.array([[1, -2], [0.5, 3]], np.float32), "arm": np.array([-4.0, 8, 0.25])}
    flat = np.concatenate([observation["arm"], observation["velocity"].ravel()]).astype(np.float32)
    env = model.get_vec_normalize_env()
    seen = env.normalize_obs(observation) if env else observation
    expected = model.predict(seen, deterministic=True)[0]
    np.testing.assert_allclose(evaluate(description, flat[np.newaxis])[0], expected, atol=1e-5)
    samples = predicted_samples(model, description)
    assert largest_difference(description, samples, evaluate(description, samples.observations)) <= 1e-5
    for export in (export_cpp, export_policy, export_onnx):
        assert export(model, tmp_path / f"{export.__name__}.h") <= 1e-5
    assert "// 'arm' [3], 'velocity' [2, 2] -> " in (tmp_path / "export_cpp.h").read_text()


def test_images_without_scaling_are_vectors() -> None:
    assert describe(images(normalize_images=False)).observation_dim == 3 * 36 * 36


def test_discrete_observations_are_refused() -> None:
    class Env(gym.ObservationWrapper):
        def __init__(self) -> None:
            super().__init__(gym.make("Pendulum-v1"))
            self.observation_space = spaces.Discrete(3)

    with pytest.raises(ExportError, match=r"Discrete\(3\).*FlattenObservation"):
        describe(sac(Env()))

"""Stable-Baselines3's own SAC, and how a model with its interface is measured."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sb3_tinyrl.bench.measure import Stopwatches, calls_per_second, seconds
from sb3_tinyrl.bench.peers.base import LEARNING_STARTS, SEED, STEPS_OF_ESTIMATE, Peer, microseconds_of
from sb3_tinyrl.bench.replay import fill

if TYPE_CHECKING:
    import gymnasium
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.common.vec_env import VecEnv


class StableBaselines3(Peer):
    """Stable-Baselines3's own SAC."""

    label = "SB3 (PyTorch)"
    distribution = "stable-baselines3"
    measurements = (*Peer.measurements, "updates_per_second", "budget")

    model: OffPolicyAlgorithm

    def _algorithm(self) -> tuple[Any, dict[str, Any]]:
        """The class, and arguments beside those that all have in common."""
        from stable_baselines3 import SAC

        return SAC, {"device": "cpu"}

    def set_up(self) -> dict[str, float]:
        """Make the model and take the first steps."""
        self._make_model()
        self._warm_up()
        return {}

    def _make_model(self) -> None:
        from stable_baselines3.common.logger import Logger

        algorithm, arguments = self._algorithm()
        self.model = algorithm(
            "MlpPolicy",
            self._make_env(),
            buffer_size=self.settings.buffer_size,
            learning_starts=max(LEARNING_STARTS, self.settings.train_freq),
            batch_size=self.settings.batch_size,
            train_freq=self.settings.train_freq,
            gradient_steps=self.settings.gradient_steps,
            policy_kwargs={"net_arch": list(self.settings.net_arch)},
            use_sde=self.settings.use_sde,
            seed=SEED,
            **arguments,
        )
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        if self.settings.fill_buffer:
            assert self.model.replay_buffer is not None
            fill(self.model.replay_buffer, SEED)

    def _make_env(self) -> gymnasium.Env[Any, Any] | VecEnv:
        import gymnasium
        from stable_baselines3.common.env_util import make_vec_env

        settings = self.settings
        if settings.n_envs == 1:
            return gymnasium.make(settings.env, **settings.env_kwargs)
        return make_vec_env(settings.env, settings.n_envs, env_kwargs=settings.env_kwargs)

    def _learn(self, n_steps: int) -> tuple[int, float]:
        """Train for ``n_steps`` or, to the end of the rollout, some more; return how many it were, and the seconds."""
        before = self.model.num_timesteps
        elapsed = seconds(lambda: self.model.learn(n_steps, reset_num_timesteps=False))
        return self.model.num_timesteps - before, elapsed

    def _warm_up(self) -> None:
        # Everything that is measured later, since first calls take longer.
        self._learn(self.model.learning_starts + self.settings.warm_up_steps)
        self.model.train(self.settings.updates_per_call, self.settings.batch_size)
        self.model.predict(self.model.observation_space.sample(), deterministic=True)

    def steps_per_second(self) -> float:
        """Environment steps per second of ``model.learn``."""
        n_steps, elapsed = self._learn(self.settings.steps)
        return n_steps / elapsed

    def seconds_per_step(self) -> float:
        """Of ``model.learn``, judged by a few steps."""
        n_steps, elapsed = self._learn(STEPS_OF_ESTIMATE)
        return elapsed / n_steps

    def updates_per_second(self) -> float:
        """Gradient steps per second of ``model.train`` alone."""
        settings = self.settings
        calls = calls_per_second(
            lambda: self.model.train(settings.updates_per_call, settings.batch_size), settings.update_seconds
        )
        return calls * settings.updates_per_call

    def predict_microseconds(self) -> float:
        """How long ``model.predict`` takes for one observation."""
        observation = self.model.observation_space.sample()
        return microseconds_of(
            lambda: self.model.predict(observation, deterministic=True), self.settings.predict_seconds
        )

    def budget(self) -> dict[str, float]:
        """Where the microseconds of one environment step go; they add up to ``total``."""
        watches = Stopwatches()
        with ExitStack() as stack:
            for watched in self._watched():
                stack.enter_context(watches.watching(*watched))
            n_steps, total = self._learn(self.settings.budget_steps)
        spent = watches.seconds
        parts = {name: spent[name] for name in ("environment", "acting", "storing")}
        parts |= self._gradient_steps(spent)
        parts = {name: value for name, value in parts.items() if value > 0}
        parts["everything else"] = total - sum(parts.values())
        parts["total"] = total
        return {name: value / n_steps * 1e6 for name, value in parts.items()}

    def _watched(self) -> list[tuple[object, str, str]]:
        """Owners and names of methods, and what the time spent there is called."""
        return [
            (self.model.env, "step", "environment"),
            (self.model, "_sample_action", "acting"),
            (self.model, "_store_transition", "storing"),
            (self.model, "train", "train"),
        ]

    def _gradient_steps(self, spent: dict[str, float]) -> dict[str, float]:
        """Split the time spent in ``train``."""
        return {"gradient steps": spent["train"]}

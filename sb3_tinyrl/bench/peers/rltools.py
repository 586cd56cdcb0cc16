"""RLtools' Python wrapper, which compiles the whole training loop."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sb3_tinyrl.bench import rltools_blas
from sb3_tinyrl.bench.measure import seconds
from sb3_tinyrl.bench.peers.base import (
    LEARNING_STARTS,
    SEED,
    STEPS_OF_ESTIMATE,
    Peer,
    installed_version,
    microseconds_of,
)


class RLtools(Peer):
    """RLtools' Python wrapper, with a BLAS: without one it is slower by an order of magnitude."""

    label = "RLtools"
    distribution = "rltools"

    @classmethod
    def missing(cls) -> str | None:
        """The wrapper itself, pybind11, or a BLAS."""
        for distribution in (cls.distribution, "pybind11"):
            if not installed_version(distribution):
                return f"pip install {distribution}"
        return rltools_blas.missing()

    @classmethod
    def version(cls) -> str:
        """That of the package and the name of the BLAS."""
        return f"{super().version()} with {rltools_blas.chosen()}"

    def set_up(self) -> dict[str, float]:
        """Compile the training loop and take the first steps."""
        self._require_equal_hyper_parameters()
        rltools_blas.prepare()
        rltools = import_module("rltools")

        n_warm_up_steps = max(LEARNING_STARTS, self.settings.batch_size)
        n_steps_before = n_warm_up_steps + self.settings.warm_up_steps
        width = self.settings.net_arch[0]
        n_layers = len(self.settings.net_arch) + 1

        def compile_module() -> None:
            self._module = rltools.SAC(
                self._environment(),
                enable_evaluation=False,
                STEP_LIMIT=n_warm_up_steps
                + self.settings.warm_up_steps
                + STEPS_OF_ESTIMATE
                + self.settings.rounds * self.settings.steps
                + 1,
                N_WARMUP_STEPS=n_warm_up_steps,
                ACTOR_BATCH_SIZE=self.settings.batch_size,
                CRITIC_BATCH_SIZE=self.settings.batch_size,
                ACTOR_HIDDEN_DIM=width,
                ACTOR_NUM_LAYERS=n_layers,
                CRITIC_HIDDEN_DIM=width,
                CRITIC_NUM_LAYERS=n_layers,
                ALPHA=1.0,
                OPTIMIZER_ALPHA=3e-4,
                OPTIMIZER_EPSILON=1e-8,
                OPTIMIZER_EPSILON_SQRT=0.0,
            )

        cold = seconds(compile_module)
        self._state = self._module.State(SEED)
        self._take_steps(n_steps_before)
        return {"cold": cold}

    def _require_equal_hyper_parameters(self) -> None:
        if len(set(self.settings.net_arch)) != 1:
            raise ValueError(
                f"RLtools' wrapper has one width for all hidden layers, not {self.settings.net_arch}; leave it out "
                "with --peers, or choose equal widths"
            )
        if (self.settings.train_freq, self.settings.gradient_steps) != (1, 1):
            raise ValueError(
                "RLtools' wrapper takes one gradient step after each environment step; leave it out with --peers, or "
                "--train-freq and --gradient-steps at 1"
            )
        if self.settings.use_sde:
            raise ValueError("RLtools has no state-dependent noise; leave it out with --peers, or --use-sde")

    def _environment(self) -> Any:
        """What the wrapper compiles: a folder with C++, or a factory of Python environments."""
        import gymnasium

        env = gymnasium.make(self.settings.env)
        if "folder" not in env.spec.kwargs:  # type: ignore[union-attr]  # those of gymnasium.make have one
            return self._make_env
        return {
            "path": env.spec.kwargs["folder"],  # type: ignore[union-attr]
            "action_dim": env.action_space.shape[0],  # type: ignore[index]
            "observation_dim": env.observation_space.shape[0],  # type: ignore[index]
        }

    def _make_env(self) -> Any:
        import gymnasium
        import numpy as np

        env = gymnasium.make(self.settings.env)
        return gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))

    def _take_steps(self, n: int) -> None:
        for _ in range(n):
            self._state.step()

    def steps_per_second(self) -> float:
        """Environment steps per second of the compiled loop."""
        return self.settings.steps / seconds(lambda: self._take_steps(self.settings.steps))

    def seconds_per_step(self) -> float:
        """Of the compiled loop, judged by a few steps."""
        return seconds(lambda: self._take_steps(STEPS_OF_ESTIMATE)) / STEPS_OF_ESTIMATE

    def predict_microseconds(self) -> float:
        """How long the trained policy takes for one observation."""
        import numpy as np

        observation = self._make_env().observation_space.sample().astype(np.float32)
        return microseconds_of(lambda: self._state.action(observation), self.settings.predict_seconds)

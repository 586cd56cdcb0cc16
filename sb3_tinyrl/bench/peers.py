"""The implementations of SAC that are compared, each as its worker process drives it.

All of them get the hyperparameters of Stable-Baselines3's SAC. What they need is imported when they are set up.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar, cast

from sb3_tinyrl.bench.measure import Stopwatches, calls_per_second, peak_memory, seconds
from sb3_tinyrl.bench.replay import fill
from sb3_tinyrl.bench.settings import Settings

if TYPE_CHECKING:
    import gymnasium
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.common.vec_env import VecEnv

    from sb3_tinyrl.sac import TinySAC

SEED = 0
_LEARNING_STARTS = 100
_SECONDS_OF_PREDICTIONS = 0.2
_PREDICTIONS_PER_CALL = 10


class Peer(ABC):
    """One implementation of SAC.

    :param settings: what is measured
    """

    label: ClassVar[str]
    distribution: ClassVar[str]
    #: Methods that are called in each round; the names of the results are theirs.
    measurements: ClassVar[tuple[str, ...]] = ("steps_per_second", "predict_microseconds")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        if settings.env.startswith("sb3_tinyrl:"):
            # What importing the package does, which stands empty in this process.
            from sb3_tinyrl.environments import register_shipped_environments

            register_shipped_environments()

    @classmethod
    def missing(cls) -> str | None:
        """What to install before this peer can be measured, or None."""
        return None if _version(cls.distribution) else f"pip install {cls.distribution}"

    @classmethod
    def version(cls) -> str:
        """The version of the package that implements it."""
        return _version(cls.distribution) or "not installed"

    @abstractmethod
    def set_up(self) -> dict[str, float]:
        """Get ready, up to and including the first gradient steps.

        :return: seconds of compiling: ``cold`` and, where it can be told, ``warm``; empty where nothing is compiled
        """

    @abstractmethod
    def steps_per_second(self) -> float:
        """Environment steps per second of training, from end to end."""

    @abstractmethod
    def predict_microseconds(self) -> float:
        """How long the deterministic action for one observation takes."""

    def peak_memory(self) -> int | None:
        """Most bytes in memory so far."""
        return peak_memory()


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
            learning_starts=max(_LEARNING_STARTS, self.settings.train_freq),
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

        def predict() -> None:
            for _ in range(_PREDICTIONS_PER_CALL):
                self.model.predict(observation, deterministic=True)

        return 1e6 / (calls_per_second(predict, _SECONDS_OF_PREDICTIONS) * _PREDICTIONS_PER_CALL)

    def budget(self) -> dict[str, float]:
        """Where the microseconds of one environment step go; they add up to ``total``."""
        watches = Stopwatches()
        with ExitStack() as stack:
            for watched in self._watched():
                stack.enter_context(watches.watching(*watched))
            n_steps, total = self._learn(max(100, self.settings.steps // 5))
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


class Tiny(StableBaselines3):
    """TinySAC."""

    label = "TinySAC"
    distribution = "sb3-tinyrl"
    measurements = (*StableBaselines3.measurements, "phases")
    backend: ClassVar[str] = "simd"

    def _algorithm(self) -> tuple[Any, dict[str, Any]]:
        from sb3_tinyrl.sac import TinySAC

        # By default it takes as many threads as turn out to be fastest, up to the cores that the worker may use.
        is_limited = hasattr(os, "sched_setaffinity")
        return TinySAC, {
            "device": "cpu",
            "kernel": "native",
            "n_threads": None if is_limited else self.settings.threads,
            "backend": self.backend,
        }

    def set_up(self) -> dict[str, float]:
        """Build the kernel, load it a second time, and take the first steps."""
        from sb3_tinyrl._native.abi import blas
        from sb3_tinyrl._native.abi.kernel import Kernel
        from sb3_tinyrl._native.jit.build import build
        from sb3_tinyrl.capabilities import kernel_spec

        self._make_model()
        loaded = None if self.backend == "simd" else blas.load(self.backend)
        spec = kernel_spec(self.model, self.settings.batch_size, loaded is not None)  # type: ignore[arg-type]
        cold = seconds(lambda: build(spec))
        warm = seconds(lambda: Kernel(spec, build(spec), blas=loaded))
        self._warm_up()
        return {"cold": cold, "warm": warm}

    def _warm_up(self) -> None:
        from sb3_tinyrl._native.abi.thread_tuner import n_trials

        super()._warm_up()
        for _ in range(n_trials()):  # it may still have been choosing its threads
            self.model.train(1, self.settings.batch_size)

    def phases(self) -> dict[str, float]:
        """Where the microseconds of one gradient step go; they add up to ``total``."""
        from sb3_tinyrl._native.abi.kernel import PHASES

        model = cast("TinySAC", self.model)
        binding = model._bound(self.settings.batch_size)
        assert binding is not None
        before = model._n_updates
        with binding.kernel.timing_phases() as spent:
            total = 1e6 / self.updates_per_second()
        n_updates = model._n_updates - before
        parts = {name: value / n_updates * 1e6 for name, value in zip(PHASES, spent, strict=True) if value > 0}
        return {**parts, "around the kernel": total - sum(parts.values()), "total": total}

    def _watched(self) -> list[tuple[object, str, str]]:
        from sb3_tinyrl._native.abi.kernel import Kernel

        return [*super()._watched(), (Kernel, "train", "kernel"), (Kernel, "run", "loop")]

    def _gradient_steps(self, spent: dict[str, float]) -> dict[str, float]:
        parts = {"gradient steps": spent["kernel"], "around gradient steps": spent["train"] - spent["kernel"]}
        # Native environments: acting, stepping, storing and training in one call.
        return parts | ({"the whole loop, natively": spent["loop"]} if spent["loop"] else {})


class TinyBlas(Tiny):
    """TinySAC with the matrix products of a library."""

    @classmethod
    def missing(cls) -> str | None:
        """The library."""
        from sb3_tinyrl._native.abi import blas

        return None if cls.backend in blas.installed() else blas.remedy(cls.backend)


class TinyMkl(TinyBlas):
    """TinySAC with the matrix products of MKL."""

    label = "TinySAC, MKL"
    backend = "mkl"


class TinyOpenBlas(TinyBlas):
    """TinySAC with the matrix products of OpenBLAS."""

    label = "TinySAC, OpenBLAS"
    backend = "openblas"


class TinyAccelerate(TinyBlas):
    """TinySAC with the matrix products of Accelerate, its default on macOS."""

    label = "TinySAC, Accelerate"
    backend = "accelerate"


class Sbx(StableBaselines3):
    """SBX: Stable-Baselines3's SAC in JAX."""

    label = "SBX (JAX)"
    distribution = "sbx-rl"

    def _algorithm(self) -> tuple[Any, dict[str, Any]]:
        return import_module("sbx").SAC, {}

    def set_up(self) -> dict[str, float]:
        """Make the model and take the first steps; JAX compiles when something is first called."""
        self._make_model()
        self._learn(1)  # so that there is something to train with
        cold = seconds(lambda: self.model.train(self.settings.gradient_steps, self.settings.batch_size))
        self._warm_up()
        return {"cold": cold}


class RLtools(Peer):
    """RLtools' Python wrapper, with a BLAS: without one it is slower by an order of magnitude."""

    label = "RLtools"
    distribution = "rltools"

    @classmethod
    def missing(cls) -> str | None:
        """The wrapper itself, pybind11, or a BLAS."""
        from sb3_tinyrl.bench import rltools_blas

        for distribution in (cls.distribution, "pybind11"):
            if not _version(distribution):
                return f"pip install {distribution}"
        return rltools_blas.missing()

    @classmethod
    def version(cls) -> str:
        """That of the package and the name of the BLAS."""
        from sb3_tinyrl.bench import rltools_blas

        return f"{super().version()} with {rltools_blas.chosen()}"

    def set_up(self) -> dict[str, float]:
        """Compile the training loop and take the first steps."""
        from sb3_tinyrl.bench import rltools_blas

        self._require_equal_hyper_parameters()
        rltools_blas.prepare()
        rltools = import_module("rltools")

        n_warm_up_steps = max(_LEARNING_STARTS, self.settings.batch_size)
        n_steps_before = n_warm_up_steps + self.settings.warm_up_steps
        width = self.settings.net_arch[0]
        n_layers = len(self.settings.net_arch) + 1

        def compile_module() -> None:
            self._module = rltools.SAC(
                self._environment(),
                enable_evaluation=False,
                STEP_LIMIT=n_warm_up_steps
                + self.settings.warm_up_steps
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
        # Native environments have imported torch, beside which the wrapper refuses MKL; any other BLAS is safe.
        os.environ["RL_TOOLS_IGNORE_TORCH_WARNING"] = "1"
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

    def predict_microseconds(self) -> float:
        """How long the trained policy takes for one observation."""
        import numpy as np

        observation = self._make_env().observation_space.sample().astype(np.float32)

        def predict() -> None:
            for _ in range(_PREDICTIONS_PER_CALL):
                self._state.action(observation)

        return 1e6 / (calls_per_second(predict, _SECONDS_OF_PREDICTIONS) * _PREDICTIONS_PER_CALL)


#: In the order in which they are shown; the first is the one the others are compared with.
PEERS: dict[str, type[Peer]] = {
    "tiny": Tiny,
    "tiny-mkl": TinyMkl,
    "tiny-openblas": TinyOpenBlas,
    "tiny-accelerate": TinyAccelerate,
    "sb3": StableBaselines3,
    "sbx": Sbx,
    "rltools": RLtools,
}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

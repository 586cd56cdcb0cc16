"""TinyRL's SAC, a thin layer over :class:`sb3_tinyrl.TinySAC`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.utils import configure_logger
from stable_baselines3.common.vec_env import VecEnv

from sb3_tinyrl.export.rltools import stochastic_policy
from sb3_tinyrl.sac import Backend, TinySAC
from sb3_tinyrl.tinyrl.hyperparameters import HyperParameters, read_hyper_parameters
from sb3_tinyrl.tinyrl.sources import EnvFactory, EnvironmentSource, IgnoreTermination, environment_source

_SEEDS = 2**32  # those of numpy's generator, which SB3 seeds

_PROGRESS_SECONDS = 10.0  # from one line to the next, as RLtools' loop prints them


class SAC:
    """Soft actor-critic on one kind of environment, ready to be trained with several seeds.

    :param env_factory: a function that makes a Gymnasium environment with vectors as observations and actions, or
        ``{"path": ..., "action_dim": ..., "observation_dim": ...}``: a folder with a C++ environment, and its sizes
    :param verbose: whether to print SB3's messages and statistics of episodes
    :param force_recompile: accepted as by TinyRL, where the cache may be stale; not needed here
    :param enable_evaluation: whether to print the return of the deterministic policy every ``evaluation_interval``
        steps, in environments apart from the one for training; it does not change the training
    :param evaluation_interval: steps from one evaluation to the next; ``None`` for no evaluation
    :param num_evaluation_episodes: episodes in each; 0 for no evaluation
    :param interface_name: accepted as by TinyRL, where it keeps libraries apart; not needed here
    :param enable_blas: whether a BLAS library may compute the matrix products; ``False`` is TinySAC's
        ``backend="simd"``, ``True`` its default, which takes Accelerate on macOS and no library elsewhere
    :param force_blas: whether a BLAS library has to, as with ``backend="blas"``
    :param disable_tensorboard: ``True`` or ``False``, without effect: no TensorBoard files are written, and RLtools'
        package has no TensorBoard to disable
    :param hyper_parameters: TinyRL's upper-case ones, as the guide lists them
    :raises TypeError: for an unknown hyperparameter, or an ``env_factory`` that makes no environment
    :raises ValueError: for a hyperparameter that can't be honoured, or sizes that are not the environment's
    :raises KernelError: when a C++ environment can't be compiled, or there is no BLAS library that ``force_blas`` could
        mean
    """

    def __init__(
        self,
        env_factory: EnvFactory | Mapping[str, Any],
        verbose: bool = False,
        force_recompile: bool = False,
        enable_evaluation: bool = True,
        evaluation_interval: int | None = 1000,
        num_evaluation_episodes: int = 10,
        interface_name: str = "default",
        *,
        enable_blas: bool = True,
        force_blas: bool = False,
        disable_tensorboard: bool = True,
        **hyper_parameters: Any,
    ) -> None:
        if evaluation_interval is not None:
            _require_whole("evaluation_interval", evaluation_interval, 1, ", or None for no evaluation")
        _require_whole("num_evaluation_episodes", num_evaluation_episodes, 0)
        for name, value in (
            ("enable_blas", enable_blas),
            ("force_blas", force_blas),
            ("disable_tensorboard", disable_tensorboard),
        ):
            if not isinstance(value, bool):
                raise ValueError(f"{name}={value!r}, expected True or False")
        if force_blas and not enable_blas:
            raise ValueError("force_blas=True and enable_blas=False contradict each other; leave one of them out")
        self.hyper_parameters = read_hyper_parameters(hyper_parameters)
        self.source = environment_source(env_factory)
        self.verbose = verbose
        self.evaluation_interval = evaluation_interval if enable_evaluation and num_evaluation_episodes > 0 else None
        self.num_evaluation_episodes = num_evaluation_episodes
        self.backend: Backend | None = "blas" if force_blas else None if enable_blas else "simd"

    def State(self, seed: int) -> State:  # noqa: N802 - TinyRL's name
        """Begin a training; any number of them may go on side by side.

        :param seed: of networks, environments and exploration, from 0 to 2**32 - 1
        :raises ValueError: for any other
        """
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < _SEEDS:
            raise ValueError(f"seed is {seed!r}, expected a whole number from 0 to 2**32 - 1")
        return State(
            self.hyper_parameters,
            self.source,
            int(seed),
            self.verbose,
            self.evaluation_interval,
            self.num_evaluation_episodes,
            self.backend,
        )


def _require_whole(name: str, value: object, least: int, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}={value!r}, expected a whole number of at least {least}{otherwise}")


class State:
    """A training under way; :meth:`sb3_tinyrl.tinyrl.SAC.State` makes it."""

    def __init__(
        self,
        hyper_parameters: HyperParameters,
        source: EnvironmentSource,
        seed: int,
        verbose: bool,
        evaluation_interval: int | None,
        num_evaluation_episodes: int,
        backend: Backend | None,
    ) -> None:
        self._hyper_parameters = hyper_parameters
        self._source = source
        self._seed = seed
        self._evaluation_interval = evaluation_interval
        self._num_evaluation_episodes = num_evaluation_episodes
        self._evaluation_env: VecEnv | None = None
        self._callback: BaseCallback | None = None
        self._n_steps = 0
        self._is_finished = False
        self._n_envs = hyper_parameters.N_ENVIRONMENTS
        self._log_interval = 4 if verbose and hyper_parameters.COLLECT_EPISODE_STATS else None  # SB3's default
        env = source.make(self._n_envs, hyper_parameters.EPISODE_STEP_LIMIT)
        self._model = TinySAC(
            "MlpPolicy",
            IgnoreTermination(env) if hyper_parameters.IGNORE_TERMINATION else env,
            seed=seed,
            verbose=int(verbose),
            device="cpu",
            backend=backend,
            **hyper_parameters.arguments(),
        )
        # One for all calls of `learn`, as each would make its own, and a folder for it.
        self._model.set_logger(configure_logger(int(verbose)))
        if self._model.ent_coef_optimizer is not None:
            self._model.ent_coef_optimizer.param_groups[0].update(hyper_parameters.adam())
        self._start = self._told_at = time.monotonic()
        self._told_n_timesteps = 0

    def step(self) -> bool:
        """Take a step in each environment and, after the warm-up, a gradient step.

        In C++ environments steps are taken late and many at once, which the caller can't tell: whatever asks for their
        results waits for them. Every 10 seconds, and at the end, a line says how far the training is.

        :return: whether ``STEP_LIMIT`` had been reached before; no step is taken then
        """
        if self._n_steps == self._hyper_parameters.STEP_LIMIT:
            self._catch_up()
            if not self._is_finished:
                self._is_finished = True
                print(f"Time: {time.monotonic() - self._start:.3f}s", flush=True)
            return True
        if self._evaluation_interval is not None and self._n_steps % self._evaluation_interval == 0:
            self._evaluate()
        self._n_steps += 1
        if self._n_steps - self._model.num_timesteps // self._n_envs >= self._source.steps_at_once:
            self._catch_up()
        return False

    def action(self, observation: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Compute the deterministic action of the policy as it is now.

        :param observation: shape ``(observation_dim,)``
        :return: shape ``(action_dim,)``, in the units of the environment's ``action_space``
        :raises ValueError: when the shape does not fit
        """
        self._catch_up()
        values = np.asarray(observation)
        if values.shape != self._model.observation_space.shape:
            raise ValueError(
                f"an observation of shape {values.shape}, expected {self._model.observation_space.shape}; pass one "
                "observation at a time"
            )
        action: npt.NDArray[np.float32] = self._model.predict(values, deterministic=True)[0]
        return action

    def export_policy(self) -> str:
        """Write the policy as it is now as a C++ header in RLtools' checkpoint format.

        :return: the text of the header, for a file or :func:`sb3_tinyrl.tinyrl.load_checkpoint`
        """
        self._catch_up()
        return stochastic_policy(self._model)

    def _catch_up(self) -> None:
        """Take the steps that were asked for, up to the last gradient step among them."""
        n_steps = self._n_steps - self._model.num_timesteps // self._n_envs
        n_rollouts = n_steps // self._hyper_parameters.ACTOR_TRAINING_INTERVAL
        if self._source.steps_at_once == 1:
            for _ in range(n_rollouts):
                self._collect_and_train()
        elif n_rollouts > 0:
            n_timesteps = n_rollouts * self._hyper_parameters.ACTOR_TRAINING_INTERVAL * self._n_envs
            self._model.learn(n_timesteps, log_interval=self._log_interval, reset_num_timesteps=False)  # type: ignore[arg-type]  # None: no logs
        if n_rollouts > 0 and time.monotonic() - self._told_at >= _PROGRESS_SECONDS:
            self._tell_progress()

    def _tell_progress(self) -> None:
        now, n_timesteps = time.monotonic(), self._model.num_timesteps
        steps_per_second = (n_timesteps - self._told_n_timesteps) / (now - self._told_at)
        print(
            f"Loop step: {n_timesteps // self._n_envs}, env step: {n_timesteps}, SPS: {steps_per_second:g} "
            f"(elapsed: {now - self._start:.3f} s)",
            flush=True,
        )
        self._told_at, self._told_n_timesteps = now, n_timesteps

    def _collect_and_train(self) -> None:
        """Do once what ``learn`` does in its loop: a call of it for each step would take longer than the step."""
        model = self._model
        if self._callback is None:
            _, self._callback = model._setup_learn(self._hyper_parameters.STEP_LIMIT * self._n_envs)
        assert model.env is not None
        assert model.replay_buffer is not None
        assert isinstance(model.train_freq, TrainFreq)
        model.collect_rollouts(
            model.env,
            self._callback,
            model.train_freq,
            model.replay_buffer,
            learning_starts=model.learning_starts,
            log_interval=self._log_interval,
        )
        if model.num_timesteps > model.learning_starts:
            model.train(model.gradient_steps, model.batch_size)

    def _evaluate(self) -> None:
        self._catch_up()
        if self._evaluation_env is None:
            self._evaluation_env = self._source.make(1, self._hyper_parameters.EPISODE_STEP_LIMIT)
            self._evaluation_env.seed(self._seed)
        returns, lengths = evaluate_policy(
            self._model,
            self._evaluation_env,
            self._num_evaluation_episodes,
            return_episode_rewards=True,
            warn=False,
        )
        print(
            f"Step: {self._n_steps}/{self._hyper_parameters.STEP_LIMIT} Mean return: {np.mean(returns):g} "
            f"Mean episode length: {np.mean(lengths):g}",
            flush=True,
        )

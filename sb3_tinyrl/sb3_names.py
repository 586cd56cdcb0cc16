"""The private names of Stable-Baselines3 that we use, in one place, as any of its releases may change them."""

from __future__ import annotations

from importlib.metadata import version
from types import FunctionType

from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import VecEnv

#: Methods and attributes, by the class that we subclass.
NAMES: dict[type, tuple[str, ...]] = {
    SAC: (
        "_episode_num",
        "_excluded_save_params",
        "_last_obs",
        "_last_original_obs",
        "_n_updates",
        "_num_timesteps_at_start",
        "_on_step",
        "_sample_action",
        "_setup_learn",
        "_setup_model",
        "_store_transition",
        "_total_timesteps",
        "_update_current_progress_remaining",
        "_update_info_buffer",
        "_update_learning_rate",
        "_vec_normalize_env",
        "_wrap_env",
    ),
    VecEnv: ("_get_indices", "_options", "_reset_options", "_reset_seeds", "_seeds"),
}


def require(names: dict[type, tuple[str, ...]] = NAMES) -> None:
    """Make sure that the installed Stable-Baselines3 has all these names.

    :param names: those that a class must have
    :raises ImportError: when some are missing
    """
    missing = [f"{owner.__name__}.{name}" for owner in names for name in names[owner] if not has(owner, name)]
    if missing:
        raise ImportError(
            f"Stable-Baselines3 {version('stable-baselines3')} has no {', '.join(missing)}, which sb3-tinyrl "
            f"{version('sb3-tinyrl')} uses; install versions that go together with: "
            "pip install --upgrade sb3-tinyrl stable-baselines3"
        )


def has(owner: type, name: str) -> bool:
    """Whether a class has a method of this name, or uses an attribute of this name in its methods."""
    return hasattr(owner, name) or any(
        name in function.__code__.co_names
        for ancestor in owner.__mro__
        for function in vars(ancestor).values()
        if isinstance(function, FunctionType)
    )

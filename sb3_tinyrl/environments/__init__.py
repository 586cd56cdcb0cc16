"""Environments written in C++, as environments of Gymnasium and of Stable-Baselines3.

``registration`` gives them ids, ``env`` is one of them, ``vector_env`` and ``vec_env`` are several that take their
steps in one call (for Gymnasium and for Stable-Baselines3), ``rendering`` draws those that we ship. The classes are
imported when they are first used: ids need neither Stable-Baselines3 nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sb3_tinyrl.environments.registration import register_environment, register_shipped_environments

if TYPE_CHECKING:
    from sb3_tinyrl.environments.env import NativeEnv
    from sb3_tinyrl.environments.vec_env import NativeVecEnv
    from sb3_tinyrl.environments.vector_env import NativeVectorEnv

__all__ = ["NativeEnv", "NativeVecEnv", "NativeVectorEnv", "register_environment", "register_shipped_environments"]

_MODULES = {"NativeEnv": "env", "NativeVecEnv": "vec_env", "NativeVectorEnv": "vector_env"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

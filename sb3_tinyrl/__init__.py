"""The fastest way to train SAC on a CPU, without leaving Stable-Baselines3.

Importing the package gives the environments that it ships their ids in Gymnasium's registry, and brings in neither
torch nor Stable-Baselines3: the classes are imported when they are first used.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sb3_tinyrl.environments.registration import register_environment, register_shipped_environments

if TYPE_CHECKING:
    from sb3_tinyrl.environments.vec_env import NativeVecEnv
    from sb3_tinyrl.sac import TinySAC

register_shipped_environments()

__version__ = version("sb3-tinyrl")
__all__ = ["NativeVecEnv", "TinySAC", "register_environment"]

_MODULES = {"NativeVecEnv": "sb3_tinyrl.environments.vec_env", "TinySAC": "sb3_tinyrl.sac"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The fastest way to train SAC on a CPU, without leaving Stable-Baselines3."""

from importlib.metadata import version

from sb3_tinyrl.environments import NativeVecEnv, register_environment, register_shipped_environments
from sb3_tinyrl.sac import TinySAC

register_shipped_environments()

__version__ = version("sb3-tinyrl")
__all__ = ["NativeVecEnv", "TinySAC", "register_environment"]

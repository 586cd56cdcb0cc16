"""The fastest way to train SAC on a CPU, without leaving Stable-Baselines3."""

from importlib.metadata import version

from sb3_tinyrl.sac import TinySAC

__version__ = version("sb3-tinyrl")
__all__ = ["TinySAC"]

"""Environments written in C++, as environments of Gymnasium and of Stable-Baselines3.

``registration`` gives them ids, ``env`` is one of them, ``vector_env`` and ``vec_env`` are several that take their
steps in one call (for Gymnasium and for Stable-Baselines3), ``rendering`` draws those that we ship.
"""

from sb3_tinyrl.environments.env import NativeEnv
from sb3_tinyrl.environments.registration import register_environment, register_shipped_environments
from sb3_tinyrl.environments.vec_env import NativeVecEnv
from sb3_tinyrl.environments.vector_env import NativeVectorEnv

__all__ = ["NativeEnv", "NativeVecEnv", "NativeVectorEnv", "register_environment", "register_shipped_environments"]

"""TinyRL's interface (https://github.com/rl-tools/tinyrl) over the same kernel: its README runs with this import.

``sac`` has the training loop, ``sources`` what it takes as an environment, ``hyperparameters`` TinyRL's names for
SAC's, and ``checkpoint`` reads policies back.
"""

from sb3_tinyrl.tinyrl.checkpoint import Checkpoint, load_checkpoint, load_checkpoint_from_path
from sb3_tinyrl.tinyrl.sac import SAC, State

__all__ = ["SAC", "Checkpoint", "State", "load_checkpoint", "load_checkpoint_from_path"]


def __getattr__(name: str) -> None:
    if name in ("PPO", "TD3"):
        raise ImportError(f"there is no {name} here, only SAC; stable_baselines3.{name} is one, on any environment")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

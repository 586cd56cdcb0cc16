"""RL Baselines3 Zoo's ``train``, with TinySAC for ``--algo sac``; every option is the zoo's.

Run with: python examples/zoo_train.py --algo sac --env Pendulum-v1 --eval-freq 5000
"""

import rl_zoo3
import rl_zoo3.callbacks
from rl_zoo3.train import train

from sb3_tinyrl import TinySAC

rl_zoo3.ALGOS["sac"] = TinySAC  # one dictionary, which all modules of the zoo share
rl_zoo3.callbacks.SAC = TinySAC  # ParallelTrainCallback trains a copy of the model, made with this class

if __name__ == "__main__":
    train()

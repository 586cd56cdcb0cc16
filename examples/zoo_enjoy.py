"""RL Baselines3 Zoo's ``enjoy``, with TinySAC for ``--algo sac``; every option is the zoo's.

Run with: python examples/zoo_enjoy.py --algo sac --env Pendulum-v1 --folder logs
"""

import rl_zoo3
from rl_zoo3.enjoy import enjoy

from sb3_tinyrl import TinySAC

rl_zoo3.ALGOS["sac"] = TinySAC  # one dictionary, which all modules of the zoo share

if __name__ == "__main__":
    enjoy()

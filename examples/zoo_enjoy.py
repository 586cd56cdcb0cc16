"""RL Baselines3 Zoo's ``enjoy``, with TinySAC for ``--algo sac``; every option is the zoo's.

The command ``sb3-tinyrl enjoy`` does the same, with ``--algo sac -f logs`` by default.

Run with: python examples/zoo_enjoy.py --algo sac --env Pendulum-v1 --folder logs
"""

from sb3_tinyrl.commands.zoo import enjoy

if __name__ == "__main__":
    enjoy()

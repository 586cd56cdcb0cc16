"""RL Baselines3 Zoo's ``train``, with TinySAC for ``--algo sac``; every option is the zoo's.

The command ``sb3-tinyrl train`` does the same, with ``--algo sac`` by default. A script like this one may import and
register environments first.

Run with: python examples/zoo_train.py --algo sac --env Pendulum-v1 --eval-freq 5000
"""

from sb3_tinyrl.commands.zoo import train

if __name__ == "__main__":
    train()

"""Train SAC on Pendulum-v1 and write its policy as a C++ header, for fly.cpp beside this script.

Run with: python examples/embed_checkpoint/train.py
"""

import argparse
from pathlib import Path

from sb3_tinyrl import TinySAC

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--timesteps", type=int, default=8_000, help="environment steps to train for (default: 8000)")
parser.add_argument("--output", type=Path, default=Path("runs/embed_checkpoint"), help="folder for the header")
args = parser.parse_args()

model = TinySAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, policy_kwargs={"net_arch": [64, 64]}, seed=0)
model.learn(args.timesteps, progress_bar=True)

header = args.output / "pendulum_policy.h"
difference = model.export_cpp(header, namespace="pendulum_policy")
model.save(args.output / "model")

print(f"""
  model     {args.output / "model.zip"}
  header    {header}   ({header.stat().st_size / 1024:.0f} KB of C++, {difference:.0e} of the action range off predict)

Next:
  g++ -std=c++17 -O2 -I '{args.output}' '{Path(__file__).with_name("fly.cpp")}' -o '{args.output / "fly"}'
  '{args.output / "fly"}'
""")

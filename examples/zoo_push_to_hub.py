"""RL Baselines3 Zoo's ``push_to_hub`` for what zoo_train.py has trained; every option is the zoo's.

The models are files of Stable-Baselines3's SAC, and are published as such: no class has to be replaced.

Run with: python examples/zoo_push_to_hub.py --algo sac --env Pendulum-v1 --folder logs --organization YOURS
"""

import importlib
import runpy

push_to_hub = importlib.import_module("huggingface_sb3.push_to_hub")  # the package has a function of this name
if not hasattr(push_to_hub, "generate_metadata"):
    # rl-zoo3 2.9.2 requires sb3-team-hf-integration, whose version 3.2 has a new name and type for this.
    push_to_hub.generate_metadata = lambda *arguments: push_to_hub._generate_metadata(*arguments).to_dict()

if __name__ == "__main__":
    runpy.run_module("rl_zoo3.push_to_hub", run_name="__main__", alter_sys=True)

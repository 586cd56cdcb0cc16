"""From the shapes of a kernel, or a folder with an environment, to a shared library on disk, and from there to Python.

``spec`` says what is compiled, ``headers`` and ``compiler`` from what and with what, ``cache`` where the
results live; ``build`` ties these together, with ``diagnosis`` and ``dependencies`` for what the compiler says.
``background`` and ``foreground`` build while something else goes on or the user waits; ``loading`` loads what came
out, and ``library`` (kernels), ``environment`` and ``checkpoint`` call it. Nothing in here knows
Stable-Baselines3 or Gymnasium.
"""

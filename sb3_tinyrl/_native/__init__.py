"""From the shapes of a kernel to a shared library on disk, and from there to Python.

``spec`` says what is compiled, ``headers`` and ``compiler`` from what and with what, ``cache`` where the
results live; ``build`` ties these together, and ``library`` calls what came out. Nothing in here knows
reinforcement learning or Stable-Baselines3.
"""

"""The implementations of SAC that are compared: a module for each product, ``base`` for what they share, ``registry``.

All of them get the hyperparameters of Stable-Baselines3's SAC. What they need is imported when they are set up.
``revision``, ``sb3`` and ``base`` import nothing of TinySAC outside ``bench``, as that may be another revision's.
"""

"""``python -m sb3_tinyrl scaling``: what an update costs as the work grows, TinySAC beside Stable-Baselines3's SAC.

``axes`` says along what the work grows, ``sweep`` takes the benchmark there point by point, ``results`` knows the
floors that TinySAC has to keep, and ``report`` what is shown of them. ``environment`` has observations of any size.
"""

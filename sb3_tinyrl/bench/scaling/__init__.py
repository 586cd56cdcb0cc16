"""``python -m sb3_tinyrl scaling``: what an update costs as the work grows, TinySAC beside Stable-Baselines3's SAC.

``axes`` says along what the work grows and what is measured there, ``sweep`` measures it point by point with the
processes and rounds of the benchmark. ``results`` holds what came out and knows the floors that TinySAC has to keep,
``report`` turns it into tables, a JSON file, Markdown and a picture. ``environment`` has observations of any size.
"""

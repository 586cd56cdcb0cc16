"""``python -m sb3_tinyrl bench``: TinySAC beside other SACs, on the user's machine, environment and sizes.

``cli`` has the arguments and ``rounds`` runs the peers in turn; each lives in a process of its own, which ``process``
starts and ``worker`` is. ``peers`` knows how to drive each of them, ``native_kernel`` what is inside TinySAC, and
``measure`` how to take the time. ``flops``, ``fma_peak`` and ``raw_env`` say how far an update and a step are from what
the machine could do at most, ``isa`` with which instructions, ``round_trip`` how far apart its cores are; ``probe``
compiles what asks the machine. ``duration`` says how long it will take; ``checkout`` has other revisions of TinySAC,
which ``other_revision`` serves. ``results`` holds what came out, of which ``comparison`` makes a ``report``: tables, a
JSON file, Markdown and a picture. ``scaling`` does all that along axes on which the work grows, with the same
``command``, rounds and report; ``env_speed`` is a command of its own.

``worker`` and what it imports keep heavy imports inside functions: a peer's memory is measured, too.
"""

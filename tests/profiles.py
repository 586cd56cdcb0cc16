"""How many examples hypothesis tries, and which.

By default the same few each time. ``HYPOTHESIS_PROFILE=explore`` draws others at each run, ten times as many, and keeps
those that fail in the folder ``.hypothesis``, where they are tried first the next time.
"""

import os

import hypothesis

EXPLORES = os.environ.get("HYPOTHESIS_PROFILE") == "explore"

# An example may have to wait for a compiler, or for other processes: none has a deadline.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)


def examples(n: int) -> int:
    """Examples to try where ``n`` are tried by default."""
    return 10 * n if EXPLORES else n

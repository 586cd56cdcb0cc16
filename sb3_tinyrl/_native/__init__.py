"""Where shared libraries are made and called; nothing in here knows Stable-Baselines3 or Gymnasium.

``jit`` turns a spec into a library on disk: ``spec`` says what is compiled, ``headers`` and ``compiler`` from what and
with what, ``cache`` where the results live and ``trust`` whose of them may be loaded; ``build`` ties these together,
with ``processes`` to run the compiler, ``compiler_output`` for what it says and ``library_file`` for what it wrote, and
``jobs`` builds while something else goes on or the user waits.

``abi`` is the boundary to C++: ``libraries`` opens what came out, ``structs`` mirrors the structures that both sides
share, and ``kernel``, ``env_batch`` and ``checkpoint`` call the three kinds of library; ``blas`` finds matrix products
of others, ``thread_tuner`` chooses how many threads share an update.
"""

"""Where shared libraries are made and called; nothing in here knows Stable-Baselines3 or Gymnasium.

``jit`` turns a spec into a library on disk: ``library_spec`` says what a spec is, ``headers`` and ``compiler`` from
what and with what it is compiled, ``cache`` where the results live and ``trust`` whose of them may be loaded; ``build``
ties these together, with ``processes`` to run the compiler, ``compiler_output`` for what it says and ``library_file``
for what it wrote, and ``jobs`` builds while something else goes on or the user waits.

``abi`` is the boundary to C++: ``structs`` mirrors the structures that both sides share, ``specs`` says what the three
kinds of library are compiled for and has the compiler compare the structures, ``libraries`` opens what came out, and
``kernel``, ``env_batch`` and ``checkpoint`` call it; ``blas`` finds matrix products of others, ``thread_tuner`` chooses
how many threads share an update.
"""

"""From a spec to a shared library on disk: which sources and compiler, what they say, and where results are kept."""

"""The worker for TinySAC of another revision: that package, with the ``bench`` of this one in the place of its own.

A script, since ``-m`` would import the other revision's. Run as ``python other_revision.py``, with the arguments of
``worker``, and with the other revision's checkout as the first folder of ``$PYTHONPATH``.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def main() -> None:
    """Serve until the input ends."""
    here = Path(__file__).resolve().parent
    # The folder of a script comes first, with modules whose names others have, too. What -m puts there, the current
    # folder, may hold this revision's package, and the user's environments.
    sys.path[:] = [*(path for path in sys.path if Path(path).resolve() != here), os.getcwd()]
    package_of_revision = import_module("sb3_tinyrl")  # not this revision's, as an import statement would say

    checkout, package = (
        Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]),
        Path(str(package_of_revision.__file__)).parent,
    )
    if package.parent != checkout:
        raise ImportError(f"found the package in {package}, expected it in {checkout}")
    spec = spec_from_file_location("sb3_tinyrl.bench", here / "__init__.py", submodule_search_locations=[str(here)])
    assert spec is not None
    assert spec.loader is not None
    bench = module_from_spec(spec)
    sys.modules[bench.__name__] = package_of_revision.bench = bench  # type: ignore[attr-defined]
    spec.loader.exec_module(bench)

    from sb3_tinyrl.bench import worker

    worker.main()


if __name__ == "__main__":
    main()

# `just NAME` runs a check by hand, in an environment with the extra `test`; `.ci/run` runs all of them in one of its own.

# what there is
default:
    @just --list

# everything that pytest has
test *options:
    pytest {{ options }}

# what is done within two minutes, once kernels are compiled
fast *options:
    pytest -m "not slow" {{ options }}

# style of Python and C++
lint:
    ruff check
    ruff format --check
    git ls-files '*.h' '*.cpp' | xargs clang-format --dry-run --Werror

# bring files into that style
format:
    ruff check --fix
    ruff format
    git ls-files '*.h' '*.cpp' | xargs clang-format -i

# types, of this system and of others
types:
    mypy
    mypy --python-version 3.10 --platform darwin
    mypy --python-version 3.10 --platform win32

# the documentation, to docs/_build
docs:
    sphinx-build -W --keep-going docs docs/_build

# source distribution and wheel, to dist
build:
    .ci/build_distributions

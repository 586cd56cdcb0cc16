"""What the benchmark asks of each implementation of SAC."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from sb3_tinyrl.bench.measure import calls_per_second, peak_memory
from sb3_tinyrl.bench.settings import Settings

SEED = 0
LEARNING_STARTS = 100
#: Environment steps that tell how long the rounds are going to take.
STEPS_OF_ESTIMATE = 20
_PREDICTIONS_PER_CALL = 10


class Peer(ABC):
    """One implementation of SAC, as its worker process drives it.

    :param settings: what is measured
    """

    label: ClassVar[str]
    distribution: ClassVar[str]
    #: Methods that are called in each round; the names of the results are theirs.
    measurements: ClassVar[tuple[str, ...]] = ("steps_per_second", "predict_microseconds")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def missing(cls) -> str | None:
        """What to install before this peer can be measured, or None."""
        return None if installed_version(cls.distribution) else f"pip install {cls.distribution}"

    @classmethod
    def version(cls) -> str:
        """The version of the package that implements it."""
        return installed_version(cls.distribution) or "not installed"

    @abstractmethod
    def set_up(self) -> dict[str, float]:
        """Get ready, up to and including the first gradient steps.

        :return: seconds of compiling: ``cold`` and, where it can be told, ``warm``; empty where nothing is compiled
        """

    @abstractmethod
    def steps_per_second(self) -> float:
        """Environment steps per second of training, from end to end."""

    @abstractmethod
    def seconds_per_step(self) -> float:
        """Seconds of an environment step with training, judged by few of them."""

    @abstractmethod
    def predict_microseconds(self) -> float:
        """How long the deterministic action for one observation takes."""

    def instruction_set(self) -> str | None:
        """The name of the instructions that its kernel was compiled for, where it has one."""
        return None

    def peak_memory(self) -> int | None:
        """Most bytes in memory so far."""
        return peak_memory()


def microseconds_of(predict: Callable[[], object], at_least: float) -> float:
    """Return how long a prediction takes.

    :param at_least: for how many seconds to repeat it
    """

    def several() -> None:
        for _ in range(_PREDICTIONS_PER_CALL):
            predict()

    return 1e6 / (calls_per_second(several, at_least) * _PREDICTIONS_PER_CALL)


def installed_version(distribution: str) -> str | None:
    """Return the version of a package, or None where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

"""``sb3-tinyrl export``: the policy of a saved model as C++, ONNX, or a checkpoint of RLtools."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from sb3_tinyrl.commands.loading import load

if TYPE_CHECKING:
    from stable_baselines3 import SAC

    from sb3_tinyrl.export import QuantizationErrors


def add_command(commands: Any) -> None:
    """Add ``export`` to the commands of ``sb3-tinyrl``.

    :param commands: what ``ArgumentParser.add_subparsers`` returned
    """
    parser = commands.add_parser(
        "export",
        help="write the policy of a saved model as C++, ONNX, or for RLtools",
        description="Write the deterministic policy of a saved model in one format or several. The file of the model "
        "holds pickles, which run whatever code is in them: take those of people you trust.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.zip", help="saved by TinySAC or Stable-Baselines3's SAC")
    parser.add_argument("--cpp", type=Path, metavar="PATH", help="a C++17 header without dependencies")
    parser.add_argument(
        "--quantize", choices=["int8"], help="let the C++ header compute in integers, for targets without floats"
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="PATH.npy",
        help="at least 100 observations to quantise by, not normalised, that numpy.save wrote; without, random ones by "
        "--vec-normalize or from the observation space",
    )
    parser.add_argument("--onnx", type=Path, metavar="PATH", help="an ONNX graph; needs the extra onnx")
    parser.add_argument("--rltools", type=Path, metavar="PATH", help="a checkpoint of RLtools and TinyRL")
    parser.add_argument("--namespace", default="policy", help="of the C++ header (default: policy)")
    parser.add_argument(
        "--vec-normalize",
        type=Path,
        metavar="PATH",
        help="statistics that VecNormalize.save wrote, if the model was trained with it; needs --env",
    )
    parser.add_argument("--env", metavar="ID", help="the environment that the statistics are of, or module:id")
    parser.set_defaults(run=partial(_run, parser))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Load, write and print; return the exit status."""
    if not (arguments.cpp or arguments.onnx or arguments.rltools):
        parser.error("nothing says what to write; pass --cpp PATH, --onnx PATH, --rltools PATH, or several")
    if (arguments.vec_normalize is None) != (arguments.env is None):
        parser.error("--vec-normalize and --env go together: a file with statistics, and the environment they are of")
    if arguments.quantize and not arguments.cpp:
        parser.error("--quantize is for C++ alone; pass --cpp PATH, too")
    if arguments.calibration and not arguments.quantize:
        parser.error("--calibration has observations to quantise by; pass --quantize int8, too")
    try:
        model = _load(arguments.model, arguments.vec_normalize, arguments.env)
        for path, export in _exports(arguments):
            print(f"{path}: differs from predict by {_told(export(model, path))}")
    except (ImportError, ValueError, OSError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _told(difference: float | QuantizationErrors) -> str:
    if isinstance(difference, float):
        return f"at most {difference:.1e} of the action range"
    return (
        f"{difference.calibration} of {difference.source} that it was calibrated by; by {difference.held_out} held out "
        "(per cent of the action range)"
    )


def _exports(arguments: argparse.Namespace) -> list[tuple[Path, Callable[[SAC, Path], float | QuantizationErrors]]]:
    # Slow to import, and only needed here.
    from sb3_tinyrl.export import export_cpp, export_cpp_int8, export_onnx, export_policy

    cpp: Callable[[SAC, Path], float | QuantizationErrors] = partial(export_cpp, namespace=arguments.namespace)
    if arguments.quantize == "int8":
        calibration = None if arguments.calibration is None else np.load(arguments.calibration)
        cpp = partial(export_cpp_int8, namespace=arguments.namespace, calibration=calibration)
    exports: tuple[tuple[Path | None, Callable[[SAC, Path], float | QuantizationErrors]], ...] = (
        (arguments.cpp, cpp),
        (arguments.onnx, export_onnx),
        (arguments.rltools, export_policy),
    )
    return [(path, export) for path, export in exports if path is not None]


def _load(path: Path, vec_normalize: Path | None, env_id: str | None) -> SAC:
    from stable_baselines3 import SAC
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    def load_model() -> SAC:
        # Without the replay buffer: nothing is trained, and some buffers need an environment.
        return SAC.load(path, device="cpu", buffer_size=1, replay_buffer_class=None, replay_buffer_kwargs={})

    model = load("a model that SAC or TinySAC has saved", path, load_model)
    if vec_normalize is not None:
        assert env_id is not None
        env = DummyVecEnv([lambda: gym.make(env_id)])
        statistics = str(vec_normalize)
        model.set_env(load("what VecNormalize.save wrote", vec_normalize, lambda: VecNormalize.load(statistics, env)))
    return model

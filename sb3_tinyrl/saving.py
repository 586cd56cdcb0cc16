"""What ``TinySAC.save`` and ``load`` do beyond SB3's: files replaced as a whole, and reading files without trust.

SB3's zip file holds the attributes of a model in ``data``, a JSON text in which what JSON can't express is a pickle,
and parameters in files of PyTorch. Unpickling runs whatever code a pickle holds.
"""

from __future__ import annotations

import base64
import io
import json
import math
import pickletools
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import torch as th
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.save_util import open_path
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.sac.policies import CnnPolicy, MultiInputPolicy, SACPolicy
from torch.overrides import TorchFunctionMode

from sb3_tinyrl.files import atomic_write

SavePath = str | Path | io.BufferedIOBase

#: Settings and counters that mean nothing but themselves. Not TensorBoard's folder: a file should not choose where
#: to write.
_PLAIN = frozenset(
    """
    verbose policy_kwargs num_timesteps _total_timesteps _num_timesteps_at_start seed action_noise learning_rate
    _episode_num use_sde sde_sample_freq _current_progress_remaining _stats_window_size _n_updates n_envs buffer_size
    batch_size learning_starts tau gamma train_freq gradient_steps optimize_memory_usage replay_buffer_kwargs n_steps
    use_sde_at_warmup target_entropy ent_coef target_update_interval
    kernel n_threads backend overlap _kernel_key _n_sampled_batches _n_sampled_actions _pending
    """.split()  # noqa: SIM905
)
#: What a model makes anew.
_MADE_ANEW = frozenset(
    """
    lr_schedule ep_info_buffer ep_success_buffer _last_obs _last_episode_starts _last_original_obs batch_norm_stats
    batch_norm_stats_target tensorboard_log start_time log_ent_coef ent_coef_optimizer
    """.split()  # noqa: SIM905
)
_SPACES = ("observation_space", "action_space")
_CLASSES = {
    "policy_class": (SACPolicy, CnnPolicy, MultiInputPolicy),
    "replay_buffer_class": (ReplayBuffer, DictReplayBuffer, NStepReplayBuffer, HerReplayBuffer),
}
_VARIABLES = {"log_ent_coef", "ent_coef_tensor"}
_PARAMETERS = ("policy", "actor.optimizer", "critic.optimizer", "ent_coef_optimizer", "pytorch_variables")

# SB3 and PyTorch compress nothing. What another program has compressed may expand to so many times its size.
_MOST_EXPANSION = 20
_FREE_BYTES = 2**20
_LONGEST_DATA = 2**26
# Each tensor that a module makes counts as so many parameters at least, for the time that it takes.
_LEAST_COUNTED = 100
_FREE_PARAMETERS = 100_000
_LONGEST_TRAIN_FREQ = 1000  # bytes of its pickle, which are about 100


# What reading a damaged zip file raises.
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    ValueError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    OSError,
    MemoryError,
)


@contextmanager
def replaced_as_a_whole(path: SavePath, suffix: str, verbose: int = 0) -> Iterator[Any]:
    """Open what SB3 would open for writing under a path, so that an earlier file lives until the new one is complete.

    :param path: without a suffix it gets one; a folder gives way to ``<path>_2``; a stream is returned as it is
    :param suffix: without a dot
    :param verbose: at 2, there is a warning about an earlier file
    """
    if not isinstance(path, str | Path):
        yield path
        return
    target = Path(path)
    while True:
        if target.suffix == "":
            target = Path(f"{target}.{suffix}")
        if not target.is_dir():
            break
        warnings.warn(f"{target} is a folder, so the file is saved as {target}_2", UserWarning, stacklevel=4)
        target = Path(f"{target}_2")
    if verbose >= 2 and target.is_file():
        warnings.warn(f"{target} exists and is replaced", UserWarning, stacklevel=4)
    if not target.parent.exists():
        warnings.warn(f"the folder {target.parent} does not exist and is created", UserWarning, stacklevel=4)
    with atomic_write(target) as file:
        yield file


def without_pickles(
    path: SavePath, env: VecEnv | None, custom_objects: Mapping[str, Any] | None, arguments: Mapping[str, Any]
) -> tuple[io.BytesIO, dict[str, Any], dict[str, Any], AbstractContextManager[Any]]:
    """Prepare a saved model so that SB3's ``load`` finds nothing to unpickle in it.

    :param path: of the zip file, or a stream
    :param env: has the spaces
    :param custom_objects: in place of attributes in the file
    :param arguments: of ``load``; they replace attributes as well
    :return: a zip file with parameters and plain settings only; the objects and arguments for SB3's ``load``; and in
        what to run it, so that the file makes no networks larger than its parameters
    :raises ValueError: when it is no saved model, or naming all that has to be passed
    """
    data, parameters, n_parameters = _read(path)
    given = {**dict(custom_objects or {}), **arguments}
    if env is not None:
        given = {**given, "observation_space": env.observation_space, "action_space": env.action_space}
    kept: dict[str, Any] = {}
    objects: dict[str, Any] = {}
    missing = [name for name in _SPACES if name not in given]
    for name, value in data.items():
        if name in given or name in _MADE_ANEW or name in _SPACES:
            continue
        is_pickle = isinstance(value, dict) and ":serialized:" in value
        if not is_pickle and name in _PLAIN:
            kept[name] = value
        elif is_pickle and (known := _recognised(name, value[":serialized:"])) is not None:
            objects[name] = known
        else:
            missing.append(name)
    if missing:
        hint = "env=... (or custom_objects with both spaces)" if {*missing} & {*_SPACES} else ""
        names = [name for name in missing if name not in _SPACES]
        hint += (" and " if hint and names else "") + (
            f"custom_objects={{{', '.join(f'{name!r}: ...' for name in names)}}}" if names else ""
        )
        raise ValueError(
            f"the file has {', '.join(missing)} only as a pickle or not as a setting of SAC, and weights_only=True "
            f"unpickles nothing; pass {hint}, as the model was made"
        )
    arguments = dict(arguments)
    if "policy_kwargs" in given:  # SB3 compares what is passed with what was saved
        use_sde = given.get("use_sde", kept.get("use_sde", False))
        given["policy_kwargs"] = {**given["policy_kwargs"], "use_sde": use_sde}
        if "policy_kwargs" in arguments:
            arguments["policy_kwargs"] = given["policy_kwargs"]
    objects |= given
    if not isinstance(objects.get("policy_kwargs", kept.get("policy_kwargs", {})), dict):
        raise ValueError("the policy_kwargs in the file are no dictionary; pass policy_kwargs=...")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data", json.dumps({**dict.fromkeys(objects), **kept}))
        for name, content in parameters.items():
            archive.writestr(name, content)
    stream.seek(0)
    is_given = "policy_kwargs" in given
    limit = nullcontext() if is_given else _FewParameters(2 * n_parameters + _FREE_PARAMETERS)
    return stream, objects, arguments, limit


def _read(path: SavePath) -> tuple[dict[str, Any], dict[str, bytes], int]:
    """Return the attributes as JSON has them, the files of parameters, and how many parameters the policy has."""
    file = open_path(path, "r", suffix="zip")  # a missing file is an error of its own
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            _require_size(archive, ["data"], _LONGEST_DATA)
            data = json.loads(archive.read("data"))
            files = [f"{name}.pth" for name in _PARAMETERS if f"{name}.pth" in names]
            _require_size(archive, files)
            parameters = {name: archive.read(name) for name in files}
        tensors = {name: _read_tensors(name, content) for name, content in parameters.items()}
    except _DAMAGES as error:
        raise ValueError(f"{path} is no model that SB3 or TinySAC has saved, expected its zip file: {error}") from error
    finally:
        if isinstance(path, str | Path):
            file.close()
    if not isinstance(data, dict):
        raise ValueError(f"{path} is no model that SB3 or TinySAC has saved: its data is no dictionary")
    return data, parameters, sum(max(tensor.numel(), _LEAST_COUNTED) for tensor in tensors.get("policy.pth", ()))


def _require_size(archive: zipfile.ZipFile, names: list[str], most: float = math.inf) -> None:
    """Refuse files that would take far more memory than there are bytes in the archive."""
    for info in map(archive.getinfo, names):
        if info.file_size > min(most, _MOST_EXPANSION * info.compress_size + _FREE_BYTES):
            raise ValueError(f"its {info.filename} would take {info.file_size} bytes")


def _read_tensors(name: str, content: bytes) -> list[th.Tensor]:
    """Return the tensors in a file of PyTorch's, which holds them and numbers in the form of ``state_dict``."""
    if zipfile.is_zipfile(stream := io.BytesIO(content)):  # it was none before PyTorch 1.6
        with zipfile.ZipFile(stream) as archive:
            _require_size(archive, archive.namelist())
    try:
        loaded = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever damaged bytes lead to; PyTorch's text advises to run what is in them
        raise ValueError(f"its {name} is damaged, or holds more than tensors ({type(error).__name__})") from error
    try:
        if "optimizer" in name:
            values = [value for state in loaded["state"].values() for value in state.values()]
        else:
            values = [*loaded.values()]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"its {name} is no state_dict") from None
    if name == "pytorch_variables.pth" and not {*loaded} <= _VARIABLES:
        raise ValueError(f"its {name} holds {', '.join(map(repr, loaded))}, expected {' or '.join(_VARIABLES)}")
    if name == "pytorch_variables.pth" and not all(th.is_tensor(value) and value.numel() == 1 for value in values):
        raise ValueError(f"its {name} holds something other than one number")
    if not all(isinstance(value, th.Tensor | int | float) for value in values):
        raise ValueError(f"its {name} holds something other than tensors and numbers")
    tensors = [value for value in values if isinstance(value, th.Tensor)]
    for tensor in tensors:
        if tensor.layout != th.strided or tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise ValueError(f"its {name} holds a tensor that has more elements than numbers")
    return tensors


class _FewParameters(TorchFunctionMode):
    """Lets modules make a number of parameters, and no more."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._left = most

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is th.empty and args and args[0] != (0,):  # which is how torch.load begins each tensor
            self._left -= max(math.prod(args[0] if isinstance(args[0], tuple | list) else args), _LEAST_COUNTED)
            if self._left < 0:
                raise ValueError("its policy_kwargs make larger networks than it has parameters of; pass policy_kwargs")
        return func(*args, **(kwargs or {}))


def _recognised(name: str, pickled: Any) -> Any:
    """Return the object that a pickle stands for, by making the pickles of those known and comparing the bytes."""
    try:
        content = base64.b64decode(pickled)
        if name == "train_freq" and len(content) > _LONGEST_TRAIN_FREQ:
            return None
        if name in _CLASSES:
            return next((cls for cls in _CLASSES[name] if cloudpickle.dumps(cls) == content), None)
        if name == "train_freq":
            # Reads the numbers and words in it; it runs nothing.
            values = {value for _, value, _ in pickletools.genops(content) if isinstance(value, int | str)}
            for frequency in (value for value in values if type(value) is int):
                for unit in TrainFrequencyUnit:
                    if cloudpickle.dumps(candidate := TrainFreq(frequency, unit)) == content:
                        return candidate
    except (ValueError, TypeError):
        pass
    return None

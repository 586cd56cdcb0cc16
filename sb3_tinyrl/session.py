"""The kernel of one model while it lives in this process: the only owner of a build and of what came out of it.

A session is idle, building or bound. It answers three questions: may a kernel act, may one predict, may one train?
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import RLock

from stable_baselines3 import SAC

from sb3_tinyrl import batches, contract, memory
from sb3_tinyrl._native.abi.blas import Blas
from sb3_tinyrl._native.abi.kernel import Kernel
from sb3_tinyrl._native.abi.specs import KernelSpec
from sb3_tinyrl._native.errors import KernelError, UnsupportedByKernelError, UntrustedCacheError
from sb3_tinyrl._native.jit.build import find
from sb3_tinyrl._native.jit.jobs import BackgroundBuild
from sb3_tinyrl.batches import CopiedBatches, InPlaceReplay, Replay
from sb3_tinyrl.capabilities import actor_spec, kernel_spec
from sb3_tinyrl.memory import Watch

_LOOKS_UNTIL_THOROUGH = 64


@dataclass
class Bound:
    """A kernel that trains with one model's memory.

    :param kernel: with the addresses
    :param replay: where its batches come from
    :param watch: tells when the memory has moved
    """

    kernel: Kernel
    replay: Replay
    watch: Watch


@dataclass
class BoundActor:
    """A kernel that acts with the memory of one model's actor."""

    kernel: Kernel
    watch: Watch


class KernelSession:
    """Builds, loads and binds kernels as a model needs them. Never shared by two models: a copy begins anew."""

    def __init__(self) -> None:
        self._build: BackgroundBuild | None = None
        self._bound: Bound | None = None
        self._actor: BoundActor | None = None
        self._may_find_kernel = True
        self._is_learning = False
        self._is_fresh = False
        self._has_failed_to_load = False
        self._n_looks = 0
        self._n_calm_steps = 0
        self._may_skip_looks = False
        self._binding = os.getpid(), RLock()
        # A buffer whose own Python code returns batches that no kernel takes: it is not asked for one in vain again.
        self._refused: tuple[object, UnsupportedByKernelError] | None = None
        self.reason: str | None = None
        """Why no kernel serves, as of the last question; ``None`` while none has been refused."""

    def __reduce__(self) -> tuple[type[KernelSession], tuple[()]]:
        return KernelSession, ()

    @property
    def bound(self) -> Bound | None:
        """What trains now, if a kernel does."""
        return self._bound

    def is_kernel_new(self) -> bool | None:
        """Whether the cache has none for the model, so that it is compiled; ``None`` while that is not known.

        :raises KernelError: when it is known that there will be no kernel
        """
        if self._build is None or not self._build.is_alive:
            return None
        is_new = self._build.is_new()
        if isinstance(failure := self._build.failure, KernelError):
            raise failure
        return is_new

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Within this context the session is told when code of the user's may have run, by :meth:`distrust`."""
        self._is_learning = True
        self.distrust()
        try:
            yield
        finally:
            self._is_learning = self._is_fresh = False

    def distrust(self) -> None:
        """Note that the user's code has run: the next question looks thoroughly."""
        self._is_fresh = False
        self._n_looks = _LOOKS_UNTIL_THOROUGH
        self._n_calm_steps = 0

    def look_again(self, runs_library_code: Callable[[], bool]) -> None:
        """Note that an environment has run: the next question looks at what it could have changed, if it could.

        :param runs_library_code: tells whether nothing of the user's runs in a step. It is asked once, at the second
            step after :meth:`distrust`; if so, only one step in many is followed by a look, for the sake of threads,
            signal handlers and whatever else runs at any moment
        """
        self._n_calm_steps += 1
        if self._n_calm_steps == 1:
            self._may_skip_looks = False
        elif self._n_calm_steps == 2:
            self._may_skip_looks = runs_library_code()
        if not self._may_skip_looks:
            self._is_fresh = False
        elif self._n_calm_steps % _LOOKS_UNTIL_THOROUGH == 0:
            self._is_fresh, self._n_looks = False, _LOOKS_UNTIL_THOROUGH

    def prepare(self, model: SAC, batch_size: int, blas: Blas | None) -> None:
        """Start to compile, or to look up, the kernel that a run of ``learn`` will need.

        :raises UnsupportedByKernelError: when no kernel can serve the model, or none any more
        """
        self._refused = None
        with self._turn_to_bind():
            bound = self._bound
            if bound is not None and not self._is_current(bound, model):
                self._bound = None
            spec = self._spec(model, batch_size, blas, bound)
        if self._build is not None and (self._build.failure is not None or self._has_failed_to_load):
            self._build = None  # The user may have mended what was wrong, or removed the library.
        self._start_build(spec)
        self.distrust()  # callbacks and outputs of the logger are told of the start before the first step

    def for_training(self, model: SAC, batch_size: int, n_threads: int | None, blas: Blas | None) -> Bound:
        """The kernel bound to the model's memory; waits for the build if need be.

        :raises UnsupportedByKernelError: when a fact that the kernel rests on does not hold
        :raises KernelError: when the kernel can't be built or loaded
        """
        bound = self._bound
        if bound is not None and bound.kernel.serves(batch_size, n_threads, blas) and self._is_current(bound, model):
            return bound
        with self._turn_to_bind():
            if self._bound is not bound:  # another thread has bound it meanwhile, or tried to
                return self.for_training(model, batch_size, n_threads, blas)
            return self._bind(bound, model, batch_size, n_threads, blas)

    def _bind(
        self, bound: Bound | None, model: SAC, batch_size: int, n_threads: int | None, blas: Blas | None
    ) -> Bound:
        # Dropped first: a binding that fails must leave none behind that writes to memory given up.
        self._bound = None
        spec = self._spec(model, batch_size, blas, bound)
        if bound is not None and bound.kernel.spec == spec and bound.kernel.serves(batch_size, n_threads, blas):
            kernel = bound.kernel
        else:
            self._start_build(spec)
            assert self._build is not None
            library = self._build.result()
            self._has_failed_to_load = True
            kernel = Kernel(spec, library, n_threads, blas)
            self._has_failed_to_load = False
        replay = batches.replay(model, spec)
        memory.bind(model, kernel)
        self._bound = Bound(kernel, replay, Watch(model, reads_buffer=isinstance(replay, InPlaceReplay)))
        self._actor = BoundActor(kernel, Watch(model, acting_only=True))
        self._is_fresh, self._n_looks = self._is_learning, 0
        return self._bound

    def for_acting(self, model: SAC) -> Bound | None:
        """The kernel that trains, if its memory is still the model's; ``None`` where :meth:`for_training` must see."""
        bound = self._bound
        is_current = bound is not None and bound.kernel.is_of_this_process and self._is_current(bound, model)
        return bound if is_current else None

    def for_predicting(self, model: SAC) -> Kernel | None:
        """A kernel that acts for the model, if there is one without compiling or waiting.

        A model that has not been trained in this process gets one if the cache has it.

        :raises UntrustedCacheError: when the cache has one that another user can write to
        """
        actor = self._actor
        if actor is not None and actor.kernel.is_of_this_process and actor.watch.holds_thoroughly():
            return actor.kernel
        self._actor = None
        if self._bound is not None:
            return None  # what trains is bound to other memory than the model's: the next update sees to it
        kernel = actor.kernel if actor is not None and actor.kernel.is_of_this_process else None
        try:
            contract.require_acting(model)
            if kernel is None:
                kernel = self._found_kernel(model)
            if kernel is None or not _acts_for(kernel.spec, model):
                return None
            memory.bind_actor(model, kernel)
            self._actor = BoundActor(kernel, Watch(model, acting_only=True))
        except UntrustedCacheError:
            raise
        except KernelError:
            return None  # Stable-Baselines3 predicts without one.
        return kernel

    def require_served(self, model: SAC, blas: Blas | None) -> None:
        """Check whether a kernel can serve the model, without one.

        :raises UnsupportedByKernelError: when none can
        """
        self._spec(model, model.batch_size, blas, self._bound)

    def refuse(self, model: SAC, error: UnsupportedByKernelError) -> None:
        """Note that a batch, or the statistics that would normalise it, are none that the kernel takes."""
        if self._bound is not None and isinstance(self._bound.replay, CopiedBatches):
            self._refused = model.replay_buffer, error
        self._bound = None

    @contextmanager
    def _turn_to_bind(self) -> Iterator[None]:
        """Of threads that share the model, one may bind a kernel to it at a time."""
        process_id, lock = self._binding
        if process_id != os.getpid():  # a fork: the thread that holds the lock may not exist here
            lock = RLock()
            self._binding = os.getpid(), lock
        with lock:
            yield

    def _spec(self, model: SAC, batch_size: int, blas: Blas | None, bound: Bound | None = None) -> KernelSpec:
        """Check the facts, while what is bound to the model takes no gradient step that another thread asked for."""
        if self._refused is not None and self._refused[0] is model.replay_buffer:
            raise self._refused[1]
        try:
            with nullcontext() if bound is None else bound.kernel.at_rest():
                return kernel_spec(model, batch_size, blas is not None)
        except (TypeError, ValueError) as error:  # of a size that no kernel has
            raise UnsupportedByKernelError(f"no kernel has these sizes: {error}", "choose others") from error

    def _is_current(self, bound: Bound, model: SAC) -> bool:
        if self._is_fresh:
            return True
        self._n_looks += 1
        is_thorough = not self._is_learning or self._n_looks > _LOOKS_UNTIL_THOROUGH
        if is_thorough:
            self._n_looks = 0
        is_current = bound.watch.holds_thoroughly() if is_thorough else bound.watch.holds()
        self._is_fresh = is_current and self._is_learning
        if not is_current:
            self.distrust()  # a quick look may not see what a thorough one has seen
        return is_current

    def _start_build(self, spec: KernelSpec) -> None:
        if self._build is None or self._build.spec != spec or not self._build.is_alive:
            self._build = BackgroundBuild(spec)

    def _found_kernel(self, model: SAC) -> Kernel | None:
        if not self._may_find_kernel or self._build is not None:
            return None
        self._may_find_kernel = False
        spec = self._spec(model, model.batch_size, None)
        library = find(spec)
        return Kernel(spec, library, n_threads=1) if library else None


def _acts_for(spec: KernelSpec, model: SAC) -> bool:
    """Whether a kernel's actor has the shapes and the function of the model's."""
    return all(getattr(spec, name) == value for name, value in actor_spec(model).items())

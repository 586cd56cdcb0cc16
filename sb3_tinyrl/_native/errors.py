"""What can go wrong between a spec and a loaded kernel."""


class KernelError(RuntimeError):
    """The compiled kernel is not available; the message says why and what to do about it."""


class CompilerNotFoundError(KernelError):
    """This machine has no usable C++ compiler, or ``$CXX`` names something that is not one."""


class KernelBuildError(KernelError):
    """A compiler is there, but it produced no library."""


class CacheError(KernelError):
    """The folder for compiled kernels cannot be read or written."""


class BlasError(KernelError):
    """A BLAS is to compute the kernel's matrix products, and there is none that works."""


class EpisodeEndedError(RuntimeError):
    """An environment was to take a step outside of an episode."""


class NativeEnvironmentError(RuntimeError):
    """The author's C++ code of an environment has failed; the message names the function and the folder."""

"""What can go wrong between a spec and a loaded kernel."""


class KernelError(RuntimeError):
    """The compiled kernel is not available; the message says why and what to do about it."""


class CompilerNotFoundError(KernelError):
    """This machine has no usable C++ compiler, or ``$CXX`` names something that is not one."""


class KernelBuildError(KernelError):
    """A compiler is there, but it produced no library."""


class CacheError(KernelError):
    """The folder for compiled kernels cannot be read or written."""


class UntrustedCacheError(CacheError):
    """Another user can write to the folder for compiled kernels, or to one of them: nothing there is loaded."""


class BlasError(KernelError):
    """A BLAS is to compute the kernel's matrix products, and there is none that works."""


class EpisodeEndedError(RuntimeError):
    """An environment was to take a step outside of an episode."""


class NativeEnvironmentError(RuntimeError):
    """The author's C++ code of an environment has failed; the message names the function and the folder."""


class UnsupportedByKernelError(KernelError):
    """The kernel can't compute this model's update.

    :param reason: what stands in the way
    :param remedy: what the user can change
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. To train natively: {remedy}.")
        self.reason = reason
        self.remedy = remedy

    @classmethod
    def unless(cls, condition: bool, reason: str, remedy: str) -> None:
        """Raise with this reason and remedy unless the condition holds."""
        if not condition:
            raise cls(reason, remedy)

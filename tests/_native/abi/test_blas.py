"""Finding and loading the libraries that compute matrix products, with those that are installed here."""

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from backends import EACH_LIBRARY

from sb3_tinyrl._native.abi import blas
from sb3_tinyrl._native.errors import BlasError

GEMM = {
    np.float32: ("sgemm", ctypes.c_float),
    np.float64: ("dgemm", ctypes.c_double),
}

# Torch beside the libraries, in a Python of its own: arguments are what comes first, and the libraries.
BESIDE_TORCH = """\
import ctypes, hashlib, sys, types
order, *libraries = sys.argv[1:]
def torch_says():
    import torch
    torch.manual_seed(0)
    matrix = torch.rand(300, 300)
    numbers = (matrix @ matrix).tolist(), torch.linalg.inv(matrix).tolist()
    return torch.get_num_threads(), hashlib.sha256(repr(numbers).encode()).hexdigest()
def load():
    # Without the package itself, which imports torch.
    for module in ("sb3_tinyrl", "sb3_tinyrl._native"):
        sys.modules[module] = types.ModuleType(module)
        sys.modules[module].__path__ = [module.replace(".", "/")]
    from test_blas import assert_gemm
    for library in libraries:
        assert_gemm(library)
if order == "libraries first":
    load()
    assert "torch" not in sys.modules
answer = torch_says()
if order == "torch first":
    load()
    assert torch_says() == answer
for symbol in ("cblas_sgemm", "mkl_serv_allocate", "scipy_cblas_sgemm"):
    assert not hasattr(ctypes.CDLL(None), symbol), symbol
print(answer)
"""


def multiply(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a b` by the function whose address a kernel would get."""
    function, scalar = GEMM[a.dtype.type]
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    gemm = ctypes.CFUNCTYPE(None, *[integer] * 6, scalar, pointer, integer, pointer, integer, scalar, pointer, integer)(
        getattr(blas.load(name).functions(), function)
    )
    (m, k), n = a.shape, b.shape[1]
    c = np.full((m, n), np.nan, a.dtype)
    gemm(101, 111, 111, m, n, k, 1, a.ctypes.data, k, b.ctypes.data, n, 0, c.ctypes.data, n)
    return c


def assert_gemm(name: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for dtype, tolerance in ((np.float32, 1e-4), (np.float64, 1e-12)):
        a, b = rng.normal(size=(70, 90)).astype(dtype), rng.normal(size=(90, 50)).astype(dtype)
        np.testing.assert_allclose(multiply(name, a, b), a @ b, rtol=0, atol=tolerance)


def n_threads() -> int:
    return len(os.listdir("/proc/self/task"))


@EACH_LIBRARY
def test_products_are_right(library):
    assert_gemm(library)


@EACH_LIBRARY
def test_a_library_is_loaded_once(library):
    assert blas.load(library) is blas.load(library)
    assert blas.load(library).name == library


@EACH_LIBRARY
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_products_are_computed_by_the_calling_thread(library):
    matrix = np.ones((600, 600), np.float32)
    loaded = blas.load(library)
    before = n_threads()
    multiply(library, matrix, matrix)
    assert n_threads() == before
    n_used = {"mkl": "MKL_Get_Max_Threads", "openblas": "scipy_openblas_get_num_threads"}[library]
    assert getattr(loaded.library, n_used)() == 1


@EACH_LIBRARY
def test_several_threads_may_call_at_once_and_get_the_same_bits(library):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(64, 200)).astype(np.float32), rng.normal(size=(200, 64)).astype(np.float32)
    expected, failures = multiply(library, a, b), []

    def work():
        for _ in range(200):
            if not np.array_equal(multiply(library, a, b), expected):
                failures.append(threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@EACH_LIBRARY
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_computes_too(library):
    assert_gemm(library)
    child = os.fork()
    if child == 0:
        try:
            assert_gemm(library, seed=1)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_gemm(library, seed=2)


@pytest.mark.slow
@pytest.mark.skipif(not blas.installed(), reason="no BLAS is installed here")
def test_torch_computes_what_it_computes_alone():
    """Torch has an MKL of its own with the same names, and its number of threads is not ours to change."""
    root, own = Path(__file__).parents[3], Path(__file__).parent

    def run(order: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", BESIDE_TORCH, order, *blas.installed()],
            cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (own, own.parents[1], root)))},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert run("torch first") == run("libraries first")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Adds packages that hide those installed; nothing has been loaded yet."""

    def add(package: str, *files: str) -> None:
        info = tmp_path / f"{package.replace('-', '_')}-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))

    monkeypatch.syspath_prepend(tmp_path)
    blas.load.cache_clear()
    yield add
    blas.load.cache_clear()


@pytest.fixture
def none_installed(packages):
    for package in ("mkl", "scipy-openblas32"):
        packages(package)


@pytest.mark.skipif(sys.platform == "darwin", reason="Accelerate is always there")
def test_without_any_library_the_error_says_what_to_install(none_installed):
    assert blas.installed() == []
    for function in (blas.require, blas.load):
        with pytest.raises(
            BlasError, match=r"no BLAS was found.* mkl .*scipy-openblas32.*\[mkl\].*\[openblas\]"
        ) as error:
            function()
        assert 'backend="simd"' in str(error.value)
        assert "Mac;" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "remedy"), [("mkl", r"\[mkl\]"), ("openblas", r"\[openblas\]"), ("accelerate", "a Mac")]
)
@pytest.mark.skipif(sys.platform == "darwin", reason="Accelerate is always there")
def test_the_error_for_one_library_is_about_that_one(name, remedy, none_installed):
    with pytest.raises(BlasError, match=remedy) as error:
        blas.load(name)
    assert str(error.value).count("pip install") == (name != "accelerate")


@pytest.mark.skipif("openblas" not in blas.installed(), reason="OpenBLAS is not installed here")
def test_the_error_does_not_stay(packages):
    packages("scipy-openblas32")
    with pytest.raises(BlasError):
        blas.load("openblas")
    sys.path.pop(0)
    assert_gemm("openblas")


def test_a_file_that_is_no_library_is_refused(packages, tmp_path):
    packages("scipy-openblas32", "libscipy_openblas.so")
    (tmp_path / "libscipy_openblas.so").write_text("not a library")
    with pytest.raises(BlasError, match=r"OpenBLAS can't be loaded: .*scipy-openblas32.*another backend"):
        blas.load("openblas")


@pytest.mark.skipif(sys.platform != "linux", reason="MKL is found on Linux only")
def test_layers_that_do_not_link_are_refused_with_the_linkers_words(packages, tmp_path):
    layers = ["libmkl_core.so.9", "libmkl_intel_lp64.so.9", "libmkl_sequential.so.9"]
    packages("mkl", *layers)
    for layer in layers:
        (tmp_path / layer).write_text("not a library")
    with pytest.raises(BlasError, match=r"could not be linked: (.|\n)*libmkl_core\.so\.9(.|\n)*\$CXX"):
        blas.load("mkl")


@pytest.mark.skipif(sys.platform != "linux", reason="MKL is found on Linux only")
def test_a_package_that_lacks_a_layer_counts_as_missing(packages, tmp_path):
    packages("mkl", "libmkl_core.so.9")
    (tmp_path / "libmkl_core.so.9").write_text("")
    with pytest.raises(BlasError, match="no BLAS was found"):
        blas.load("mkl")


@pytest.mark.skipif(sys.platform == "darwin", reason="there, Accelerate is the default")
def test_without_a_mac_no_library_is_the_default():
    assert blas.default() is None

"""Policies that leave Python: the deterministic action of a trained SAC as C++ or ONNX.

One module turns a model into a plain description of its policy, one checks that description against ``predict``, and
one module for each format writes it down. One format is in integers, for which a module turns the description into one
of integers, and another measures what that changes.
"""

from sb3_tinyrl.export.calibration import Errors, QuantizationErrors
from sb3_tinyrl.export.cpp import export_cpp
from sb3_tinyrl.export.cpp_int8 import export_cpp_int8
from sb3_tinyrl.export.description import ExportError
from sb3_tinyrl.export.onnx import export_onnx
from sb3_tinyrl.export.rltools import export_policy

__all__ = [
    "Errors",
    "ExportError",
    "QuantizationErrors",
    "export_cpp",
    "export_cpp_int8",
    "export_onnx",
    "export_policy",
]

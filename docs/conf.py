import importlib.metadata
import json
import pkgutil
import re
import sys
from pathlib import Path
from types import FunctionType
from typing import Any, get_origin

from sphinx.application import Sphinx

from sb3_tinyrl.bench.settings import Settings
from sb3_tinyrl.bench.text import ratio

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from colab import badge  # noqa: E402

project = "sb3_tinyrl"
author = "sb3_tinyrl contributors"
copyright = f"2026, {author}"
release = importlib.metadata.version("sb3-tinyrl")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx_design"]
exclude_patterns = ["_build", "_static", "install_tabs.md"]  # what other pages include
templates_path = ["_templates"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3

# What the front page says of the documented benchmark comes from its file, as the picture does.
benchmark = json.loads((DOCS / "_static" / "benchmark.json").read_text(encoding="utf-8"))
myst_substitutions = {
    "speedup": ratio(benchmark["advantage"]["sb3"]["steps_per_second"]),
    "settings": str(Settings.from_json(json.dumps(benchmark["settings"]))),
    "processor": benchmark["machine"]["cpu"],
    "colab": badge(importlib.metadata.metadata("sb3-tinyrl").get_all("Project-URL", [])),
}


def public_members(cls: type) -> list[str]:
    """The public methods and properties that a class has from this package, and not from its bases in others."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith(f"{project}.")]
    kinds = (FunctionType, classmethod, property)
    names = [name for base in ours for name, value in vars(base).items() if isinstance(value, kinds)]
    return [*dict.fromkeys(name for name in names if not name.startswith("_"))]


# A page for each public name; api.md lists them, _templates has what a page looks like.
CLASSES = (
    "sb3_tinyrl.TinySAC",
    "sb3_tinyrl.status.KernelStatus",
    "sb3_tinyrl.NativeVecEnv",
    "sb3_tinyrl.environments.NativeEnv",
    "sb3_tinyrl.environments.NativeVectorEnv",
    "sb3_tinyrl.export.QuantizationErrors",
    "sb3_tinyrl.export.Errors",
    "sb3_tinyrl.tinyrl.SAC",
    "sb3_tinyrl.tinyrl.State",
    "sb3_tinyrl.tinyrl.Checkpoint",
)
autosummary_context = {
    "public_members": {name: public_members(pkgutil.resolve_name(name)) for name in CLASSES},
    "derived": [name for name in CLASSES if pkgutil.resolve_name(name).__bases__ != (object,)],
}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_type_aliases = {"npt.ArrayLike": "ArrayLike", "npt.NDArray": "NDArray"}  # not spelled out
python_maximum_signature_line_length = 72  # a longer signature gets a line for each parameter
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# A reference that leads nowhere is a warning, and CI takes warnings for errors. Not looked up is what lies on
# other hosts (no network is needed to build this), and what of this package has no page.
nitpicky = True
OTHER_PACKAGES = "collections|gymnasium|io|np|npt|numpy|os|pathlib|stable_baselines3|th|torch"
NAMES_FROM_THESE = "ActionNoise|GymEnv|MaybeCallback|ReplayBuffer|ResetNeeded|SACPolicy|Schedule"
WITHOUT_A_PAGE = (
    r"Array|Backend|Flags|KernelChoice|Renderer|SelfTinySAC|saving\.SavePath"  # types in signatures
    "|KernelError|NativeEnvironmentError"
    r"|sb3_tinyrl\.(off_policy\.NativeOffPolicy|environments\.state_access\.StateAccess)"  # bases
    r"|sb3_tinyrl\.tinyrl\.(checkpoint\._Model|hyperparameters\.HyperParameters|sources\.EnvironmentSource)"
)
nitpick_ignore_regex = [(r"py:\w+", rf"({OTHER_PACKAGES})\..+|{NAMES_FROM_THESE}|{WITHOUT_A_PAGE}")]

linkcheck_retries = 3

html_theme = "furo"
html_title = f"sb3_tinyrl {release}"
html_static_path = ["_css"]
html_css_files = ["custom.css"]


def leave_out_type_arguments(app: Sphinx, name: str, cls: type, options: Any, bases: list[Any]) -> None:
    """Show generic bases by their names alone."""
    bases[:] = [get_origin(base) or base for base in bases]


def name_arrays(app: Sphinx, what: str, name: str, value: Any, options: Any, *signature: str | None) -> Any:
    """Write arrays as the code does where autodoc has spelled them out."""
    spelled_out = r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]"
    return [part and re.sub(spelled_out, r"npt.NDArray[np.\1]", part) for part in signature]


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", name_arrays)
    app.connect("autodoc-process-bases", leave_out_type_arguments)

import importlib.metadata

project = "sb3_tinyrl"
author = "sb3_tinyrl contributors"
copyright = f"2026, {author}"
release = importlib.metadata.version("sb3-tinyrl")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "_static"]  # what lies in _static is included by other pages
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the signatures of Stable-Baselines3 are long; `:param:` carries the meaning

html_theme = "furo"
html_title = f"sb3_tinyrl {release}"

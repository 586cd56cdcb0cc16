"""Commands of ``sb3-tinyrl`` that belong to no other part of the package. Each module has an ``add_command``."""

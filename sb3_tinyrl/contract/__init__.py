"""What the kernel assumes about a model: every fact, what becomes of a model for which it does not hold, and its check.

The kernel computes what SB3's own code would compute, on the memory that this code would use. Each fact below is one
thing that must hold for that to be true. All are checked before a kernel touches a model's memory;
:mod:`sb3_tinyrl.memory` then watches the objects that they rest on, and the facts are checked anew when one has
changed.
"""

from sb3_tinyrl.contract.facts import FACTS, Fact, reason_to_sample, require_acting, require_training

__all__ = ["FACTS", "Fact", "reason_to_sample", "require_acting", "require_training"]

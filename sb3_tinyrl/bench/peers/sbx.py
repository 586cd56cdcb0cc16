"""SBX: Stable-Baselines3's SAC in JAX."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sb3_tinyrl.bench.measure import seconds
from sb3_tinyrl.bench.peers.sb3 import StableBaselines3


class Sbx(StableBaselines3):
    """SBX's SAC, driven like Stable-Baselines3's own."""

    label = "SBX (JAX)"
    distribution = "sbx-rl"

    def _algorithm(self) -> tuple[Any, dict[str, Any]]:
        return import_module("sbx").SAC, {}

    def set_up(self) -> dict[str, float]:
        """Make the model and take the first steps; JAX compiles when something is first called."""
        self._make_model()
        self._learn(1)  # so that there is something to train with
        cold = seconds(lambda: self.model.train(self.settings.gradient_steps, self.settings.batch_size))
        self._warm_up()
        return {"cold": cold}

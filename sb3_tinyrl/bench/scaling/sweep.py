"""Measures one point after the other; each in processes of its own, since memory is measured, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium

from sb3_tinyrl.bench import rounds
from sb3_tinyrl.bench.flops import update_flops
from sb3_tinyrl.bench.fma_peak import FmaPeak
from sb3_tinyrl.bench.process import PeerError
from sb3_tinyrl.bench.results import Results
from sb3_tinyrl.bench.scaling.axes import AXES
from sb3_tinyrl.bench.scaling.results import OURS, THEIRS, Point, ScalingResults
from sb3_tinyrl.bench.settings import Settings


def run(results: ScalingResults, folder: Path, progress: Callable[[int, str], None]) -> None:
    """Measure the axes that ``results.points`` names.

    :param results: where everything goes
    :param folder: for temporary files
    :param progress: called before each measurement with the number of points so far, and with what comes
    """
    peak = FmaPeak(folder, results.threads)
    n_done = 0
    for name, points in results.points.items():
        axis = AXES[name]
        for value in axis.values:
            title = f"{name} {value:,}"

            def show(coming: str, title: str = title, n_done: int = n_done) -> None:
                progress(n_done, f"{title}: {coming}")

            point = Point(value, _empty_results(axis.settings(value, results.threads, results.rounds)))
            point_folder = folder / f"{name}_{value}"
            point_folder.mkdir()
            try:
                rounds.run(
                    point.results,
                    [OURS, THEIRS],
                    point_folder,
                    show,
                    peak=peak,
                    measurements=axis.measurements,
                    kernels=folder / "kernels",  # many points have the same shapes
                )
            except PeerError as error:
                results.failures[title] = str(error)
            else:
                if THEIRS in point.results.failures:
                    results.failures[title] = f"{THEIRS}: {point.results.failures[THEIRS]}"
                else:
                    points.append(point)
            n_done += 1
    results.is_complete = True


def _empty_results(settings: Settings) -> Results:
    env = gymnasium.make(settings.env, **settings.env_kwargs)
    assert env.observation_space.shape is not None
    assert env.action_space.shape is not None
    (observation_dim,), (action_dim,) = env.observation_space.shape, env.action_space.shape
    env.close()
    layers = settings.net_arch
    return Results(
        settings,
        command="",
        machine={},
        update_flops=update_flops(observation_dim, action_dim, layers, layers, settings.batch_size),
    )

"""Table and pictures of the runs that `run.py` has finished.

Run with: python examples/learning_curves/report.py

Scores are what rliable (Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS
2021) makes of the runs: interquartile means and probabilities of improvement with bootstrapped 95 % confidence
intervals. The numbers are drawn with a fixed seed, so the same runs give the same table.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from rliable import library, metrics
from tasks import ALGORITHMS, TASKS

matplotlib.use("Agg")  # draws into files, so no display is needed
import matplotlib.pyplot as plt

Runs = dict[str, dict[str, list[dict[str, Any]]]]
Scores = npt.NDArray[np.float64]
COLOURS = {"TinySAC": "tab:orange", "SAC": "tab:gray"}
LABELS = {"TinySAC": "TinySAC", "SAC": "SB3's SAC"}
REPETITIONS = 2000


class Estimate(NamedTuple):
    """A number and its 95 % confidence interval."""

    value: Any
    low: Any
    high: Any

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def read_runs(folder: Path) -> Runs:
    """Finished runs by task and algorithm, of the seeds that both algorithms have; tasks with a single one wait."""
    runs: Runs = {}
    for task in TASKS:
        found = {
            name: {int(path.stem.rpartition("_")[2]): path for path in (folder / task).glob(f"{name}_*.json")}
            for name in ALGORITHMS
        }
        seeds = sorted(set.intersection(*map(set, found.values())))
        if len(seeds) > 1:
            runs[task] = {
                name: [json.loads(found[name][seed].read_text(encoding="utf-8")) for seed in seeds]
                for name in ALGORITHMS
            }
    return runs


def final_scores(runs: list[dict[str, Any]]) -> Scores:
    """The mean return of each run's last policy."""
    return np.array([np.mean(run["final_returns"]) for run in runs])


def interquartile_mean(scores: Scores) -> Estimate:
    """Over the runs, the first axis; at each point of the last axis."""

    def aggregate(x: Scores) -> Scores:
        return np.array([metrics.aggregate_iqm(x[..., i]) for i in range(x.shape[-1])])

    return _estimate(aggregate, scores[:, np.newaxis])


def probability_of_improvement(tiny: Scores, sb3: Scores) -> Estimate:
    """How probably a run of TinySAC ends better than one of SB3's SAC, averaged over tasks.

    :param tiny: shape ``(runs, tasks)``
    :param sb3: likewise
    """
    estimate = _estimate(lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), (tiny, sb3))
    return Estimate(*(value[0] for value in estimate))


def _estimate(aggregate: Any, scores: Any) -> Estimate:
    np.random.seed(0)  # noqa: NPY002 - from which rliable draws when it compares two sets of runs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of rliable's own call of arch
        values, intervals = library.get_interval_estimates(
            {"": scores}, aggregate, reps=REPETITIONS, random_state=np.random.RandomState(0)
        )
    return Estimate(values[""], *intervals[""])


def normalised(runs: dict[str, list[dict[str, Any]]], name: str) -> Scores:
    """Final scores of one task, in which an untrained policy has 0 and SB3's SAC at the end has 1 on average."""
    untrained = np.mean([run["returns"][0] for of_one in runs.values() for run in of_one])
    trained = np.mean(final_scores(runs["SAC"]))
    return (final_scores(runs[name]) - untrained) / (trained - untrained)


def table(all_runs: Runs) -> str:
    """The results as Markdown."""
    lines = [
        "| task, environment steps | runs each | TinySAC | SB3's SAC | P(TinySAC better) | RL Zoo's model |"
        " minutes: TinySAC | SB3's SAC | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task, runs in all_runs.items():
        tiny, sb3 = final_scores(runs["TinySAC"]), final_scores(runs["SAC"])
        better = probability_of_improvement(tiny[:, np.newaxis], sb3[:, np.newaxis])
        means = {
            name: Estimate(*(value[0] for value in interquartile_mean(scores[:, np.newaxis])))
            for name, scores in (("TinySAC", tiny), ("SAC", sb3))
        }
        published = TASKS[task].published
        zoo = f"{published.mean:.0f} ± {published.std:.0f}"
        if (published.env, published.timesteps) != (TASKS[task].env, TASKS[task].timesteps):
            zoo += f" ({published.env}, {published.timesteps:,} steps)"
        minutes = {name: np.median([run["seconds"][-1] for run in runs[name]]) / 60 for name in ALGORITHMS}
        lines.append(
            f"| {TASKS[task].env}, {TASKS[task].timesteps:,} | {len(tiny)} | {means['TinySAC']:.0f} |"
            f" {means['SAC']:.0f} | {better:.2f} | {zoo} | {minutes['TinySAC']:.1f} | {minutes['SAC']:.1f} |"
            f" {minutes['SAC'] / minutes['TinySAC']:.1f}x |"
        )
    n_runs = min(len(of_one) for runs in all_runs.values() for of_one in runs.values())
    of_all = {
        name: np.stack([normalised(runs, name)[:n_runs] for runs in all_runs.values()], axis=1) for name in ALGORITHMS
    }
    better = probability_of_improvement(of_all["TinySAC"], of_all["SAC"])
    aggregates = {}
    for name, scores in of_all.items():
        estimate = _estimate(lambda x: np.array([metrics.aggregate_iqm(x)]), scores)
        aggregates[name] = Estimate(*(value[0] for value in estimate))
    verdict = "no difference beyond chance" if better.low <= 0.5 <= better.high else "a difference beyond chance"
    lines += [
        "",
        f"Over these tasks with {n_runs} runs each, in scores where an untrained policy has 0 and SB3's SAC has 1 on"
        f" average: interquartile mean {aggregates['TinySAC']:.2f} for TinySAC and {aggregates['SAC']:.2f} for SB3's"
        f" SAC; probability that TinySAC is better {better:.2f}: {verdict}.",
    ]
    return "\n".join(lines) + "\n"


def draw(all_runs: Runs) -> plt.Figure:
    """Returns over environment steps and over minutes of training, a row for each task."""
    figure, rows = plt.subplots(
        len(all_runs), 2, figsize=(10, 2.8 * len(all_runs)), layout="constrained", squeeze=False
    )
    for (task, by_algorithm), axes in zip(all_runs.items(), rows, strict=True):
        for name, runs in by_algorithm.items():
            mean = interquartile_mean(np.array([run["returns"] for run in runs]))
            minutes = np.median([run["seconds"] for run in runs], axis=0) / 60
            for ax, x in zip(axes, (np.array(runs[0]["steps"]), minutes), strict=True):
                ax.plot(x, mean.value, color=COLOURS[name], label=f"{LABELS[name]} ({len(runs)} runs)")
                ax.fill_between(x, mean.low, mean.high, color=COLOURS[name], alpha=0.2, linewidth=0)
                ax.grid(alpha=0.3)
        axes[0].set(xlabel="environment steps", ylabel=f"return in {TASKS[task].env}")
        axes[1].set(xlabel="minutes of training (processor time, one thread)")
        axes[0].legend()
    return figure


def main() -> None:
    """Write table and picture beside the runs."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/learning_curves"), help="folder that run.py has filled")
    args = parser.parse_args()
    runs = read_runs(args.runs)
    if not runs:
        parser.error(f"{args.runs} has no two finished runs of each algorithm with the same seeds; run.py makes them")
    markdown = table(runs)
    (args.runs / "table.md").write_text(markdown, encoding="utf-8")
    draw(runs).savefig(args.runs / "learning_curves.png", dpi=100)
    print(markdown)
    print(f"Wrote table.md and learning_curves.png to {args.runs}")


if __name__ == "__main__":
    main()

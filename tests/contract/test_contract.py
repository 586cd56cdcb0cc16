"""TinySAC beside SAC, whatever the user does to both: see ``judge`` for what must not differ.

``HYPOTHESIS_PROFILE=explore`` draws sequences at random, keeps those that fail, and tries each change in both loops.
"""

import pytest
from fast_loop import slow_but
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from isolated import IsolatedJudge
from judge import BASES, COMPILED, PYTHON, Example
from mutators import BEFORE, BETWEEN, DURING, MUTATORS
from profiles import EXPLORES, examples

MOMENTS = (BEFORE, DURING, BETWEEN)
LOOPS = (PYTHON, COMPILED)
ACTING = [name for name, mutator in MUTATORS.items() if mutator.acts]

REPORTED = {
    "an automatic entropy coefficient is fixed": "entropy_coefficient_fixed",
    "a network from elsewhere": "network_from_elsewhere",
    "parameters are replaced": "parameters_replaced",
    "a state dict is assigned": "state_dict_assigned",
    "statistics are set by hand": "statistics_in_float32",
    "gradients are clipped by hooks": "gradient_hooks",
    "gradients are clipped before each step": "optimizer_pre_hook",
    "the actor learns more slowly": "update_learning_rate_patched",
    "train is patched away": "train_patched_away",
    "spectral norm": "spectral_norm_of_old_style",
    "the state of another network's optimizer": "foreign_optimizer_state",
    "targets are updated each zeroth step": "target_update_interval_of_zero",
    "one critic is wider": "second_critic_wider",
    "a bounded head": "bounded_head",
    "sample is patched": "sample_that_fails",
    "sample returns twice as many rows": "sample_of_twice_as_many_rows",
    "a callback sets the action noise": "action_noise_set",
    "_predict is patched": "predict_patched",
    "a buffer holds what float32 can't": "observations_too_large_for_float32",
    "the policy is compiled": "compiled_policy",
}
"""What people have reported, and the mutator that does it."""

MOMENT = {PYTHON: BETWEEN, COMPILED: DURING}
"""When ``test_reported`` does it."""


def require_no_objection(judge: IsolatedJudge, case: Example) -> None:
    wrong = judge(case)
    assert wrong is None, f"{case}: {wrong}"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("loop", slow_but([COMPILED], LOOPS))
def test_nothing_done_is_nothing_different(judge: IsolatedJudge, loop: str, base: str) -> None:
    require_no_objection(judge, Example((), loop, "native", base))
    require_no_objection(judge, Example((), loop, "auto", base, acting=True))


@pytest.mark.parametrize("loop", slow_but([PYTHON], LOOPS))
@pytest.mark.parametrize("report", REPORTED)
def test_reported(judge: IsolatedJudge, report: str, loop: str) -> None:
    name = REPORTED[report]
    require_no_objection(judge, Example(((MOMENT[loop], name),), loop, base=MUTATORS[name].base))


@pytest.mark.parametrize("loop", slow_but([COMPILED], LOOPS))
@pytest.mark.parametrize("name", sorted({*REPORTED.values()}))
def test_reported_of_a_kernel_that_must_serve(judge: IsolatedJudge, name: str, loop: str) -> None:
    require_no_objection(judge, Example(((BEFORE, name),), loop, "native", MUTATORS[name].base))


def moments_and_loops() -> list[tuple[str, str, str]]:
    """Every mutator at every moment, the loops by turns: each mutator meets both. When exploring, each case does."""
    reported = {(name, MOMENT[loop]) for loop in LOOPS for name in REPORTED.values()}  # judged above
    cases = [(name, moment) for name, mutator in MUTATORS.items() for moment in mutator.moments]
    return [
        (name, moment, loop)
        for number, (name, moment) in enumerate(cases)
        for loop in (LOOPS if EXPLORES else [LOOPS[number % 2]])
        if (name, moment) not in reported
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "moment", "loop"), moments_and_loops())
def test_noticed_at_any_moment(judge: IsolatedJudge, name: str, moment: str, loop: str) -> None:
    require_no_objection(judge, Example(((moment, name),), loop, base=MUTATORS[name].base))


@pytest.mark.parametrize("loop", slow_but([COMPILED], LOOPS))
@pytest.mark.parametrize("name", ACTING)
def test_acts_as_changed(judge: IsolatedJudge, name: str, loop: str) -> None:
    for moment in MUTATORS[name].moments[:2]:
        require_no_objection(judge, Example(((moment, name),), loop, base=MUTATORS[name].base, acting=True))


@st.composite
def sequences(draw: st.DrawFn) -> Example:
    """Up to four things done to one model, in the order of the moments."""
    base = draw(st.sampled_from([*BASES]))
    names = [name for name, mutator in MUTATORS.items() if mutator.base in ("plain", base)]
    steps = []
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4)):
        steps.append((draw(st.sampled_from(MUTATORS[name].moments)), name))
    steps.sort(key=lambda step: MOMENTS.index(step[0]))
    return Example(tuple(steps), draw(st.sampled_from(LOOPS)), draw(st.sampled_from(["auto", "native"])), base)


@pytest.mark.slow
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(case=sequences())
@example(case=Example(((BEFORE, "parameters_replaced"), (BETWEEN, "entropy_coefficient_fixed")), COMPILED))
def test_sequences(judge: IsolatedJudge, case: Example) -> None:
    require_no_objection(judge, case)

"""An environment written for tests, and where the shipped ones lie."""

from pathlib import Path

_ROOT = Path(__file__).parents[1]
EXAMPLE = _ROOT / "examples" / "custom_environment"
CARTPOLE = _ROOT / "examples" / "cartpole"
POINT_MASS = _ROOT / "examples" / "point_mass"
ZOO = _ROOT / "rl_tools" / "rl" / "zoo"

# A walk that draws random numbers wherever it may; ends where it has gone beyond `bound`.
WALK = """\
#pragma once
#include <rl_tools/operations/cpu.h>

template <typename T, typename TI>
struct Walk {
    struct Parameters {
        T bound;
    };
    struct State {
        T position[OBSERVATIONS];
    };
    static constexpr TI OBSERVATION_DIM = OBSERVATIONS, ACTION_DIM = ACTIONS;
};

template <typename T, typename RNG>
T draw(T scale, RNG& rng) {
    return rl_tools::random::uniform_real_distribution(rl_tools::devices::random::CPU{}, -scale, scale, rng);
}

template <typename D, typename T, typename TI, typename RNG>
void sample_initial_parameters(D&, const Walk<T, TI>&, typename Walk<T, TI>::Parameters& parameters, RNG& rng) {
    parameters.bound = 2 + draw(T(0.5), rng);
}

template <typename D, typename T, typename TI, typename RNG>
void sample_initial_state(D&, const Walk<T, TI>&, const typename Walk<T, TI>::Parameters&,
                          typename Walk<T, TI>::State& state, RNG& rng) {
    for (T& x : state.position) {
        x = draw(T(1), rng);
    }
}

template <typename D, typename T, typename TI, typename A, typename RNG>
void step(D&, const Walk<T, TI>&, const typename Walk<T, TI>::Parameters&, const typename Walk<T, TI>::State& state,
          const A& action, typename Walk<T, TI>::State& next_state, RNG& rng) {
    for (TI i = 0; i < OBSERVATIONS; i++) {
        next_state.position[i] = state.position[i] + get(action, 0, i % ACTIONS) + draw(T(1), rng);
    }
}

template <typename D, typename T, typename TI, typename A, typename RNG>
T reward(D&, const Walk<T, TI>&, const typename Walk<T, TI>::Parameters&, const typename Walk<T, TI>::State&,
         const A& action, const typename Walk<T, TI>::State& next_state, RNG& rng) {
    return next_state.position[0] + get(action, 0, ACTIONS - 1) + draw(T(1), rng);
}

template <typename D, typename T, typename TI, typename TYPE, typename O, typename RNG>
void observe(D&, const Walk<T, TI>&, const typename Walk<T, TI>::Parameters&, const typename Walk<T, TI>::State& state,
             const TYPE&, O& observation, RNG& rng) {
    for (TI i = 0; i < OBSERVATIONS; i++) {
        set(observation, 0, i, state.position[i] + draw(T(0.1), rng));
    }
}

template <typename D, typename T, typename TI, typename RNG>
bool terminated(D&, const Walk<T, TI>&, const typename Walk<T, TI>::Parameters& parameters,
                const typename Walk<T, TI>::State& state, RNG&) {
    return state.position[0] > parameters.bound || state.position[0] < -parameters.bound;
}

template <typename T, typename TI>
using ENVIRONMENT_FACTORY = Walk<T, TI>;
"""


def write_walk(folder: Path, observations: int = 3, actions: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    text = WALK.replace("OBSERVATIONS", str(observations)).replace("ACTIONS", str(actions))
    (folder / "environment.h").write_text(text)
    return folder

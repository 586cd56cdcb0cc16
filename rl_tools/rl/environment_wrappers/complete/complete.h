#pragma once
// An environment in RLtools' interface with everything that its author left out. What cannot be left out is
// asked for by name here, before a template deep inside fails for the lack of it.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <rl_tools/rl_tools.h>

namespace rl_tools::rl::environment_wrappers::complete {
    struct NoParameters {};

    template <std::size_t T_DIM>
    struct Observation {
        static constexpr std::size_t DIM = T_DIM;
    };

    struct NoState {};

    template <typename ENVIRONMENT, typename = void>
    struct StateOf {
        static constexpr bool DECLARED = false;
        using TYPE = NoState;
    };
    template <typename ENVIRONMENT>
    struct StateOf<ENVIRONMENT, std::void_t<typename ENVIRONMENT::State>> {
        static constexpr bool DECLARED = true;
        using TYPE = typename ENVIRONMENT::State;
    };

    template <typename ENVIRONMENT, typename = void>
    struct ParametersOf {
        using TYPE = NoParameters;
    };
    template <typename ENVIRONMENT>
    struct ParametersOf<ENVIRONMENT, std::void_t<typename ENVIRONMENT::Parameters>> {
        using TYPE = typename ENVIRONMENT::Parameters;
    };

    // Whether a size is a whole number and not negative; the latter may have been made one of an unsigned type.
    template <typename NUMBER>
    constexpr bool is_size(NUMBER number) {
        const auto size = static_cast<std::int64_t>(number);
        return size >= 0 && static_cast<NUMBER>(size) == number;
    }

    template <typename ENVIRONMENT, typename = void>
    struct ObservationDim {
        static constexpr std::size_t VALUE = 0;
    };
    template <typename ENVIRONMENT>
    struct ObservationDim<ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::OBSERVATION_DIM)>> {
        static_assert(is_size(ENVIRONMENT::OBSERVATION_DIM), "OBSERVATION_DIM must be a whole number above 0");
        static constexpr std::size_t VALUE = static_cast<std::size_t>(ENVIRONMENT::OBSERVATION_DIM);
    };

    // RLtools' type with a DIM, or just `OBSERVATION_DIM`.
    template <typename ENVIRONMENT, typename = void>
    struct ObservationOf {
        using TYPE = Observation<ObservationDim<ENVIRONMENT>::VALUE>;
    };
    template <typename ENVIRONMENT>
    struct ObservationOf<ENVIRONMENT, std::void_t<typename ENVIRONMENT::Observation>> {
        using TYPE = typename ENVIRONMENT::Observation;
    };

    template <typename ENVIRONMENT, typename = void>
    struct ActionDim {
        static constexpr std::size_t VALUE = 0;
    };
    template <typename ENVIRONMENT>
    struct ActionDim<ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::ACTION_DIM)>> {
        static_assert(is_size(ENVIRONMENT::ACTION_DIM), "ACTION_DIM must be a whole number above 0");
        static constexpr std::size_t VALUE = static_cast<std::size_t>(ENVIRONMENT::ACTION_DIM);
    };

    template <typename ENVIRONMENT, typename = void>
    struct EpisodeStepLimit {
        static constexpr std::size_t VALUE = 0;
    };
    template <typename ENVIRONMENT>
    struct EpisodeStepLimit<ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::EPISODE_STEP_LIMIT)>> {
        static_assert(is_size(ENVIRONMENT::EPISODE_STEP_LIMIT),
                      "EPISODE_STEP_LIMIT must be a whole number of steps, or 0 for no limit");
        static constexpr std::size_t VALUE = static_cast<std::size_t>(ENVIRONMENT::EPISODE_STEP_LIMIT);
    };

    // Whether there is one of two bounds without the other.
    template <typename ENVIRONMENT, typename = void>
    struct HasActionLow : std::false_type {};
    template <typename ENVIRONMENT>
    struct HasActionLow<ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::ACTION_LOW)>> : std::true_type {};
    template <typename ENVIRONMENT, typename = void>
    struct HasActionHigh : std::false_type {};
    template <typename ENVIRONMENT>
    struct HasActionHigh<ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::ACTION_HIGH)>> : std::true_type {};
    template <typename ENVIRONMENT, typename = void>
    struct HasObservationLow : std::false_type {};
    template <typename ENVIRONMENT>
    struct HasObservationLow<ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::OBSERVATION_LOW)>> : std::true_type {};
    template <typename ENVIRONMENT, typename = void>
    struct HasObservationHigh : std::false_type {};
    template <typename ENVIRONMENT>
    struct HasObservationHigh<ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::OBSERVATION_HIGH)>> : std::true_type {};

    // In units of the environment; [-1, 1] unless declared, as is RLtools' convention.
    template <typename ENVIRONMENT, typename = void>
    struct ActionBounds {
        static constexpr bool DECLARED = false;
        static constexpr std::size_t LOWS = ActionDim<ENVIRONMENT>::VALUE, HIGHS = LOWS;
        static constexpr int low(std::size_t) { return -1; }
        static constexpr int high(std::size_t) { return 1; }
    };
    template <typename ENVIRONMENT>
    struct ActionBounds<ENVIRONMENT,
                        std::void_t<decltype(ENVIRONMENT::ACTION_LOW), decltype(ENVIRONMENT::ACTION_HIGH)>> {
        static constexpr bool DECLARED = true;
        // Of an array declared without a size, Clang only knows one once the array itself has been asked for.
        static constexpr std::size_t LOWS =
            sizeof(ENVIRONMENT::ACTION_LOW) > 0 ? std::extent_v<decltype(ENVIRONMENT::ACTION_LOW)> : 0;
        static constexpr std::size_t HIGHS =
            sizeof(ENVIRONMENT::ACTION_HIGH) > 0 ? std::extent_v<decltype(ENVIRONMENT::ACTION_HIGH)> : 0;
        static constexpr auto low(std::size_t i) { return ENVIRONMENT::ACTION_LOW[i]; }
        static constexpr auto high(std::size_t i) { return ENVIRONMENT::ACTION_HIGH[i]; }
    };

    template <typename ENVIRONMENT, typename = void>
    struct ObservationBounds {
        static constexpr std::size_t LOWS = ObservationOf<ENVIRONMENT>::TYPE::DIM, HIGHS = LOWS;
        static constexpr float low(std::size_t) { return -std::numeric_limits<float>::infinity(); }
        static constexpr float high(std::size_t) { return std::numeric_limits<float>::infinity(); }
    };
    template <typename ENVIRONMENT>
    struct ObservationBounds<
        ENVIRONMENT, std::void_t<decltype(ENVIRONMENT::OBSERVATION_LOW), decltype(ENVIRONMENT::OBSERVATION_HIGH)>> {
        static constexpr std::size_t LOWS =
            sizeof(ENVIRONMENT::OBSERVATION_LOW) > 0 ? std::extent_v<decltype(ENVIRONMENT::OBSERVATION_LOW)> : 0;
        static constexpr std::size_t HIGHS =
            sizeof(ENVIRONMENT::OBSERVATION_HIGH) > 0 ? std::extent_v<decltype(ENVIRONMENT::OBSERVATION_HIGH)> : 0;
        static constexpr auto low(std::size_t i) { return ENVIRONMENT::OBSERVATION_LOW[i]; }
        static constexpr auto high(std::size_t i) { return ENVIRONMENT::OBSERVATION_HIGH[i]; }
    };

    // Whether each low bound of an action is below its high one, and both are finite.
    template <typename BOUNDS>
    constexpr bool are_intervals() {
        for (std::size_t i = 0; i < BOUNDS::LOWS && i < BOUNDS::HIGHS; i++) {
            constexpr auto LARGEST = std::numeric_limits<decltype(BOUNDS::low(0))>::max();
            if (!(-LARGEST <= BOUNDS::low(i) && BOUNDS::low(i) < BOUNDS::high(i) && BOUNDS::high(i) <= LARGEST)) {
                return false;
            }
        }
        return true;
    }

    // Whether no low bound of an observation is above its high one, and none is NaN; as far as compilers count.
    template <typename BOUNDS>
    constexpr bool are_ordered() {
        constexpr std::size_t LONGEST = 10000;
        for (std::size_t i = 0; i < BOUNDS::LOWS && i < BOUNDS::HIGHS && i < LONGEST; i++) {
            if (!(BOUNDS::low(i) <= BOUNDS::high(i))) {
                return false;
            }
        }
        return true;
    }

    // Steps copy a state on the stack of the thread that takes them.
    constexpr std::size_t LARGEST_ON_STACK = std::size_t(1) << 20;
}

namespace rl_tools::rl::environment_wrappers {
    template <typename T_T, typename T_TI, typename T_ENVIRONMENT>
    struct Complete {
        using T = T_T;
        using TI = T_TI;
        using ENVIRONMENT = T_ENVIRONMENT;
        using State = typename complete::StateOf<ENVIRONMENT>::TYPE;
        using Parameters = typename complete::ParametersOf<ENVIRONMENT>::TYPE;
        using Observation = typename complete::ObservationOf<ENVIRONMENT>::TYPE;
        using ACTION_BOUNDS = complete::ActionBounds<ENVIRONMENT>;
        using OBSERVATION_BOUNDS = complete::ObservationBounds<ENVIRONMENT>;
        static constexpr TI OBSERVATION_DIM = Observation::DIM;
        static constexpr TI ACTION_DIM = complete::ActionDim<ENVIRONMENT>::VALUE;
        static constexpr TI EPISODE_STEP_LIMIT = complete::EpisodeStepLimit<ENVIRONMENT>::VALUE;  // 0: none

        static_assert(complete::StateOf<ENVIRONMENT>::DECLARED,
                      "the environment declares no State; add a struct State with all that changes in a step");
        static_assert(OBSERVATION_DIM > 0,
                      "the environment declares no observation; add: static constexpr TI OBSERVATION_DIM = ...");
        static_assert(ACTION_DIM > 0, "the environment declares no action; add: static constexpr TI ACTION_DIM = ...");
        static_assert(std::is_trivially_copyable_v<State> && std::is_default_constructible_v<State>,
                      "the environment's State is no plain struct; keep numbers and arrays of fixed size in it, as "
                      "states are copied byte by byte");
        static_assert(std::is_trivially_copyable_v<Parameters> && std::is_default_constructible_v<Parameters>,
                      "the environment's Parameters are no plain struct; keep numbers and arrays of fixed size in it, "
                      "as they are copied byte by byte");
        static_assert(ACTION_BOUNDS::LOWS == ACTION_DIM && ACTION_BOUNDS::HIGHS == ACTION_DIM,
                      "ACTION_LOW and ACTION_HIGH must be arrays of ACTION_DIM elements");
        static_assert(OBSERVATION_BOUNDS::LOWS == OBSERVATION_DIM && OBSERVATION_BOUNDS::HIGHS == OBSERVATION_DIM,
                      "OBSERVATION_LOW and OBSERVATION_HIGH must be arrays with an element for each observation");
        static_assert(complete::are_intervals<ACTION_BOUNDS>(),
                      "each ACTION_LOW must be below its ACTION_HIGH, and both finite");
        static_assert(complete::are_ordered<OBSERVATION_BOUNDS>(),
                      "no OBSERVATION_LOW may be above its OBSERVATION_HIGH, or be NaN");
        static_assert(complete::HasActionLow<ENVIRONMENT>::value == complete::HasActionHigh<ENVIRONMENT>::value,
                      "the environment declares one of ACTION_LOW and ACTION_HIGH; declare the other, too");
        static_assert(complete::HasObservationLow<ENVIRONMENT>::value ==
                          complete::HasObservationHigh<ENVIRONMENT>::value,
                      "the environment declares one of OBSERVATION_LOW and OBSERVATION_HIGH; declare the other, too");
        static_assert(sizeof(State) <= complete::LARGEST_ON_STACK &&
                          ACTION_DIM <= complete::LARGEST_ON_STACK / sizeof(T),
                      "the environment's State or its action is larger than 1 MiB, too large for the stack; keep what "
                      "does not change in an episode in Parameters, or in the environment's struct");

        ENVIRONMENT environment{};
    };
}

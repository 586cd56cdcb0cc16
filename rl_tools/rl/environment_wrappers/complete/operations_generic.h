#pragma once
// Include this after the environment: functions in namespace rl_tools are only found if declared before. Those
// beside the environment's struct, in whatever namespace, are found in any case.

#include <type_traits>
#include <utility>

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environment_wrappers/complete/complete.h>
#include <rl_tools/rl/environment_wrappers/complete/row.h>

namespace rl_tools::rl::environment_wrappers::complete {
    template <typename... ARGUMENTS>
    using Init = decltype(init(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using SampleInitialParameters = decltype(sample_initial_parameters(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using InitialParameters = decltype(initial_parameters(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using SampleInitialState = decltype(sample_initial_state(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using InitialState = decltype(initial_state(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using Step = decltype(step(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using Reward = decltype(static_cast<double>(reward(std::declval<ARGUMENTS>()...)));
    template <typename... ARGUMENTS>
    using Observe = decltype(observe(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using Terminated = std::enable_if_t<  // a number would be true wherever it is not 0
        !std::is_floating_point_v<decltype(terminated(std::declval<ARGUMENTS>()...))>,
        decltype(static_cast<bool>(terminated(std::declval<ARGUMENTS>()...)))>;

    template <typename... ARGUMENTS>
    using VisitParameters = decltype(visit_parameters(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using VisitState = decltype(visit_state(std::declval<ARGUMENTS>()...));
    template <typename... ARGUMENTS>
    using VisitInfo = decltype(visit_info(std::declval<ARGUMENTS>()...));

    template <template <typename...> typename CALL, typename, typename... ARGUMENTS>
    struct Exists : std::false_type {};
    template <template <typename...> typename CALL, typename... ARGUMENTS>
    struct Exists<CALL, std::void_t<CALL<ARGUMENTS...>>, ARGUMENTS...> : std::true_type {};

    // Whether a function can be called with these arguments.
    template <template <typename...> typename CALL, typename... ARGUMENTS>
    inline constexpr bool EXISTS = Exists<CALL, void, ARGUMENTS...>::value;

    // Whether the author has something to tell of each step, for a type of visitors.
    template <typename DEVICE, typename COMPLETE, typename VISITOR>
    inline constexpr bool SHOWS_INFO =
        EXISTS<VisitInfo, DEVICE&, typename COMPLETE::ENVIRONMENT&, typename COMPLETE::Parameters&,
               const typename COMPLETE::State&,
               const Row<typename COMPLETE::T, typename COMPLETE::TI, COMPLETE::ACTION_DIM>&,
               const typename COMPLETE::State&, VISITOR&>;

    template <typename DEVICE, typename COMPLETE, typename RNG>
    constexpr void require_functions() {
        using ENVIRONMENT = typename COMPLETE::ENVIRONMENT;
        using PARAMETERS = typename COMPLETE::Parameters;
        using STATE = typename COMPLETE::State;
        using OBSERVATION = Row<typename COMPLETE::T, typename COMPLETE::TI, COMPLETE::OBSERVATION_DIM>;
        using ACTION = Row<typename COMPLETE::T, typename COMPLETE::TI, COMPLETE::ACTION_DIM>;
        static_assert(EXISTS<SampleInitialState, DEVICE&, ENVIRONMENT&, PARAMETERS&, STATE&, RNG&>,
                      "the environment lacks a function that can be called as "
                      "sample_initial_state(device, environment, parameters, state, rng)");
        static_assert(EXISTS<Step, DEVICE&, ENVIRONMENT&, PARAMETERS&, const STATE&, const ACTION&, STATE&, RNG&>,
                      "the environment lacks a function that can be called as "
                      "step(device, environment, parameters, const state, const action, next_state, rng)");
        static_assert(
            EXISTS<Reward, DEVICE&, ENVIRONMENT&, PARAMETERS&, const STATE&, const ACTION&, const STATE&, RNG&>,
            "the environment lacks a function that can be called as "
            "reward(device, environment, parameters, const state, const action, const next_state, rng) and returns a "
            "number");
        static_assert(EXISTS<Observe, DEVICE&, ENVIRONMENT&, PARAMETERS&, const STATE&,
                             const typename COMPLETE::Observation&, OBSERVATION&, RNG&>,
                      "the environment lacks a function that can be called as "
                      "observe(device, environment, parameters, const state, observation_type, observation, rng)");
        static_assert(EXISTS<Terminated, DEVICE&, ENVIRONMENT&, PARAMETERS&, const STATE&, RNG&>,
                      "the environment lacks a function that can be called as "
                      "terminated(device, environment, parameters, const state, rng) and returns a bool");
        // A temporary can be passed where nothing that is written comes back.
        static_assert(!EXISTS<SampleInitialState, DEVICE&, ENVIRONMENT&, PARAMETERS&, STATE, RNG&>,
                      "what sample_initial_state writes to `state` is lost; take it as State&");
        static_assert(!EXISTS<InitialState, DEVICE&, ENVIRONMENT&, PARAMETERS&, STATE>,
                      "what initial_state writes to `state` is lost; take it as State&");
        static_assert(!EXISTS<Step, DEVICE&, ENVIRONMENT&, PARAMETERS&, const STATE&, const ACTION&, STATE, RNG&>,
                      "what step writes to `next_state` is lost; take it as State&");
        static_assert(!EXISTS<SampleInitialParameters, DEVICE&, ENVIRONMENT&, PARAMETERS, RNG&>,
                      "what sample_initial_parameters writes to `parameters` is lost; take them as Parameters&");
        static_assert(!EXISTS<InitialParameters, DEVICE&, ENVIRONMENT&, PARAMETERS>,
                      "what initial_parameters writes to `parameters` is lost; take them as Parameters&");
    }
}

namespace rl_tools {
    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT>
    void init(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete) {
        namespace wrapper = rl::environment_wrappers::complete;
        if constexpr (wrapper::EXISTS<wrapper::Init, DEVICE&, ENVIRONMENT&>) {
            init(device, complete.environment);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename RNG>
    void sample_initial_parameters(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete,
                                   PARAMETERS& parameters, RNG& rng) {
        namespace wrapper = rl::environment_wrappers::complete;
        if constexpr (wrapper::EXISTS<wrapper::SampleInitialParameters, DEVICE&, ENVIRONMENT&, PARAMETERS&, RNG&>) {
            sample_initial_parameters(device, complete.environment, parameters, rng);
        } else if constexpr (wrapper::EXISTS<wrapper::InitialParameters, DEVICE&, ENVIRONMENT&, PARAMETERS&>) {
            initial_parameters(device, complete.environment, parameters);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename STATE,
              typename RNG>
    void sample_initial_state(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete,
                              PARAMETERS& parameters, STATE& state, RNG& rng) {
        sample_initial_state(device, complete.environment, parameters, state, rng);
    }

    // Draws a state where the environment has no nominal one, hence `rng`.
    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename STATE,
              typename RNG>
    void initial_state(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete,
                       PARAMETERS& parameters, STATE& state, RNG& rng) {
        namespace wrapper = rl::environment_wrappers::complete;
        if constexpr (wrapper::EXISTS<wrapper::InitialState, DEVICE&, ENVIRONMENT&, PARAMETERS&, STATE&>) {
            initial_state(device, complete.environment, parameters, state);
        } else {
            sample_initial_state(device, complete.environment, parameters, state, rng);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename STATE,
              typename ACTION, typename RNG>
    void step(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete, PARAMETERS& parameters,
              const STATE& state, const ACTION& action, STATE& next_state, RNG& rng) {
        step(device, complete.environment, parameters, state, action, next_state, rng);
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename STATE,
              typename ACTION, typename RNG>
    T reward(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete, PARAMETERS& parameters,
             const STATE& state, const ACTION& action, const STATE& next_state, RNG& rng) {
        return static_cast<T>(reward(device, complete.environment, parameters, state, action, next_state, rng));
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename STATE,
              typename OBSERVATION, typename RNG>
    void observe(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete,
                 PARAMETERS& parameters, const STATE& state, OBSERVATION& observation, RNG& rng) {
        const typename rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>::Observation type{};
        observe(device, complete.environment, parameters, state, type, observation, rng);
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename STATE,
              typename RNG>
    bool terminated(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete,
                    PARAMETERS& parameters, const STATE& state, RNG& rng) {
        return terminated(device, complete.environment, parameters, state, rng);
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename VISITOR>
    void visit_parameters(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete,
                          PARAMETERS& parameters, VISITOR& visitor) {
        namespace wrapper = rl::environment_wrappers::complete;
        if constexpr (wrapper::EXISTS<wrapper::VisitParameters, DEVICE&, ENVIRONMENT&, PARAMETERS&, VISITOR&>) {
            static_assert(!wrapper::EXISTS<wrapper::VisitParameters, DEVICE&, ENVIRONMENT&, PARAMETERS, VISITOR&>,
                          "visit_parameters shows a copy, which can't be set; take the parameters as Parameters&");
            visit_parameters(device, complete.environment, parameters, visitor);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename STATE, typename VISITOR>
    void visit_state(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete, STATE& state,
                     VISITOR& visitor) {
        namespace wrapper = rl::environment_wrappers::complete;
        if constexpr (wrapper::EXISTS<wrapper::VisitState, DEVICE&, ENVIRONMENT&, STATE&, VISITOR&>) {
            static_assert(!wrapper::EXISTS<wrapper::VisitState, DEVICE&, ENVIRONMENT&, STATE, VISITOR&>,
                          "visit_state shows a copy, which can't be set; take the state as State&");
            visit_state(device, complete.environment, state, visitor);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename ENVIRONMENT, typename PARAMETERS, typename STATE,
              typename ACTION, typename VISITOR>
    void visit_info(DEVICE& device, rl::environment_wrappers::Complete<T, TI, ENVIRONMENT>& complete,
                    PARAMETERS& parameters, const STATE& state, const ACTION& action, const STATE& next_state,
                    VISITOR& visitor) {
        namespace wrapper = rl::environment_wrappers::complete;
        if constexpr (wrapper::EXISTS<wrapper::VisitInfo, DEVICE&, ENVIRONMENT&, PARAMETERS&, const STATE&,
                                      const ACTION&, const STATE&, VISITOR&>) {
            visit_info(device, complete.environment, parameters, state, action, next_state, visitor);
        }
    }
}

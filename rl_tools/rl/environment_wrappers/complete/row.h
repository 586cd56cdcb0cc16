#pragma once
// What the author's functions get as an action and as an observation. Include this before the environment: a call with
// the namespace, `rl_tools::get`, only finds what is declared before it.

#include <stdexcept>
#include <string>
#include <type_traits>

#include <rl_tools/operations/cpu.h>
#include <rl_tools/utils/simd/vector.h>

namespace rl_tools::rl::environment_wrappers::complete {
    // One row in memory of the caller's. A type of its own, so that `get` and `set` know it. `T_CHECKED`: whether they
    // throw for an index beyond the elements.
    template <typename T_T, typename T_TI, T_TI T_DIM, bool T_CHECKED>
    struct RowSpecification : matrix::Specification<T_T, T_TI, 1, T_DIM> {};

#ifdef RL_TOOLS_CHECKED
    inline constexpr bool CHECKS_ALL_INDICES = true;
#else
    inline constexpr bool CHECKS_ALL_INDICES = false;
#endif
    template <typename T, typename TI, TI DIM, bool CHECKED = CHECKS_ALL_INDICES>
    using Row = Matrix<RowSpecification<T, TI, DIM, CHECKED>>;

    struct IndexError : std::out_of_range {
        using std::out_of_range::out_of_range;
    };

#if defined(__has_attribute)
#if __has_attribute(error)
#define RL_TOOLS_CHECKS_CONSTANT_INDICES
    // Never defined: a call that is left in the compiled code is an error.
    __attribute__((
        error("an index of an action or observation is beyond its elements (ACTION_DIM, OBSERVATION_DIM)"))) void
    index_is_beyond_the_elements();
#endif
#endif

    // What is known when it is compiled is checked then, in code that is reached; the rest when an environment is made,
    // for its first step, and by `check-env`.
    template <typename TI, TI DIM, bool CHECKED>
    RL_TOOLS_INLINE void require_index([[maybe_unused]] TI row, [[maybe_unused]] TI column) {
#ifdef RL_TOOLS_CHECKS_CONSTANT_INDICES
        if (__builtin_constant_p(row != 0 || column >= DIM) && (row != 0 || column >= DIM)) {
            index_is_beyond_the_elements();
        }
#endif
        if constexpr (CHECKED) {
            if (row != 0 || column >= DIM) {
                throw IndexError("the index (" + std::to_string(row) + ", " + std::to_string(column) +
                                 ") is beyond the elements of the action or observation, which has " +
                                 std::to_string(DIM) + " in row 0");
            }
        }
    }
}

namespace rl_tools {
    // In place of RLtools' for all matrices.
    template <typename T, typename TI, TI DIM, bool CHECKED>
    RL_TOOLS_INLINE const T& get(
        const Matrix<rl::environment_wrappers::complete::RowSpecification<T, TI, DIM, CHECKED>>& row,
        std::common_type_t<TI> i, std::common_type_t<TI> j) {
        rl::environment_wrappers::complete::require_index<TI, DIM, CHECKED>(i, j);
        return row._data[index(row, i, j)];
    }
    template <typename T, typename TI, TI DIM, bool CHECKED>
    RL_TOOLS_INLINE T& get(Matrix<rl::environment_wrappers::complete::RowSpecification<T, TI, DIM, CHECKED>>& row,
                           std::common_type_t<TI> i, std::common_type_t<TI> j) {
        rl::environment_wrappers::complete::require_index<TI, DIM, CHECKED>(i, j);
        return row._data[index(row, i, j)];
    }
    template <typename T, typename TI, TI DIM, bool CHECKED, typename VALUE>
    RL_TOOLS_INLINE void set(Matrix<rl::environment_wrappers::complete::RowSpecification<T, TI, DIM, CHECKED>>& row,
                             std::common_type_t<TI> i, std::common_type_t<TI> j, VALUE value) {
        rl::environment_wrappers::complete::require_index<TI, DIM, CHECKED>(i, j);
        row._data[index(row, i, j)] = static_cast<T>(value);
    }
}

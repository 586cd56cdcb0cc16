#pragma once
// The samples of a batch in their panels, and what all parts of a gradient step compute alike.

#include <cmath>

#include <rl_tools/rl/algorithms/sb3_sac/sb3_sac.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    // Samples of panel `p`; the lanes behind them are padding.
    template <typename SPEC>
    constexpr std::size_t n_samples(std::size_t p) {
        const std::size_t rest = SPEC::BATCH_SIZE - p * SPEC::PANEL_LANES;
        return rest < SPEC::PANEL_LANES ? rest : SPEC::PANEL_LANES;
    }

    // alpha = exp(log_alpha), or the fixed one.
    template <typename SPEC>
    typename SPEC::T entropy_coefficient(const Networks<SPEC>& networks, const HyperParameters& parameters) {
        using T = typename SPEC::T;
        const T* log_value = networks.log_entropy_coefficient.value;
        return log_value ? std::exp(*log_value) : static_cast<T>(parameters.entropy_coefficient);
    }

    template <std::size_t N, typename T>
    void copy(const T* source, T* target) {
        for (std::size_t i = 0; i < N; i++) {
            target[i] = source[i];
        }
    }

    // The mean over the batch of `value(p)[lane]`, added in a fixed order.
    template <typename SPEC, typename VALUE>
    double batch_mean(VALUE value) {
        double sum = 0;
        for (std::size_t p = 0; p < SPEC::N_PANELS; p++) {
            for (std::size_t lane = 0; lane < n_samples<SPEC>(p); lane++) {
                sum += static_cast<double>(value(p)[lane]);
            }
        }
        return sum / static_cast<double>(SPEC::BATCH_SIZE);
    }

    // Which of two critics' values is the smaller. NaN wins, as in torch.
    template <typename T>
    bool is_smaller(T value, T smallest) {
        return value < smallest || value != value;
    }

    // Adds NaN to the sums [PANEL_LANES] of the lanes where a number of `rows` [N_ROWS][PANEL_LANES] is not finite, and
    // 0 to the others.
    template <std::size_t N_ROWS, std::size_t LANES, typename T>
    void add_zero_times(const T* rows, T* sums) {
        for (std::size_t row = 0; row < N_ROWS; row++) {
            for (std::size_t lane = 0; lane < LANES; lane++) {
                sums[lane] += T(0) * rows[row * LANES + lane];
            }
        }
    }

    // Whether all samples of panel `p` have zero sums [PANEL_LANES].
    template <typename SPEC>
    bool are_zero(const typename SPEC::T* sums, std::size_t p) {
        typename SPEC::T sum = 0;
        for (std::size_t lane = 0; lane < n_samples<SPEC>(p); lane++) {
            sum += sums[lane];
        }
        return sum == 0;
    }
}

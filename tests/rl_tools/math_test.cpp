// The errors of rl_tools/utils/simd/math.h in units in the last place, against <cmath> in long double, and what it does
// at the edges of its formats. Exits with 1 when an error is larger than documented.
//
// Where long double is no wider than double, as on Apple's ARM, the reference for double errs by some units, too;
// -DREFERENCE_TYPE=double shows elsewhere what is seen there.

#include <array>
#include <cstdio>
#include <limits>
#include <random>

#include <rl_tools/utils/simd/math.h>

#ifndef REFERENCE_TYPE
#define REFERENCE_TYPE long double
#endif

namespace simd = rl_tools::utils::simd::math;

namespace {
    using L = REFERENCE_TYPE;

    bool failed = false;

    void require(bool condition, const char* what) {
        if (!condition) {
            std::printf("failed: %s\n", what);
            failed = true;
        }
    }

    // The distance of neighbouring numbers around `x`.
    template <typename T>
    L unit(L x) {
        using LIMITS = std::numeric_limits<T>;
        const L magnitude = std::fabs(x);
        if (magnitude <= LIMITS::min()) {
            return LIMITS::denorm_min();
        }
        return std::ldexp(L(1), std::ilogb(magnitude) + 1 - LIMITS::digits);
    }

    // Compares over arguments from `low` to `high`, half of them spread evenly, half evenly in magnitude down to 2^-40.
    template <typename T, typename FUNCTION, typename REFERENCE>
    void compare(const char* name, FUNCTION function, REFERENCE reference, T low, T high, L tolerance,
                 L smallest_unit = 0) {
        std::mt19937_64 random(1);
        std::uniform_real_distribution<double> uniform(static_cast<double>(low), static_cast<double>(high));
        std::uniform_real_distribution<double> exponent(-40, 0);
        // Its own roundings: those of the last operation and of the argument.
        if (std::numeric_limits<L>::digits == std::numeric_limits<T>::digits) {
            tolerance += 2;
        }
        L worst = 0;
        T worst_argument = 0;
        for (int i = 0; i < 200000; i++) {
            double argument = uniform(random);
            if (i % 2 && (low <= 0 || high <= 1)) {
                argument *= std::exp2(exponent(random));
            }
            const T x = static_cast<T>(argument) < low ? low : static_cast<T>(argument);
            const L expected = reference(static_cast<L>(x));
            const L unit_here = unit<T>(expected) < smallest_unit ? smallest_unit : unit<T>(expected);
            const L error = std::fabs(static_cast<L>(function(x)) - expected) / unit_here;
            if (!(error <= worst)) {
                worst = error;
                worst_argument = x;
            }
        }
        if (!(worst <= tolerance)) {
            std::printf("%s of %zu bytes: %.3f units at %.17g\n", name, sizeof(T), static_cast<double>(worst),
                        static_cast<double>(worst_argument));
            failed = true;
        }
    }

    template <typename T>
    void test() {
        using LIMITS = std::numeric_limits<T>;
        const T infinity = LIMITS::infinity(), nan = LIMITS::quiet_NaN();
        const T lowest = sizeof(T) == sizeof(float) ? T(-103) : T(-744);
        const T highest = sizeof(T) == sizeof(float) ? T(88.7) : T(709.7);

        compare<T>("exp", simd::exp<T>, [](L x) { return std::exp(x); }, lowest, highest, 2);
        compare<T>("exp", simd::exp<T>, [](L x) { return std::exp(x); }, -1, 1, 2);
        compare<T>("expm1", simd::expm1<T>, [](L x) { return std::expm1(x); }, lowest, highest, 3);
        compare<T>("expm1", simd::expm1<T>, [](L x) { return std::expm1(x); }, -2, 2, 3);
        compare<T>("log", simd::log<T>, [](L x) { return std::log(x); }, LIMITS::min(), 4, 3);
        compare<T>("log", simd::log<T>, [](L x) { return std::log(x); }, T(0.9), T(1.1), 3);
        compare<T>("log", simd::log<T>, [](L x) { return std::log(x); }, 1, LIMITS::max(), 3);
        compare<T>("log1p", simd::log1p_of_fraction<T>, [](L x) { return std::log1p(x); }, 0, 1, 3);
        compare<T>("tanh", simd::tanh<T>, [](L x) { return std::tanh(x); }, -1, 1, 3);
        compare<T>("tanh", simd::tanh<T>, [](L x) { return std::tanh(x); }, -25, 25, 3);
        compare<T>("sigmoid", simd::sigmoid<T>, [](L x) { return 1 / (1 + std::exp(-x)); }, -80, 80, 3);
        compare<T>(
            "cumulative", [](T x) { return simd::normal(x).cumulative; },
            [](L x) { return std::erfc(-x / std::sqrt(L(2))) / 2; }, -15, 15, 3, LIMITS::epsilon() / 2);
        compare<T>(
            "density", [](T x) { return simd::normal(x).density; },
            [](L x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::acos(L(-1))); }, -15, 15, 1,
            LIMITS::epsilon() / 2);
        const L two_pi = 2 * std::acos(L(-1));
        // Where the reference has no more digits, it errs by the rounding of its argument, too, up to 2 pi.
        const L turns_tolerance = std::numeric_limits<L>::digits == std::numeric_limits<T>::digits ? 3 + 7 : 3;
        // Their zeros apart from x = 0 are no numbers of the format, where few units of x are many of the result.
        compare<T>(
            "cos of turns", [](T x) { return simd::direction_of_turns(x).cos; },
            [two_pi](L x) { return std::cos(two_pi * x); }, 0, 1, turns_tolerance, LIMITS::epsilon() / 2);
        compare<T>(
            "sin of turns", [](T x) { return simd::direction_of_turns(x).sin; },
            [two_pi](L x) { return std::sin(two_pi * x); }, 0, 1, turns_tolerance, LIMITS::epsilon() / 2);
        compare<T>(
            "sin of turns", [](T x) { return simd::direction_of_turns(x).sin; },
            [two_pi](L x) { return std::sin(two_pi * x); }, 0, T(0.125), 3);

        require(simd::exp(-infinity) == 0 && simd::exp(lowest * 2) == 0, "exp falls to zero");
        require(simd::exp(infinity) == infinity && simd::exp(highest + 1) == infinity, "exp overflows to infinity");
        require(simd::exp(T(0)) == 1, "exp(0) = 1");
        require(simd::expm1(-infinity) == -1 && simd::expm1(lowest) == -1, "expm1 falls to -1");
        require(simd::expm1(infinity) == infinity && simd::expm1(T(0)) == 0, "expm1 at infinity and zero");
        require(simd::log(T(1)) == 0 && simd::log1p_of_fraction(T(0)) == 0, "log(1) = 0");
        require(simd::tanh(infinity) == 1 && simd::tanh(-infinity) == -1, "tanh saturates");
        require(simd::tanh(T(0)) == 0 && std::signbit(simd::tanh(-T(0))), "tanh keeps the sign of zero");
        for (const auto& [turns, cos, sin] :
             {std::array<T, 3>{0, 1, 0}, {T(0.25), 0, 1}, {T(0.5), -1, 0}, {T(0.75), 0, -1}, {1, 1, 0}}) {
            const auto direction = simd::direction_of_turns(turns);
            require(direction.cos == cos && direction.sin == sin, "quarters of a turn are exact");
        }
        require(simd::sigmoid(infinity) == 1 && simd::sigmoid(-infinity) == 0, "sigmoid saturates");
        require(simd::normal(infinity).cumulative == 1 && simd::normal(-infinity).cumulative == 0, "normal saturates");
        require(simd::normal(infinity).density == 0 && simd::normal(LIMITS::max()).density == 0, "density vanishes");
        for (const T result : {simd::exp(nan), simd::expm1(nan), simd::log(nan), simd::log1p_of_fraction(nan),
                               simd::tanh(nan), simd::sigmoid(nan), simd::normal(nan).cumulative}) {
            require(result != result, "NaN stays NaN");
        }
    }
}

int main() {
    test<float>();
    test<double>();
    if (failed) {
        return 1;
    }
    std::puts("ok");
    return 0;
}

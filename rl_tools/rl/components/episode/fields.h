#pragma once
// What an author's `visit_parameters`, `visit_state` and `visit_info` show by name: numbers, and arrays of numbers.
// Each of these takes a visitor and calls it with a name and a value, member by member; the visitors are here.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace rl_tools::rl::components::episode {
    enum class Shown : std::int32_t { PARAMETERS, STATE, INFO };
    constexpr std::size_t N_SHOWN = 3;

    struct Field {
        std::string name;
        std::int64_t length;  // of an array; 0: a number
    };

    // Elements, in the order of the fields, that are to be other than drawn.
    struct Fixed {
        std::vector<double> values;
        std::vector<std::uint8_t> is_fixed;  // empty: none
    };

    template <typename VALUE, typename CALL>
    void for_each_element(VALUE& value, const CALL& call) {
        if constexpr (std::is_array_v<VALUE>) {
            for (auto& element : value) {
                for_each_element(element, call);
            }
        } else {
            static_assert(std::is_arithmetic_v<VALUE>,
                          "visit_parameters, visit_state and visit_info can show numbers "
                          "and arrays of numbers; show the members of a struct one by "
                          "one");
            call(value);
        }
    }

    // Collects the fields.
    struct DescribeFields {
        std::vector<Field>& fields;

        template <typename VALUE>
        void operator()(const char* name, VALUE&& value) {
            std::int64_t n = 0;
            for_each_element(value, [&](auto&) { n++; });
            fields.push_back({name, std::is_array_v<std::remove_reference_t<VALUE>> ? n : 0});
        }
    };

    inline std::size_t n_elements(const std::vector<Field>& fields) {
        std::size_t n = 0;
        for (const Field& field : fields) {
            n += field.length == 0 ? 1 : static_cast<std::size_t>(field.length);
        }
        return n;
    }

    // Both for a visitor that meets one element more, and afterwards, for all.
    inline void require_elements(bool fits, std::size_t expected) {
        if (!fits) {
            throw std::logic_error("it shows other fields than at first, when they had " + std::to_string(expected) +
                                   " elements; show the same ones each time");
        }
    }

    // Copies all elements, as numbers of double precision.
    struct ReadFields {
        double* values;
        std::size_t n;
        std::size_t i = 0;

        template <typename VALUE>
        void operator()(const char*, VALUE&& value) {
            for_each_element(value, [&](auto& element) {
                require_elements(i < n, n);
                values[i++] = static_cast<double>(element);
            });
        }
    };

    // Sets those elements that are fixed.
    struct WriteFields {
        const Fixed& fixed;
        std::size_t i = 0;

        template <typename VALUE>
        void operator()(const char* name, VALUE&& value) {
            static_assert(std::is_lvalue_reference_v<VALUE&&> && !std::is_const_v<std::remove_reference_t<VALUE>>,
                          "visit_parameters and visit_state have to show the members themselves, so that they can be "
                          "set; take the struct as a reference that is not const");
            for_each_element(value, [&](auto& element) {
                using ELEMENT = std::remove_reference_t<decltype(element)>;
                require_elements(i < fixed.values.size(), fixed.values.size());
                if (fixed.is_fixed[i]) {
                    element = converted<ELEMENT>(name, fixed.values[i]);
                }
                i++;
            });
        }

      private:
        template <typename ELEMENT>
        static ELEMENT converted(const char* name, double value) {
            if constexpr (std::is_integral_v<ELEMENT>) {
                // The largest value itself may be rounded up as a double, which a conversion would not survive.
                const double lowest = static_cast<double>(std::numeric_limits<ELEMENT>::lowest());
                const double beyond = std::ldexp(1.0, std::numeric_limits<ELEMENT>::digits);
                if (!(value >= lowest && value < beyond && std::floor(value) == value)) {
                    throw std::domain_error(std::string(name) + " is an integer, which can't be " +
                                            std::to_string(value));
                }
            }
            return static_cast<ELEMENT>(value);
        }
    };
}

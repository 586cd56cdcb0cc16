// Evaluates a compiled checkpoint, for the sanitizers: memory that is read or written out of bounds, undefined
// arithmetic. Exits with 1 when an output is not finite.

#include <cstdio>
#include <vector>

#include <rl_tools/interface/checkpoint/checkpoint.cpp>

int main() {
    Metadata metadata;
    checkpoint_metadata(&metadata);
    // In allocations of exactly their sizes, so that the sanitizer sees the edges.
    std::vector<T> observation(static_cast<std::size_t>(metadata.observation_dim));
    std::vector<T> output(static_cast<std::size_t>(metadata.output_dim));
    for (int i = 0; i < 20; i++) {
        for (std::size_t j = 0; j < observation.size(); j++) {
            observation[j] = static_cast<T>(i) - T(2) * static_cast<T>(j);
        }
        checkpoint_evaluate(observation.data(), output.data());
        for (const T value : output) {
            if (!std::isfinite(value)) {
                return 1;
            }
        }
    }
    std::puts("ok");
}

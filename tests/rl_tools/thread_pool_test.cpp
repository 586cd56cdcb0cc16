// Many short jobs, so that workers meet the end of one job and the start of the next at every moment, and
// pauses long enough for them to fall asleep. Run under ThreadSanitizer.

#include <chrono>
#include <cstdio>
#include <numeric>
#include <thread>
#include <vector>

#include <rl_tools/utils/thread_pool/thread_pool.h>

int main() {
    for (unsigned n_threads : {1u, 2u, 4u}) {
        rl_tools::utils::ThreadPool pool(n_threads);
        for (std::uint32_t job = 0; job < 3000; job++) {
            const std::uint32_t n_tasks = job % 7;
            const unsigned n_used = 1 + job / 500 % n_threads;
            pool.use(n_used);
            std::vector<unsigned> calls(n_tasks, 0), used(n_threads, 0);
            pool.parallel_for(n_tasks, [&](std::uint32_t index, unsigned thread) {
                calls[index]++;
                used[thread]++;
            });
            for (unsigned n_calls : calls) {
                if (n_calls != 1) {
                    std::printf("a task was called %u times\n", n_calls);
                    return 1;
                }
            }
            if (std::accumulate(used.begin(), used.begin() + n_used, 0u) != n_tasks) {
                std::puts("a thread counted wrong");
                return 1;
            }
            if (job % 1000 == 0) {
                std::this_thread::sleep_for(std::chrono::milliseconds(50));
            }
        }
    }
    std::puts("ok");
    return 0;
}

// Many short jobs, so that workers meet the end of one job and the start of the next at every moment, and
// pauses long enough for them to fall asleep. Run under ThreadSanitizer.
//
// With the argument `limited`, as a user who may start fewer threads than the pool is asked for.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <rl_tools/utils/thread_pool/thread_pool.h>

using Pool = rl_tools::utils::ThreadPool;

#ifdef _WIN32
bool limit_threads() {
    return false;
}
#else
// Root has no limit on processes, so it becomes a user without any; the sanitizer has a thread of its own, too.
bool limit_threads() {
    constexpr unsigned UNUSED_USER = 54321;
    if (geteuid() == 0 && (setgid(UNUSED_USER) != 0 || setuid(UNUSED_USER) != 0)) {
        return false;
    }
    const rlimit few{4, 4};
    return setrlimit(RLIMIT_NPROC, &few) == 0;
}
#endif

bool run_jobs(Pool& pool) {
    const unsigned n_threads = pool.size();
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
                return false;
            }
        }
        if (std::accumulate(used.begin(), used.begin() + n_used, 0u) != n_tasks) {
            std::puts("a thread counted wrong");
            return false;
        }
        if (job % 1000 == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        } else if (job % 10 == 0) {  // announced pauses, short ones and some after which workers do not stay awake
            pool.pause();
            std::this_thread::sleep_for(std::chrono::microseconds(job % 100 == 0 ? 1000 : 10));
        }
    }
    return true;
}

// A batch of 17 million samples has more panels than one job of the pool can count.
bool run_many_tasks(Pool& pool) {
    const std::uint32_t n_tasks = (1 << 20) + 62500;
    pool.use(pool.size());
    std::vector<unsigned char> calls(n_tasks, 0);
    pool.parallel_for(n_tasks, [&](std::uint32_t index, unsigned) { calls[index]++; });
    for (unsigned n_calls : calls) {
        if (n_calls != 1) {
            std::printf("one of many tasks was called %u times\n", n_calls);
            return false;
        }
    }
    return true;
}

int main(int argc, char** argv) {
    const bool is_limited = argc > 1 && std::strcmp(argv[1], "limited") == 0;
    if (is_limited) {
        if (!limit_threads()) {
            std::puts("could not limit the number of threads");
            return 1;
        }
        Pool pool(8);
        if (pool.size() < 2 || pool.size() >= 8) {
            std::printf("%u of 8 threads were started, expected some but not all\n", pool.size());
            return 1;
        }
        if (!run_jobs(pool)) {
            return 1;
        }
    } else {
        for (unsigned n_threads : {1u, 2u, 4u}) {
            Pool pool(n_threads);
            if (pool.size() != n_threads || !run_jobs(pool) || !run_many_tasks(pool)) {
                return 1;
            }
        }
    }
    std::puts("ok");
    return 0;
}

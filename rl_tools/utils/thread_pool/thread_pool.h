#pragma once
// A few threads that share the tasks of one phase after another.
//
// Each thread has the same share of the tasks in each job with as many of them, because the cores of a processor may
// lie too far apart to pass each other what they have computed or are going to update. Tasks are handed out one at a
// time all the same, and whoever is done takes those of others: a static split stalls whenever another process keeps a
// core busy. The caller works too and waits only for tasks that a worker has already begun, so a pool whose
// workers are gone (in a forked child) or starved still finishes.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <rl_tools/devices/tuning.h>

namespace rl_tools::utils {
    class ThreadPool {
      public:
        // A task of the current job; `thread` is below the number of threads and no other task runs under it
        // meanwhile.
        using Task = void (*)(void* context, std::uint32_t index, unsigned thread);

        // Asks for `n_threads` threads, the calling one among them, and goes on with fewer where the operating system
        // does not start as many (a limit on processes or memory): `size()` tells.
        explicit ThreadPool(unsigned n_threads) {
            // Before any thread runs, as an exception past that point would leave threads without a pool.
            workers.reserve(n_threads > 1 ? n_threads - 1 : 0);
            shares = std::vector<Share>(std::max(n_threads, 1u));
            try {
                for (unsigned worker = 1; worker < n_threads; worker++) {
                    workers.emplace_back([this, worker] { work(worker); });
                }
            } catch (const std::exception&) {
            }
            use(size());
        }
        ThreadPool(const ThreadPool&) = delete;
        ThreadPool& operator=(const ThreadPool&) = delete;
        ~ThreadPool() {
            {
                std::lock_guard<std::mutex> lock(mutex);
                stopping.store(true);
            }
            employ.notify_all();
            wake.notify_all();
            for (auto& worker : workers) {
                worker.join();
            }
        }

        // Threads that there are, the calling one among them.
        unsigned size() const { return static_cast<unsigned>(workers.size()) + 1; }

        // From now on only the first `n` threads work, the calling one among them, or all if there are fewer. Not to be
        // called during a job.
        void use(unsigned n) {
            n = std::min(n, size());
            if (n == n_used.load()) {
                return;
            }
            {
                std::lock_guard<std::mutex> lock(mutex);
                n_used.store(n);
            }
            employ.notify_all();
            wake.notify_all();
        }

        // Calls `function(index, thread)` for each index below `n_tasks`, in any order and on any thread, and
        // returns when all calls have returned.
        template <typename FUNCTION>
        void parallel_for(std::uint32_t n_tasks, FUNCTION&& function) {
            if (n_used.load(std::memory_order_relaxed) <= 1 || n_tasks <= 1) {
                for (std::uint32_t index = 0; index < n_tasks; index++) {
                    function(index, 0);
                }
                return;
            }
            for (std::uint32_t first = 0; first < n_tasks;) {
                const std::uint32_t n = std::min(n_tasks - first, LARGEST_JOB);
                run_job(n,
                        [&function, first](std::uint32_t index, unsigned thread) { function(first + index, thread); });
                first += n;
            }
        }

        // The caller has no jobs for a while, as between two updates. If its last pause was short, workers stay awake
        // for the next job; after a long one they soon sleep, and leave their cores to a simulator, say.
        void pause() {
            pause_began = Clock::now();
            is_pausing = true;
            is_job_far.store(last_pause > devices::tuning::LONGEST_WAIT_AWAKE, std::memory_order_relaxed);
        }

      private:
        using Clock = std::chrono::steady_clock;

        // Of a thread that waits awake, from its first look on.
        class Patience {
          public:
            // Whether to look once more; takes a moment.
            bool lasts(Clock::duration longest) {
                relax();
                if (!is_over && n_looks++ % LOOKS_PER_TIME == 0) {
                    const auto now = Clock::now();
                    began = n_looks == 1 ? now : began;
                    is_over = now - began > longest;
                }
                return !is_over;
            }

          private:
            static constexpr unsigned LOOKS_PER_TIME = 32;
            unsigned n_looks = 0;
            Clock::time_point began;
            bool is_over = false;
        };

        // Tasks of a job: those from `next` to `end` are left. Read and written by holders of a ticket of this job.
        struct alignas(64) Share {
            std::atomic<std::uint32_t> next{0};
            std::uint32_t end = 0;
        };

        // One word names the job and counts the tickets that were handed out, one for each task, so that a worker which
        // comes late can never take a task of one job with the function of another:
        // [job: 24 bits][number of tasks: 20][next ticket: 20].
        static constexpr unsigned INDEX_BITS = 20;
        static constexpr std::uint64_t INDEX_MASK = (std::uint64_t{1} << INDEX_BITS) - 1;
        // Workers that find no task left count on, once each, so that a job must stay well below what its bits hold.
        static constexpr std::uint32_t LARGEST_JOB = std::uint32_t{1} << (INDEX_BITS - 1);

        static std::uint64_t next_ticket(std::uint64_t ticket) { return ticket & INDEX_MASK; }
        static std::uint64_t n_tasks_of(std::uint64_t ticket) { return (ticket >> INDEX_BITS) & INDEX_MASK; }
        static bool has_task(std::uint64_t ticket) { return next_ticket(ticket) < n_tasks_of(ticket); }

        static void relax() {
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
            asm volatile("yield");
#endif
        }

        template <typename FUNCTION>
        void run_job(std::uint32_t n_tasks, FUNCTION function) {
            run(
                n_tasks,
                [](void* context, std::uint32_t index, unsigned thread) {
                    (*static_cast<FUNCTION*>(context))(index, thread);
                },
                &function);
        }

        void run(std::uint32_t n_tasks, Task new_task, void* new_context) {
            if (is_pausing) {
                is_pausing = false;
                const auto lasted = Clock::now() - pause_began;
                if (lasted > devices::tuning::SHORTEST_WAIT_AWAKE) {  // else the same update goes on
                    last_pause = lasted;
                }
                is_job_far.store(false, std::memory_order_relaxed);
            }
            n_shares = n_used.load(std::memory_order_relaxed);
            for (unsigned i = 0; i < n_shares; i++) {
                shares[i].next.store(first_of_share(n_tasks, i), std::memory_order_relaxed);
                shares[i].end = first_of_share(n_tasks, i + 1);
            }
            task.store(new_task, std::memory_order_relaxed);
            context.store(new_context, std::memory_order_relaxed);
            n_done.store(0, std::memory_order_relaxed);
            job++;
            // Sequentially consistent with `n_sleeping`: either the worker sees the new ticket before it
            // sleeps, or we see that it sleeps and wake it.
            ticket.store((job << (2 * INDEX_BITS)) | (std::uint64_t{n_tasks} << INDEX_BITS));
            if (n_sleeping.load() > 0) {
                std::lock_guard<std::mutex> lock(mutex);
                wake.notify_all();
            }
            take_tasks(0);
            for (Patience patience; n_done.load(std::memory_order_acquire) != n_tasks;) {
                if (!patience.lasts(devices::tuning::LONGEST_WAIT_AWAKE)) {
                    std::this_thread::yield();
                }
            }
        }

        std::uint32_t first_of_share(std::uint32_t n_tasks, unsigned share) const {
            return static_cast<std::uint32_t>(std::uint64_t{n_tasks} * share / n_shares);
        }

        // The next task of the thread's own share, or of the shares behind it where there is none left. Who holds a
        // ticket finds one: there are no more tickets than tasks.
        std::uint32_t choose(unsigned thread) {
            for (unsigned i = thread;; i++) {
                Share& share = shares[i % n_shares];
                if (share.next.load(std::memory_order_relaxed) < share.end) {
                    const std::uint32_t index = share.next.fetch_add(1, std::memory_order_relaxed);
                    if (index < share.end) {
                        return index;
                    }
                }
            }
        }

        void take_tasks(unsigned thread) {
            while (has_task(ticket.load(std::memory_order_relaxed))) {
                // The ticket that was taken may belong to a newer job than the one looked at; its own fields
                // count.
                const std::uint64_t taken = ticket.fetch_add(1, std::memory_order_acq_rel);
                if (!has_task(taken)) {
                    return;
                }
                // A job can't end, and so task and context can't change, before this task has been counted.
                task.load(std::memory_order_relaxed)(context.load(std::memory_order_relaxed), choose(thread), thread);
                n_done.fetch_add(1, std::memory_order_release);
            }
        }

        void work(unsigned thread) {
            Patience patience;
            const auto is_employed = [this, thread] { return thread < n_used.load(); };
            while (!stopping.load(std::memory_order_relaxed)) {
                // In this order: with the job came the number of threads for it.
                if (has_task(ticket.load()) && is_employed()) {
                    take_tasks(thread);
                    patience = {};
                } else if (!patience.lasts(is_job_far.load(std::memory_order_relaxed)
                                               ? devices::tuning::SHORTEST_WAIT_AWAKE
                                               : devices::tuning::LONGEST_WAIT_AWAKE)) {
                    std::unique_lock<std::mutex> lock(mutex);
                    // Apart, so that no job has to wake those that it has no use for.
                    employ.wait(lock, [&] { return stopping.load() || is_employed(); });
                    n_sleeping.fetch_add(1);
                    wake.wait(lock, [&] { return stopping.load() || !is_employed() || has_task(ticket.load()); });
                    n_sleeping.fetch_sub(1);
                    patience = {};
                }
            }
        }

        std::atomic<unsigned> n_used{1};
        std::atomic<Task> task{nullptr};
        std::atomic<void*> context{nullptr};
        std::uint64_t job = 0;
        // Of the calling thread.
        bool is_pausing = false;
        Clock::time_point pause_began;
        Clock::duration last_pause{0};
        std::atomic<bool> is_job_far{false};
        alignas(64) std::atomic<std::uint64_t> ticket{0};
        alignas(64) std::atomic<std::uint32_t> n_done{0};
        alignas(64) std::atomic<unsigned> n_sleeping{0};
        std::atomic<bool> stopping{false};
        std::mutex mutex;
        std::condition_variable employ, wake;
        std::vector<Share> shares;  // of the threads that work, `n_shares` of them
        unsigned n_shares = 1;
        std::vector<std::thread> workers;
    };
}

#pragma once
// One call that runs beside its caller.

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace rl_tools::utils {
    class Background {
      public:
        Background() = default;
        Background(const Background&) = delete;
        Background& operator=(const Background&) = delete;
        ~Background() {
            {
                std::lock_guard<std::mutex> lock(mutex);
                stopping = true;
            }
            wake.notify_one();
            if (thread.joinable()) {
                thread.join();
            }
        }

        // Runs `new_call` on a thread of its own, once the call before it has returned; on the calling thread, before
        // this returns, where the operating system starts no other.
        void start(std::function<void()> new_call) {
            std::unique_lock<std::mutex> lock(mutex);
            returned.wait(lock, [this] { return !call; });
            try {
                if (!thread.joinable()) {
                    thread = std::thread([this] { work(); });
                }
            } catch (const std::exception&) {  // a limit on processes, or on memory
                lock.unlock();
                new_call();
                return;
            }
            call = std::move(new_call);
            lock.unlock();
            wake.notify_one();
        }

        // Returns when no call runs.
        void wait() {
            std::unique_lock<std::mutex> lock(mutex);
            returned.wait(lock, [this] { return !call; });
        }

      private:
        void work() {
            std::unique_lock<std::mutex> lock(mutex);
            while (true) {
                wake.wait(lock, [this] { return call || stopping; });
                if (!call) {
                    return;
                }
                lock.unlock();
                call();  // which only this thread replaces until it has returned
                lock.lock();
                call = nullptr;
                returned.notify_all();
            }
        }

        std::mutex mutex;
        std::condition_variable wake, returned;
        std::function<void()> call;
        bool stopping = false;
        std::thread thread;  // there from the first call on
    };
}

// No library: the pool of threads that people write themselves, a queue of std::function under a mutex and a condition
// variable, whose results go to a loop of ours.
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "result_loop.hpp"
#include "scenario.hpp"

namespace {

using peers::Alarm;

class Pool {
 public:
  explicit Pool(std::size_t threads) {
    for (std::size_t thread = 0; thread < threads; ++thread) threads_.emplace_back([this] { work(); });
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
  }

  void submit(std::function<void()> job) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push(std::move(job));
    }
    changed_.notify_one();
  }

 private:
  void work() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop();
      lock.unlock();
      job();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::function<void()>> jobs_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

class Condvar {
 public:
  static constexpr const char* kName = "condvar";
  static std::string version() { return "libstdc++ " + std::to_string(_GLIBCXX_RELEASE); }

  Condvar(peers::Caller& caller, const peers::Scenario& scenario) : loop_(caller, scenario) {}

  void call(std::size_t slot, std::uint64_t argument) {
    pool_.submit([this, slot, argument] { loop_.post(slot, peers::nothing(argument)); });
  }

  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) { loop_.set_alarm(alarm, delay); }
  void run() { loop_.run(); }
  void stop() { loop_.stop(); }

 private:
  peers::ResultLoop loop_;
  Pool pool_{peers::kWorkers};
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<Condvar>(count, arguments); }

// The same as 07_process_backend_cpu_work without a coroutine: each verb has a twin, verb_async, that takes a callback.
#include <leasepool/leasepool.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <utility>

// How many primes there are below `limit`, counted slowly.
std::uint64_t count_primes(std::uint64_t limit) {
  std::uint64_t count = 0;
  for (std::uint64_t candidate = 2; candidate < limit; ++candidate) {
    bool prime = true;
    for (std::uint64_t divisor = 2; prime && divisor * divisor <= candidate; ++divisor) {
      prime = candidate % divisor != 0;
    }
    if (prime) ++count;
  }
  return count;
}
LEASEPOOL_REGISTER(count_primes);

// One callback leads to the next; what they share are members. All of them run on the loop's thread.
class PrimeCounter {
 public:
  explicit PrimeCounter(leasepool::Loop& loop)
      : loop_(loop),
        manager_(loop, {.backend = leasepool::ExecutorBackend::process, .max_pools = 1, .workers_per_pool = 4}) {}

  void start() {
    manager_.start_async([this](const leasepool::Result<void>& result) {
      if (result) {
        acquire();
      } else {
        give_up(result.error());
      }
    });
  }

 private:
  void acquire() {
    manager_.acquire_async({.owner = "cpu-primes"}, [this](leasepool::Result<leasepool::ExecutorLease> result) {
      if (result) {
        count(std::move(*result));
      } else {
        give_up(result.error());
      }
    });
  }

  void count(leasepool::ExecutorLease lease) {
    lease_ = std::move(lease);
    for (std::size_t i = 0; i < kLimits.size(); ++i) {
      lease_.run_async(count_primes, kLimits[i], [this, i](const leasepool::Result<std::uint64_t>& result) {
        if (result) {
          counted(i, *result);
        } else {
          give_up(result.error());
        }
      });
    }
  }

  void counted(std::size_t i, std::uint64_t primes) {
    counts_[i] = primes;
    if (++done_ < kLimits.size()) return;
    std::cout << counts_[0] << ' ' << counts_[1] << ' ' << counts_[2] << ' ' << counts_[3] << '\n';
    lease_.release();
    manager_.stop_async([this](const leasepool::Result<void>&) { loop_.stop(); });
  }

  void give_up(const leasepool::Error& error) {
    std::cerr << error.message() << '\n';
    loop_.stop();
  }

  static constexpr std::array<std::uint64_t, 4> kLimits = {20'000, 21'000, 22'000, 23'000};

  leasepool::Loop& loop_;
  leasepool::LeasedExecutorManager manager_;
  leasepool::ExecutorLease lease_;
  std::array<std::uint64_t, 4> counts_{};
  std::size_t done_ = 0;
};

int main() {
  leasepool::init();
  leasepool::Loop loop;
  PrimeCounter counter(loop);
  counter.start();
  loop.run();  // until loop.stop()
}

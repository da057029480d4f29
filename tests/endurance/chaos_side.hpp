// ChaosSide: a manager and a grinder of one backend for a fraction of a second, with users that do everything to them
// that may be done, in random order.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <leasepool/leasepool.hpp>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "outcomes.hpp"
#include "support/gate.hpp"

namespace endurance {

class ChaosSide {
 public:
  ChaosSide(leasepool::Loop& loop, leasepool::ExecutorBackend backend, Outcomes& outcomes, std::uint64_t seed);
  ChaosSide(const ChaosSide&) = delete;
  ChaosSide& operator=(const ChaosSide&) = delete;
  ~ChaosSide() = default;

  // Ends when everything is made, used and unmade, and every call has been answered.
  leasepool::Task<> live();

 private:
  // Calls whose callbacks have not been called.
  struct Open {
    std::size_t calls = 0;
    leasepool::test::Gate none;
  };

  [[nodiscard]] std::uint64_t random(std::uint64_t from, std::uint64_t to);
  [[nodiscard]] bool one_in(std::uint64_t n) { return random(1, n) == 1; }
  [[nodiscard]] std::chrono::microseconds random_time(std::uint64_t from, std::uint64_t to) {
    return std::chrono::microseconds(random(from, to));
  }
  [[nodiscard]] leasepool::ManagerOptions manager_options();
  [[nodiscard]] leasepool::GrinderOptions grinder_options();
  [[nodiscard]] leasepool::AcquireOptions acquire_options();

  leasepool::Task<> use_leases();
  leasepool::Task<> use_lease(leasepool::ExecutorLease& lease, Open& open, std::vector<leasepool::Timer>& timers);
  leasepool::Task<> grind();
  leasepool::Task<> take(leasepool::Pending<std::size_t>& item, std::size_t number);
  leasepool::Task<> conduct();
  leasepool::Task<> end();
  leasepool::Task<> restart();
  void start_producer();
  void produce();

  void call_at_random(const leasepool::LeaseCalls& calls, Circumstances circumstances, Open& open);
  template <class R, class F, class... A>
  void call(const leasepool::LeaseCalls& calls, const Circumstances& circumstances, Open& open, R expected, F function,
            A... arguments);
  void mark_once(const leasepool::LeaseCalls& calls, const Circumstances& circumstances, Open& open);
  std::size_t next_mark();
  void check_mark(std::size_t number, bool succeeded);
  static void ended(Open& open);

  leasepool::Loop& loop_;
  const leasepool::ExecutorBackend backend_;
  Outcomes& outcomes_;
  std::mt19937_64 random_;
  std::optional<leasepool::LeasedExecutorManager> manager_;
  std::optional<leasepool::WorkGrinder> grinder_;
  bool bounded_queue_ = false;
  bool over_ = false;
  std::jthread producer_;
  std::atomic<bool> producer_may_go_on_ = true;
  bool producer_ended_ = false;
  leasepool::test::Gate producer_gone_;
};

}  // namespace endurance

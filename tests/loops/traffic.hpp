// Traffic: 100,000 calls from a loop that another one drives, some at a time, and rests in between, in which nothing
// may run and after which the next outcome must still arrive.
#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "public/support.hpp"
#include "support/activity.hpp"
#include "support/eventually.hpp"
#include "support/sanitized.hpp"
#include "support/watchdog.hpp"

// Run on a worker while the program waits for it: what the program does meanwhile, once that has come to rest; nothing,
// if all is well. Its return then wakes a loop that sleeps.
std::string ran_at_rest(pid_t program);

class Traffic {
 public:
  static constexpr std::uint64_t kCalls = leasepool::test::kSanitized ? 10'000 : 100'000;
  // How many calls are in flight, for an equal share of them each, with a rest behind it.
  static constexpr std::array<std::uint64_t, 5> kAtOnce = {1, 2, 10, 50, 200};

  // Calls square(number) and says what came of it.
  using Call =
      std::function<void(const lp::ExecutorLease&, std::uint64_t, std::move_only_function<void(std::uint64_t)>)>;

  static void with_a_callback(const lp::ExecutorLease& lease, std::uint64_t number,
                              std::move_only_function<void(std::uint64_t)> squared) {
    lease.run_async(square, number, [squared = std::move(squared)](lp::Result<std::uint64_t> result) mutable {
      squared(lp::value_or_raise(std::move(result)));
    });
  }

  // `ended` is called behind all of it, from the loop.
  Traffic(lp::Loop& loop, ExecutorBackend backend, std::function<void()> ended, Call call = with_a_callback)
      : manager_(loop, options_for(backend)), ended_(std::move(ended)), call_(std::move(call)) {
    manager_.start_async([this](lp::Result<void> result) {
      lp::value_or_raise(std::move(result));
      manager_.acquire_async({.owner = "traffic"}, [this](lp::Result<lp::ExecutorLease> lease) {
        lease_ = lp::value_or_raise(std::move(lease));
        begin_phase();
      });
    });
  }
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;
  ~Traffic() {
    CHECK(answers_ == kCalls);
    CHECK(wrong_ == 0);
    CHECK(rests_ == kAtOnce.size());
  }

 private:
  static constexpr std::uint64_t kCallsOfPhase = kCalls / kAtOnce.size();

  void begin_phase() {
    for (std::uint64_t i = 0; i < kAtOnce.at(rests_); ++i) call();
  }
  void call() {
    const std::uint64_t number = begun_++;
    call_(lease_, number, [this, number](std::uint64_t squared) {
      if (squared != number * number) ++wrong_;
      ++answers_;
      const std::uint64_t end_of_phase = (rests_ + 1) * kCallsOfPhase;
      if (begun_ < end_of_phase) return call();
      if (answers_ == end_of_phase) rest();
    });
  }
  void rest() {
    lease_.run_async(ran_at_rest, ::getpid(), [this](lp::Result<std::string> result) {
      CHECK(lp::value_or_raise(std::move(result)) == "");
      if (++rests_ < kAtOnce.size()) return begin_phase();
      lease_.release();
      manager_.stop_async([this](lp::Result<void>) { ended_(); });
    });
  }

  lp::LeasedExecutorManager manager_;
  lp::ExecutorLease lease_;
  std::function<void()> ended_;
  Call call_;
  std::uint64_t begun_ = 0;
  std::uint64_t answers_ = 0;
  std::uint64_t wrong_ = 0;
  std::size_t rests_ = 0;
};

// N9: each error of a call says whether its function may have run, and where it says no, the function has not.
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <new>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "grinder_support.hpp"
#include "support.hpp"

namespace may_have_run {

// What ran, in memory that workers share with the test: mapped before the fork server starts.
struct Ledger {
  static constexpr int kCalls = 4096;
  std::array<std::atomic<bool>, kCalls> ran;
};
Ledger* map_ledger() {
  void* const memory = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return new (memory) Ledger{};
}
Ledger* const ledger = map_ledger();

int note_run(int call) {
  ledger->ran[static_cast<std::size_t>(call)] = true;
  return call;
}
int note_run_and_die(int call) {
  note_run(call);
  if (call % 97 == 96) ::raise(SIGKILL);
  return call;
}

// Cannot be encoded with mood 1, nor decoded with mood 2.
struct Moody {
  int mood = 0;
  template <class Archive>
  void save(Archive& archive) const {
    if (mood == 1) throw std::runtime_error("in no mood to be saved");
    archive(mood);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(mood);
    if (mood == 2) throw std::runtime_error("in no mood to be loaded");
  }
};
int take_mood(const Moody& moody) { return moody.mood; }
Moody give_mood(int mood) { return {.mood = mood}; }

// What the error of a call said; none if it has not failed.
template <class A>
lp::Task<std::optional<bool>> of(A awaitable) {
  std::optional<bool> said;
  try {
    co_await awaitable;
  } catch (const lp::LeasePoolError& error) {
    said = error.may_have_run();
  }
  co_return said;
}

// Calls that all end, some of them with an error: what was said of each is compared with what ran.
class Claims {
 public:
  explicit Claims(int calls) : calls_(calls) {
    for (auto& ran : ledger->ran) ran = false;
  }
  auto taker(int call) {
    return [this, call](const lp::Result<int>& result) {
      ++ended_;
      const bool has_run = ledger->ran[static_cast<std::size_t>(call)];
      if (!result) ++failed_;
      if (result ? !has_run : !result.error().may_have_run() && has_run) ++wrong_;
      if (!result && !result.error().may_have_run()) certain_.push_back(call);
    };
  }
  [[nodiscard]] bool all_ended() const { return ended_ == calls_; }
  // In the end: nothing of what was certain has run later.
  void check() {
    CHECK(wrong_ == 0);
    for (const int call : certain_) CHECK_FALSE(ledger->ran[static_cast<std::size_t>(call)]);
  }
  [[nodiscard]] int failed() const { return failed_; }

 private:
  int calls_;
  int ended_ = 0;
  int failed_ = 0;
  int wrong_ = 0;
  std::vector<int> certain_;
};

}  // namespace may_have_run

LEASEPOOL_REGISTER(may_have_run::note_run);
LEASEPOOL_REGISTER(may_have_run::note_run_and_die);
LEASEPOOL_REGISTER(may_have_run::take_mood);
LEASEPOOL_REGISTER(may_have_run::give_mood);

using may_have_run::Claims;
using may_have_run::Moody;
using may_have_run::of;

TEST_CASE("N9: a call that had not begun says so, whatever it failed with", "[N9]") {
  auto options = options_for(both_backends(), 1, 1);
  options.max_queued_calls = 2;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    lease.run_async(pass_gate, 1, [](const lp::Result<int>&) {});
    co_await until_entered(loop, 1);
    std::optional<lp::Result<int>> cancelled;
    std::stop_source stop;
    lease.with(stop.get_token()).run_async(pass_gate, 2, [&](lp::Result<int> result) {
      cancelled = std::move(result);
    });
    stop.request_stop();
    co_await until(loop, [&] { return cancelled.has_value(); });
    CHECK(cancelled->error().code() == Errc::cancelled);
    CHECK_FALSE(cancelled->error().may_have_run());
    const auto in_queue = co_await of(lease.with({.queue_timeout = 1ms}).run(pass_gate, 3));
    CHECK(in_queue == false);
    const auto late = co_await of(lease.with(stop.get_token()).run(pass_gate, 4));
    CHECK(late == false);
    for (int i = 0; i < 2; ++i) lease.run_async(pass_gate, 5, [](const lp::Result<int>&) {});
    const auto beyond = co_await of(lease.run(pass_gate, 6));
    CHECK(beyond == false);
    const auto unavailable = co_await of(manager.acquire({.wait = false}));
    CHECK(unavailable == false);
    const auto acquire_timed_out = co_await of(manager.acquire({.timeout = 1ms}));
    CHECK(acquire_timed_out == false);
    CHECK(shared().entered == 1);
    open_gate();
    lease.release();
    const auto released = co_await of(lease.run(square, 1));
    CHECK(released == false);
    const lp::ExecutorLease moved = std::move(lease);
    const auto empty = co_await of([](lp::ExecutorLease& of_nothing) -> lp::Task<> {
      co_await of_nothing.run(square, 1);
    }(lease));  // NOLINT(bugprone-use-after-move)
    CHECK(empty == false);
  });
}

TEST_CASE("N9: a call that runs, or has run, may have run", "[N9]") {
  on_manager(options_for(both_backends(), 1, 1), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const auto timed_out = co_await of(lease.with({.timeout = 1ms}).run(pass_gate, 1));
    CHECK(timed_out == true);
    open_gate();
    std::optional<lp::Result<int>> threw;
    lease.run_async(throw_out_of_range, "far", [&](lp::Result<int> result) { threw = std::move(result); });
    co_await until(loop, [&] { return threw.has_value(); });
    CHECK(threw->error().may_have_run());
  });
}

TEST_CASE("N9: what was on its way when a lease was revoked says whether it has run", "[N9]") {
  const ExecutorBackend backend = both_backends();
  int failed = 0;
  for (int round = 0; round < 30; ++round) {
    auto options = options_for(backend, 1, 2);
    options.lease_grace = 0s;
    on_manager(options, [&](lp::Loop& loop, Manager& manager) -> lp::Task<> {
      Claims claims(may_have_run::Ledger::kCalls);
      auto lease = co_await manager.acquire({.lease_duration = std::chrono::microseconds(200 + 100 * round)});
      for (int call = 0; call < may_have_run::Ledger::kCalls; ++call) {
        lease.run_async(may_have_run::note_run, call, claims.taker(call));
      }
      co_await until(loop, [&] { return claims.all_ended(); });
      co_await manager.stop();  // what was begun has ended
      claims.check();
      failed += claims.failed();
    });
  }
  CHECK(failed > 0);
}

TEST_CASE("N9: what a crash took along says whether it has run", "[N9]") {
  on_manager(options_for(ExecutorBackend::process, 1, 2), [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    Claims claims(may_have_run::Ledger::kCalls);
    auto lease = co_await manager.acquire();
    for (int call = 0; call < may_have_run::Ledger::kCalls; ++call) {
      lease.run_async(may_have_run::note_run_and_die, call, claims.taker(call));
    }
    co_await until(loop, [&] { return claims.all_ended(); });
    claims.check();
    CHECK(claims.failed() == may_have_run::Ledger::kCalls / 97);
  });
}

TEST_CASE("N9: arguments that do not arrive have not run, a result that does not has", "[N9]") {
  auto options = options_for(ExecutorBackend::process, 1, 1);
  options.max_payload = 1000;
  on_manager(options, [](Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    const auto unregistered = co_await of(lease.run([] { return 1; }));
    CHECK(unregistered == false);
    const auto not_encoded = co_await of(lease.run(may_have_run::take_mood, Moody{.mood = 1}));
    CHECK(not_encoded == false);
    const auto not_decoded = co_await of(lease.run(may_have_run::take_mood, Moody{.mood = 2}));
    CHECK(not_decoded == false);
    const auto result_not_encoded = co_await of(lease.run(may_have_run::give_mood, 1));
    CHECK(result_not_encoded == true);
    const auto result_not_decoded = co_await of(lease.run(may_have_run::give_mood, 2));
    CHECK(result_not_decoded == true);
    const std::string long_text(2000, 'x');
    const auto too_large = co_await of(lease.run(join, long_text, std::string()));
    CHECK(too_large == false);
    open_gate();
    const auto result_too_large = co_await of(lease.run(text_past_gate, 2000));
    CHECK(result_too_large == true);
    const auto crashed = co_await of(lease.run(die_by_signal, SIGKILL));
    CHECK(crashed == true);
  });
}

TEST_CASE("N9: an item that was cancelled, refused or got no lease has not run", "[N9]") {
  const lp::GrinderOptions options{.batch_size_threshold = 1, .max_wait = 1h, .max_pending = 1};
  on_grinder(both_backends(), options, [](Bench& bench) -> lp::Task<> {
    auto lease = co_await bench.manager.acquire();  // the only one
    auto pending = bench.grinder.enqueue(square, 1);
    std::optional<lp::Result<std::uint64_t>> refused;
    bench.grinder.submit_async(square, 2, [&](lp::Result<std::uint64_t> result) { refused = std::move(result); });
    co_await until(bench.loop, [&] { return refused.has_value(); });
    CHECK(refused->error().code() == Errc::queue_full);
    CHECK_FALSE(refused->error().may_have_run());
    pending.cancel();
    const auto cancelled = co_await of(std::move(pending));
    CHECK(cancelled == false);
    lease.release();
  });
}

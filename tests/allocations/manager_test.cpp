// Everything that can be asked of managers, leases and grinders, on imaginary pools and a virtual clock, where an
// allocation fails, or all from one on do: each of them in turn. Whoever asked hears once, and capacity is whole
// afterwards.
#include <chrono>
#include <concepts>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "grinder/grinder_core.hpp"
#include "lease/manager_core.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/grinder.hpp"
#include "memory_gate.hpp"
#include "sim/sim_pool.hpp"
#include "sim/sim_scheduler.hpp"
#include "support/memory_pause.hpp"

namespace manager_without_memory {

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::ExecutorLease;
using leasepool::Result;
using leasepool::detail::GrinderCore;
using leasepool::detail::ManagerCore;
using leasepool::test::MemoryGate;
using leasepool::test::MemoryPause;
using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;

struct Variant {
  bool kills = true;    // as processes
  bool cancel = false;  // the grinder's stop is stop(true)
  bool destroy_manager_first = false;
};

class Scenario {
 public:
  explicit Scenario(Variant variant) : variant_(variant) {
    world_.kills = variant.kills;
    world_.next_run_time = [] { return Duration(8ms); };
  }
  Scenario(const Scenario&) = delete;
  Scenario& operator=(const Scenario&) = delete;
  ~Scenario() {
    if (grinder_) grinder_->shut_down();
    if (manager_) manager_->shut_down();
  }

  // True if there was an allocation that failed.
  bool run(std::size_t failing, MemoryGate::Fails fails) {
    make();
    bool failed = false;
    {
      const MemoryGate gate(failing, fails);
      wait_and_call();
      expire();
      if (make_grinder()) {
        grind();
        stop_grinder();
      }
      end();
      failed = gate.refused();
    }
    check_capacity();
    close();
    check_answers();
    return failed;
  }

 private:
  static void require(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error("does not hold: " + what);
  }

  // Calls `verb` with a callback that counts.
  template <class Verb>
  void ask(const char* what, Verb verb) {
    Asked* asked = nullptr;
    {
      const MemoryPause pause;
      asked = &asked_.emplace_back(what);
    }
    try {
      verb([leases = &leases_, asked](auto&& result) {
        const MemoryPause pause;
        ++asked->answers;
        if constexpr (std::same_as<std::remove_cvref_t<decltype(result)>, Result<ExecutorLease>>) {
          if (result) leases->push_back(std::move(*result));
        }
      });
    } catch (const std::bad_alloc&) {
      ++asked->answers;
    }
  }

  void advance(Duration by) { scheduler_->advance(by); }

  void make() {
    leasepool::ManagerOptions options;
    options.backend = variant_.kills ? leasepool::ExecutorBackend::process : leasepool::ExecutorBackend::thread;
    options.max_pools = 2;
    options.workers_per_pool = 1;
    options.lease_grace = 20ms;
    options.stop_timeout = 50ms;
    options.check_interval = 40ms;
    options.units_per_pool = 1;
    options.size_provider = [this] { return units_; };
    options.log = [](const leasepool::LogRecord&) {};
    manager_ = std::make_shared<ManagerCore>(scheduler_, std::move(options), [this](const auto&) {
      auto pool = std::make_shared<SimPool>(*scheduler_, world_, 1);
      const MemoryPause pause;
      world_.pools.push_back(pool);
      return pool;
    });
  }

  void start() {
    ask("start", [this](auto done) { manager_->start(std::move(done)); });
    advance(1ms);
  }
  void acquire(Duration duration, std::optional<Duration> timeout = {}, bool wait = true) {
    ask("acquire", [&](auto done) {
      (void)manager_->acquire({.owner = "an owner whose name needs memory",
                               .lease_duration = duration,
                               .wait = wait,
                               .timeout = timeout,
                               .where = {}},
                              std::move(done));
    });
    scheduler_->run_until_idle();
  }
  template <class Calls>
  void call(const Calls& calls) {
    ask("call", [&](auto done) { calls.run_async([] { return 1; }, std::move(done)); });
  }
  void call_in_many_ways(const ExecutorLease& lease) {
    call(lease);
    call(lease.with({.timeout = 4ms}));
    call(lease.with({.timeout = 100ms}));
    call(lease.with({.queue_timeout = 2ms}));
    {
      const std::stop_source stop = stop_source();
      call(lease.with(stop.get_token()));
      scheduler_->run_until_idle();
      stop.request_stop();
    }
    ask("call that takes a stop token",
        [&](auto done) { lease.run_async([](const std::stop_token&) { return 1; }, std::move(done)); });
    ask("call that throws", [&](auto done) {
      lease.run_async([]() -> int { throw std::runtime_error("a text that needs memory"); }, std::move(done));
    });
  }
  static std::stop_source stop_source() {
    const MemoryPause pause;
    return std::stop_source();
  }

  void wait_and_call() {
    start();
    acquire(60ms);
    acquire(60ms);
    acquire(60ms, 5ms);
    acquire(200ms);
    acquire(60ms, {}, false);
    for (const ExecutorLease& lease : leases_) call_in_many_ways(lease);
    advance(12ms);
    if (!leases_.empty()) leases_.back().release();
    advance(1ms);
    if (!leases_.empty()) {
      try {
        leasepool::detail::Access::record(leases_.front())->extend(40ms);
      } catch (const std::bad_alloc&) {             // NOLINT(bugprone-empty-catch): then it is not extended
      } catch (const leasepool::LeasePoolError&) {  // NOLINT(bugprone-empty-catch): released above
      }
      call(leases_.back());
    }
    for (const auto& pool : world_.pools) {
      if (const auto alive = pool.lock()) alive->crash(false);
    }
    advance(1ms);
  }
  // Leases end by expiry, some with calls that run.
  void expire() {
    units_ = 2;
    notify();
    acquire(10ms);
    for (const ExecutorLease& lease : leases_) call(lease.with({.timeout = 500ms}));
    advance(500ms);
    leases_.clear();
    units_ = 0;
    notify();
    acquire(300ms);
    acquire(300ms);
    if (leases_.size() > 1) ExecutorLease(std::move(leases_.back()));
    leases_.clear();
    advance(100ms);
  }
  void notify() {
    try {
      manager_->notify_scale_changed();
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it is asked again after check_interval
    }
    scheduler_->run_until_idle();
  }

  bool make_grinder() {
    try {
      grinder_ = std::make_shared<GrinderCore>(
          scheduler_, manager_,
          leasepool::GrinderOptions{
              .batch_size_threshold = 3, .max_wait = 10ms, .lease_duration = 200ms, .max_pending = 6},
          std::source_location::current());
    } catch (const std::bad_alloc&) {
      return false;
    }
    ask("grinder's start", [this](auto done) { grinder_->start(std::move(done)); });
    advance(1ms);
    return true;
  }

  template <class Verbs, class... Arguments>
  void submit(const Verbs& verbs, Arguments... arguments) {
    ask("item", [&](auto done) { verbs.submit_async(arguments..., std::move(done)); });
  }
  void grind() {
    const auto square = [] { return 4; };
    const auto lengths = [](std::vector<int> arguments) { return arguments; };
    try {
      const auto calls = leasepool::detail::Access::make<leasepool::GrinderCalls>(
          grinder_,
          leasepool::detail::ItemSettings{.owner = "somebody whose name needs memory", .priority = 0, .timeout = {}});
      const auto batch = leasepool::detail::make_batch_verbs(grinder_, lengths, {.isolate_failures = true});
      const auto bad = leasepool::detail::make_batch_verbs(
          grinder_, [](std::vector<int>) -> std::vector<int> { throw std::runtime_error("bad"); },
          {.isolate_failures = true});
      for (int i = 0; i < 4; ++i) submit(calls, square);
      submit(batch, 1);
      submit(batch, 2);
      submit(bad, 3);
      submit(bad, 4);
      for (int i = 0; i < 4; ++i)
        ask("item with room", [&](auto done) { calls.submit_when_room_async(square, std::move(done)); });
      scheduler_->run_until_idle();
      auto taken_back = calls.enqueue(square);
      auto in_flight = calls.enqueue(square);
      taken_back.cancel();
      advance(12ms);
      in_flight.cancel();
      for (int i = 0; i < 2; ++i) submit(calls, square);
      advance(60ms);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): of a verb
    }
    advance(100ms);
  }
  void stop_grinder() {
    try {
      const auto calls =
          leasepool::detail::Access::make<leasepool::GrinderCalls>(grinder_, leasepool::detail::ItemSettings{});
      for (int i = 0; i < 4; ++i) submit(calls, [] { return 4; });
      scheduler_->run_until_idle();
      for (int i = 0; i < 2; ++i) submit(calls, [] { return 4; });
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): of a verb
    }
    ask("grinder's stop", [this](auto done) { grinder_->stop(variant_.cancel, std::move(done)); });
    ask("grinder's start", [this](auto done) { grinder_->start(std::move(done)); });
    advance(200ms);
  }

  void end() {
    acquire(1s);
    acquire(1s);
    acquire(1s);
    for (const ExecutorLease& lease : leases_) call_in_many_ways(lease);
    advance(2ms);
    ask("stop", [this](auto done) { manager_->stop(std::move(done)); });
    ask("start while it stops", [this](auto done) { manager_->start(std::move(done)); });
    advance(200ms);
  }

  // No capacity is lost: as many pools as there may be are lent.
  void check_capacity() {
    leases_.clear();
    advance(1s);
    start();
    require(manager_->stats().started, "it starts");
    leases_.clear();
    advance(1s);
    require(manager_->leased() == 0, "nothing is lent when everything was given back");
    acquire(10s);
    acquire(10s);
    require(leases_.size() == 2, "all pools can be lent");
    if (!grinder_) return;
    leases_.pop_back();
    ask("grinder's start", [this](auto done) { grinder_->start(std::move(done)); });
    const auto calls =
        leasepool::detail::Access::make<leasepool::GrinderCalls>(grinder_, leasepool::detail::ItemSettings{});
    submit(calls, [] { return 4; });
    advance(1s);
    require(grinder_->stats().items_in_flight == 0 && grinder_->stats().pending == 0, "the grinder goes on");
  }

  void close() {
    const auto end_grinder = [this] {
      if (grinder_) grinder_->shut_down();
    };
    if (!variant_.destroy_manager_first) end_grinder();
    if (!leases_.empty()) call(leases_.front());
    manager_->shut_down();
    end_grinder();
    if (!leases_.empty()) call(leases_.front());
    leases_.clear();
    advance(5s);
    require(scheduler_->idle(), "no timer and no callback is left");
  }
  void check_answers() {
    for (const Asked& asked : asked_) {
      require(asked.answers == 1,
              std::string(asked.what) + " is answered once, not " + std::to_string(asked.answers) + " times");
    }
  }

  struct Asked {
    explicit Asked(const char* name) : what(name) {}
    const char* what;
    int answers = 0;
  };

  const Variant variant_;
  SimWorld world_;
  std::shared_ptr<SimScheduler> scheduler_ = std::make_shared<SimScheduler>();
  std::deque<Asked> asked_;
  std::vector<ExecutorLease> leases_;
  std::size_t units_ = 0;
  std::shared_ptr<ManagerCore> manager_;
  std::shared_ptr<GrinderCore> grinder_;
};

void fail_each(Variant variant, MemoryGate::Fails fails) {
  for (std::size_t failing = 1;; ++failing) {
    try {
      if (Scenario(variant).run(failing, fails)) continue;
    } catch (const std::exception& error) {
      FAIL("where allocation " << failing << " fails: " << error.what());
    }
    CHECK(failing > 100);  // all of them have had their turn
    return;
  }
}
void fail_each(Variant variant) {
  fail_each(variant, MemoryGate::Fails::once);
  fail_each(variant, MemoryGate::Fails::from_then_on);
}

TEST_CASE("each allocation fails once: on processes", "[L6][A5][G8]") { fail_each({.kills = true}); }

TEST_CASE("each allocation fails once: on threads", "[L6][A5][G8]") { fail_each({.kills = false}); }

TEST_CASE("each allocation fails once: the grinder cancels, and the manager goes first", "[L6][A5][G6]") {
  fail_each({.kills = true, .cancel = true, .destroy_manager_first = true});
  fail_each({.kills = false, .cancel = true, .destroy_manager_first = true});
}

}  // namespace manager_without_memory

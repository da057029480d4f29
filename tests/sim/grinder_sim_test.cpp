// Random sequences of everything that can be done to a grinder and its manager, against the model.
// LEASEPOOL_SIM_ONE_IN sets which part of them runs; LEASEPOOL_SIM_SEED replays one.
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "grinder/grinder_core.hpp"
#include "grinder_model.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/grinder.hpp"
#include "sim_pool.hpp"
#include "sim_scheduler.hpp"
#include "sim_sequences.hpp"

namespace grinder_sim {

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::Errc;
using leasepool::ExecutorLease;
using leasepool::GrinderCalls;
using leasepool::Result;
using leasepool::detail::GrinderCore;
using leasepool::detail::ManagerCore;
using leasepool::test::GrinderModel;
using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : random_(seed) {
    world_.kills = one_in(2);
    world_.next_start_delay = [this] { return one_in(2) ? Duration(0) : some_time(); };
    world_.next_run_time = [this] { return one_in(10) ? Duration(500ms) : some_time(); };
    leasepool::ManagerOptions options;
    options.backend = world_.kills ? leasepool::ExecutorBackend::process : leasepool::ExecutorBackend::thread;
    options.max_pools = 1 + pick(3);
    options.workers_per_pool = 1 + pick(3);
    options.lease_grace = one_in(2) ? 0ms : 20ms;
    options.stop_timeout = one_in(3) ? 0ms : 50ms;
    options.max_queued_calls = one_in(4) ? 2 : 0;
    options.max_waiters = one_in(8) ? 1 : 0;
    options.log = [](const leasepool::LogRecord&) {};
    workers_ = options.workers_per_pool;
    manager_ = std::make_shared<ManagerCore>(scheduler_, std::move(options), [this](const auto&) {
      auto pool = std::make_shared<SimPool>(*scheduler_, world_, workers_);
      world_.pools.push_back(pool);
      return pool;
    });
    leasepool::GrinderOptions grinder_options;
    grinder_options.batch_size_threshold = 1 + pick(5);
    grinder_options.max_wait = some_time();
    grinder_options.lease_duration = one_in(2) ? Duration(10s) : 20ms + some_time();
    grinder_options.max_pending = one_in(2) ? 0 : 1 + pick(8);
    grinder_options.max_inflight_batches = one_in(2) ? 0 : 1 + pick(3);
    grinder_options.ageing = one_in(3) ? Duration::max() : some_time();
    grinder_options.stop_timeout = one_in(3) ? some_time() : Duration::max();
    stop_timeout_ = grinder_options.stop_timeout;
    batch_options_.timeout = one_in(3) ? std::optional(some_time()) : std::nullopt;
    model_.set_reasons({.processes = world_.kills,
                        .bounded_queue = grinder_options.max_pending != 0 || manager_->options().max_queued_calls != 0,
                        .bounded_waiters = manager_->options().max_waiters != 0,
                        .lease_life = grinder_options.lease_duration + manager_->options().lease_grace});
    grinder_ = std::make_shared<GrinderCore>(scheduler_, manager_, grinder_options, std::source_location::current());
    if (one_in(8)) scheduler_->after_callback = [this] { model_.check_flushes(*grinder_); };  // often, and slow
  }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence() {
    scheduler_->after_callback = nullptr;
    grinder_->shut_down();
    manager_->shut_down();
  }

  void run() {
    if (!one_in(10)) start_manager();
    if (!one_in(10)) start();
    const std::size_t steps = 5 + pick(40);
    for (std::size_t i = 0; i < steps; ++i) {
      step();
      check();
      if (one_in(4)) continue;
      scheduler_->run_until_idle();
      collect();
      check();
      model_.check_settled(*grinder_, *manager_);
    }
    end();
  }

 private:
  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }
  bool one_in(std::size_t n) { return pick(n) == 0; }
  Duration some_time() { return std::chrono::milliseconds(1 + pick(40)); }

  void check() {
    if (!grinder_->stats().started || !manager_->stats().started) model_.not_running();
    if (scheduler_->after_callback) scheduler_->after_callback();
    GrinderModel::check(*grinder_, world_);
  }

  void step() {
    switch (pick(16)) {
      case 0: return one_in(2) ? start() : scheduler_->advance(some_time());
      case 1: return one_in(3) ? stop(one_in(2)) : scheduler_->advance(some_time());
      case 2: return one_in(4) ? start_manager() : hold_a_pool();
      case 3: return one_in(6) ? stop_manager() : leases_.clear();
      case 4: return crash();
      case 5:
      case 6: return take_back();
      case 7: return submit_to_batch_function();
      case 8:
      case 9: return scheduler_->advance(some_time());
      default: return submit();
    }
  }

  auto ended() {
    ++asked_;
    return [this](const Result<void>&) { ++answered_; };
  }
  void start() { grinder_->start(ended()); }
  void stop(bool cancel) {
    ++asked_;
    model_.not_running();
    if (cancel || stop_timeout_ != Duration::max()) {
      model_.gives_up(scheduler_->now() + (cancel ? Duration(0) : stop_timeout_));
    }
    grinder_->stop(cancel, [this](const Result<void>&) {
      ++answered_;
      const leasepool::GrinderStats stats = grinder_->stats();
      GrinderModel::require(stats.items_in_flight == 0 || stats.started || stats.stopping || destroyed_,
                            "when stop has ended nothing is in flight");
    });
  }
  void start_manager() { manager_->start(ended()); }
  void stop_manager() {
    end_of_manager();
    manager_->stop(ended());
  }
  void end_of_manager() {
    model_.not_running();
    model_.gives_up(scheduler_->now());
  }

  void hold_a_pool() {
    manager_->acquire({.owner = "sim", .lease_duration = 10ms + some_time(), .wait = true, .timeout = {}, .where = {}},
                      [this](Result<ExecutorLease> lease) {
                        if (lease) leases_.push_back(std::move(*lease));
                      });
  }
  void crash() {
    const auto pool = world_.pools.empty() ? nullptr : world_.pools[pick(world_.pools.size())].lock();
    model_.crashed();
    if (pool) pool->crash();
  }

  auto function_of(std::uint64_t item) {
    return [this, item, throws = one_in(8)] {
      collect();  // what was given up on may still run
      model_.runs(item, throws ? GrinderModel::Run::threw : GrinderModel::Run::well);
      if (throws) throw std::runtime_error("simulated");
      return item;
    };
  }
  auto answer_to(std::uint64_t item) {
    return [this, item](const Result<std::uint64_t>& result) {
      if (result) return model_.answered(item, std::nullopt, *result == item);
      model_.answered(item, static_cast<Errc>(result.error().code().value()), false);
    };
  }

  void submit() {
    leasepool::ItemOptions options;
    if (one_in(3)) options.priority = static_cast<int>(pick(5)) - 2;
    if (one_in(6)) options.timeout = some_time();
    options.owner = one_in(2) ? "a" : "b";
    const auto calls =
        leasepool::detail::Access::make<GrinderCalls>(grinder_, leasepool::detail::make_item_settings(options));
    const std::uint64_t item = model_.submitted(options.timeout);
    switch (pick(4)) {
      case 0: return calls.submit_when_room_async(function_of(item), answer_to(item));
      case 1:
      case 2: return calls.submit_async(function_of(item), answer_to(item));
      default: break;
    }
    pending_.emplace_back(item, calls.enqueue(function_of(item)));
  }
  // A queued item, a running one, or one that has ended.
  void take_back() {
    if (pending_.empty()) return;
    auto& [item, pending] = pending_[pick(pending_.size())];
    const std::size_t before = grinder_->stats().pending;
    const std::size_t room_before = grinder_->stats().waiting_for_room;
    const bool was_done = pending.done();
    pending.cancel();
    const std::size_t gone = before + room_before - grinder_->stats().pending - grinder_->stats().waiting_for_room;
    GrinderModel::require(gone <= 1, "one item is taken back at a time");
    GrinderModel::require(gone == 0 || !was_done, "an item that has ended does not wait");
    model_.cancelled(item, gone == 1);
  }
  void submit_to_batch_function() {
    if (!batch_) {
      batch_.emplace(leasepool::detail::make_batch_verbs(
                         grinder_, [this](std::vector<std::uint64_t> items) { return run_batch(std::move(items)); },
                         {.isolate_failures = one_in(2)})
                         .with(batch_options_));
    }
    const std::size_t count = 1 + pick(4);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t item = model_.submitted(batch_options_.timeout);
      batch_->submit_async(item, answer_to(item));
    }
  }
  std::vector<std::uint64_t> run_batch(std::vector<std::uint64_t> items) {
    using Run = GrinderModel::Run;
    const Run run = one_in(6) ? Run::threw : one_in(6) ? Run::wrong_length : Run::well;
    for (const std::uint64_t item : items) model_.runs_in_batch(item, run);
    if (run == Run::threw) throw std::runtime_error("simulated");
    if (run == Run::wrong_length) one_in(2) ? items.pop_back() : items.push_back(0);
    return items;
  }

  // What Pendings were given, as nobody awaits them here.
  void collect() {
    for (auto& [item, pending] : pending_) {
      if (!pending.done() || model_.is_answered(item)) continue;
      auto awaiter = pending.operator co_await();
      std::optional<std::uint64_t> value;
      Errc failure = Errc::remote_exception;
      try {
        value = awaiter.await_resume();
      } catch (const leasepool::LeasePoolError& error) {
        failure = static_cast<Errc>(error.code().value());
      } catch (const std::runtime_error&) {
      }
      model_.answered(item, value ? std::nullopt : std::optional(failure), value == item);
    }
  }

  void end() {
    if (one_in(2)) {
      stop(one_in(2));
      leases_.clear();
      for (int i = 0; i < 20; ++i) {
        scheduler_->advance(10s);
        leases_.clear();
      }
      GrinderModel::require(!grinder_->stats().stopping, "stop always ends");
      GrinderModel::require(manager_->leased() == 0, "no lease is kept");
    }
    const bool manager_first = one_in(2);
    end_of_manager();
    if (manager_first) manager_->shut_down();
    if (one_in(2)) scheduler_->run_until_idle();
    destroyed_ = true;
    grinder_->shut_down();
    if (one_in(2)) scheduler_->run_until_idle();
    if (!manager_first) manager_->shut_down();
    leases_.clear();
    scheduler_->advance(20s);
    collect();
    batch_.reset();
    model_.check_empty();
    GrinderModel::require(asked_ == answered_, "every start and stop was answered once");
  }

  std::mt19937_64 random_;
  SimWorld world_;
  std::shared_ptr<SimScheduler> scheduler_ = std::make_shared<SimScheduler>();
  GrinderModel model_{*scheduler_};
  std::size_t workers_ = 1;
  Duration stop_timeout_{};
  leasepool::ItemOptions batch_options_;
  bool destroyed_ = false;
  std::size_t asked_ = 0;
  std::size_t answered_ = 0;
  std::vector<ExecutorLease> leases_;
  std::vector<std::pair<std::uint64_t, leasepool::Pending<std::uint64_t>>> pending_;
  std::optional<leasepool::BatchVerbs<std::uint64_t, std::uint64_t>> batch_;
  std::shared_ptr<ManagerCore> manager_;
  std::shared_ptr<GrinderCore> grinder_;
};

}  // namespace grinder_sim

TEST_CASE("whatever is done to a grinder, the model holds", "[model]") {
  leasepool::test::run_sequences([](std::uint64_t seed) { grinder_sim::Sequence(seed).run(); });
}

// Random sequences of everything that can be done to a manager, against the model. LEASEPOOL_SIM_ONE_IN sets
// which part of them runs; LEASEPOOL_SIM_SEED replays one.
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "catch.hpp"
#include "lease/manager_core.hpp"
#include "manager_model.hpp"
#include "sim_pool.hpp"
#include "sim_scheduler.hpp"
#include "sim_sequences.hpp"

using namespace std::chrono_literals;
using leasepool::Duration;
using leasepool::Errc;
using leasepool::ExecutorLease;
using leasepool::Result;
using leasepool::detail::AcquireRequest;
using leasepool::detail::ManagerCore;
using leasepool::test::ManagerModel;
using leasepool::test::SimPool;
using leasepool::test::SimScheduler;
using leasepool::test::SimWorld;

namespace {

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : random_(seed) {
    world_.kills = one_in(2);
    world_.next_start_delay = [this] { return one_in(2) ? Duration(0) : some_time(); };
    const bool starts_fail = one_in(3);
    world_.next_start_fails = [this, starts_fail] { return starts_fail && one_in(4); };
    world_.next_run_time = [this] { return one_in(10) ? Duration(2s) : some_time(); };
    leasepool::ManagerOptions options;
    options.max_pools = 1 + pick(4);
    options.min_pools = 1 + pick(options.max_pools);
    options.workers_per_pool = 1 + pick(3);
    options.units_per_pool = 1;
    if (one_in(2)) options.size_provider = [this] { return size_; };
    options.check_interval = one_in(2) ? 500ms : 20ms;
    options.default_lease_duration = 100ms;
    options.lease_grace = one_in(2) ? 0ms : 20ms;
    options.stop_timeout = one_in(3) ? 0ms : 50ms;
    options.max_waiters = one_in(3) ? 3 : 0;
    options.max_queued_calls = one_in(3) ? 2 : 0;
    options.log = [](const leasepool::LogRecord&) {};
    workers_ = options.workers_per_pool;
    manager_ = std::make_shared<ManagerCore>(scheduler_, std::move(options), [this](const auto&) {
      auto pool = std::make_shared<SimPool>(*scheduler_, world_, workers_);
      world_.pools.push_back(pool);
      return pool;
    });
  }

  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence() { manager_->shut_down(); }

  void run() {
    const std::size_t steps = 5 + pick(40);
    if (!one_in(10)) start();
    for (std::size_t i = 0; i < steps; ++i) {
      step();
      model_.check(*manager_, world_);
      if (one_in(4)) continue;
      scheduler_->run_until_idle();
      model_.check(*manager_, world_);
      model_.check_settled(*manager_, world_, leases_, scheduler_->now());
    }
    end();
  }

 private:
  std::size_t pick(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }
  bool one_in(std::size_t n) { return pick(n) == 0; }
  Duration some_time() { return std::chrono::milliseconds(1 + pick(40)); }

  void step() {
    switch (pick(17)) {
      case 0: return start();
      case 1: return one_in(3) ? stop() : scheduler_->advance(some_time());
      case 2:
      case 3:
      case 4:
      case 5: return acquire();
      case 6: return withdraw();
      case 7:
      case 8:
      case 9: return call();
      case 10: return release();
      case 11:
        if (!leases_.empty()) leases_.erase(leases_.begin() + static_cast<std::ptrdiff_t>(pick(leases_.size())));
        return;
      case 12: return extend();
      case 13: size_ = pick(7); return manager_->notify_scale_changed();
      case 14: return crash();
      case 15: return scheduler_->jump(some_time());
      default: return scheduler_->advance(some_time());
    }
  }

  void start() {
    ++asked_;
    manager_->start([this](const Result<void>&) { ++answered_; });
  }
  void stop() {
    ++asked_;
    manager_->stop([this](const Result<void>&) { ++answered_; });
  }

  void acquire() {
    AcquireRequest request{
        .owner = "sim", .lease_duration = 10ms + some_time(), .wait = !one_in(4), .timeout = {}, .where = {}};
    if (one_in(3)) request.timeout = some_time();
    const std::uint64_t number = model_.asked(scheduler_->now(), request.timeout);
    const std::uint64_t waiter = manager_->acquire(std::move(request), [this, number](Result<ExecutorLease> lease) {
      if (lease) {
        model_.granted(number, lease->lease_id());
        leases_.push_back(std::move(*lease));
      } else {
        model_.refused(number, static_cast<Errc>(lease.error().code().value()), scheduler_->now());
      }
    });
    if (waiter != 0) waiters_.emplace_back(waiter, number);
  }
  // The waiter may have been served meanwhile: then nothing happens.
  void withdraw() {
    if (waiters_.empty()) return;
    const auto place = waiters_.begin() + static_cast<std::ptrdiff_t>(pick(waiters_.size()));
    const std::size_t before = manager_->stats().waiters.size();
    manager_->leave_queue(place->first);
    const std::size_t after = manager_->stats().waiters.size();
    if (after < before) model_.withdrawn(place->second);
    waiters_.erase(place);
  }

  ExecutorLease* some_lease() { return leases_.empty() ? nullptr : &leases_[pick(leases_.size())]; }

  void call() {
    ExecutorLease* const lease = some_lease();
    if (lease == nullptr) return;
    const std::uint64_t number = model_.called(lease->lease_id());
    const auto answer = [this, number](const Result<int>&) { model_.answered(number); };
    const auto function = [] { return 1; };
    if (one_in(4)) return lease->with({.timeout = some_time()}).run_async(function, answer);
    if (one_in(4)) return lease->with({.queue_timeout = some_time()}).run_async(function, answer);
    if (!one_in(4)) return lease->run_async(function, answer);
    stops_.emplace_back();
    lease->with(stops_.back().get_token()).run_async(function, answer);
    if (one_in(2)) stops_.back().request_stop();
  }
  void release() {
    if (ExecutorLease* const lease = some_lease()) lease->release();
  }
  void extend() {
    ExecutorLease* const lease = some_lease();
    if (lease == nullptr) return;
    const bool active = lease->active();
    bool extended = true;
    try {
      lease->extend(some_time());
    } catch (const leasepool::LeasePoolError&) {
      extended = false;
    }
    ManagerModel::require(extended == active, "a lease is extended as long as it is active, and no longer");
  }
  void crash() {
    const auto pool = world_.pools.empty() ? nullptr : world_.pools[pick(world_.pools.size())].lock();
    if (pool) pool->crash(one_in(2));
  }

  void end() {
    if (!stops_.empty() && one_in(2)) stops_.front().request_stop();
    world_.next_start_fails = [] { return false; };  // then what is wanted is there in the end
    if (one_in(2)) {
      leases_.clear();
      scheduler_->advance(3s);
      for (int i = 0; i < 4 && !leases_.empty(); ++i) {  // those who waited have had their turn
        leases_.clear();
        scheduler_->advance(3s);
      }
      ManagerModel::check_at_rest(*manager_);
    }
    if (one_in(2)) stop();
    if (one_in(2)) scheduler_->run_until_idle();
    manager_->shut_down();
    if (one_in(2)) leases_.clear();
    for (std::size_t i = pick(4); i > 0; --i) {  // leases outlive their manager
      call();
      extend();
      release();
    }
    scheduler_->advance(3s);
    leases_.clear();
    scheduler_->run_until_idle();
    model_.check_empty(*scheduler_, world_);
    ManagerModel::require(asked_ == answered_, "every start and stop was answered once");
  }

  std::mt19937_64 random_;
  SimWorld world_;
  std::shared_ptr<SimScheduler> scheduler_ = std::make_shared<SimScheduler>();
  ManagerModel model_;
  std::size_t workers_ = 1;
  std::size_t size_ = 0;
  std::size_t asked_ = 0;
  std::size_t answered_ = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> waiters_;
  std::vector<std::stop_source> stops_;
  std::vector<ExecutorLease> leases_;
  std::shared_ptr<ManagerCore> manager_;
};

}  // namespace

TEST_CASE("whatever is done to a manager, the model holds", "[model]") {
  leasepool::test::run_sequences([](std::uint64_t seed) { Sequence(seed).run(); });
}

// The users of a side, and its life.
#include "side.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace lpbench::chaos {

namespace lp = leasepool;
using namespace std::chrono_literals;

namespace {

constexpr int kUsers = 3;
constexpr std::size_t kDroppable = 3;
constexpr std::size_t kItemsOpen = 40;

}  // namespace

// Tells the hand which leases there are.
class Side::HeldLease {
 public:
  HeldLease(Side& side, lp::ExecutorLease& lease) : side_(side), lease_(&lease) { side_.held_.push_back(lease_); }
  HeldLease(const HeldLease&) = delete;
  HeldLease& operator=(const HeldLease&) = delete;
  ~HeldLease() { std::erase(side_.held_, lease_); }

 private:
  Side& side_;
  lp::ExecutorLease* lease_;
};

// A call whose caller is a coroutine: it counts as dropped where that is destroyed before it has heard.
class Side::AwaitedCall {
 public:
  AwaitedCall(Account& account, const Call& call) : account_(account), call_(call) {}
  AwaitedCall(const AwaitedCall&) = delete;
  AwaitedCall& operator=(const AwaitedCall&) = delete;
  ~AwaitedCall() {
    if (!told_) account_.dropped(call_);
  }
  [[nodiscard]] const Call& call() const { return call_; }
  void succeeded(bool right) {
    told_ = true;
    account_.succeeded(call_, right);
  }
  void failed_by_exception() {
    told_ = true;
    account_.failed_by_exception(call_);
  }

 private:
  Account& account_;
  const Call call_;
  bool told_ = false;
};

Side::Side(lp::Loop& loop, Account& account, SideOptions options)
    : loop_(loop),
      account_(account),
      options_(std::move(options)),
      random_(options_.seed),
      droppable_(loop, {.on_error = [this](const std::exception_ptr& error) {
                   try {
                     std::rethrow_exception(error);
                   } catch (const std::exception& thrown) {
                     account_.wrong(std::string("a task of a caller threw: ") + thrown.what());
                   }
                 }}) {
  make();
}

lp::ManagerOptions Side::manager_options() const {
  lp::ManagerOptions options;
  options.name_prefix = "chaos-" + std::string(name_of(options_.place));
  options.max_pools = 3;
  options.workers_per_pool = 2;
  options.check_interval = 200ms;
  options.default_lease_duration = 1s;
  options.lease_grace = 5ms;
  options.stop_timeout = 2s;
  options.worker_start_timeout = 2s;
  options.log = options_.log;
  if (options_.place == Place::threads) return options;
  if (options_.place == Place::nodes) {
    options.backend = lp::ExecutorBackend::remote;
    options.min_pools = 0;
    options.remote = options_.remote;
    return options;
  }
  options.backend = lp::ExecutorBackend::process;
  options.worker_limits.core_size = 0;
  if (options_.place == Place::sockets) options.shared_memory = false;
  if (options_.place == Place::clean) options.worker_reuse = lp::WorkerReuse::call;
  return options;
}

void Side::make() {
  manager_.emplace(loop_, manager_options());
  grinder_.emplace(*manager_, lp::GrinderOptions{.batch_size_threshold = 10, .max_wait = 5ms, .lease_duration = 200ms});
}

void Side::unmake() {
  revoked_ += manager_->stats().leases_revoked;
  if (one_in(2)) grinder_.reset();
  manager_.reset();
  grinder_.reset();
}

// However often it takes: descriptors, processes or nodes may be missing now.
lp::Task<> Side::start() {
  for (;;) {
    try {
      if (!manager_) make();
      auto manager_starts = manager_->start();
      co_await manager_starts;
      auto grinder_starts = grinder_->start();
      co_await grinder_starts;
      break;
    } catch (const std::exception& error) {
      account_.start_failed(options_.place, error);
    }
    auto pause = loop_.sleep(20ms);
    co_await pause;
  }
  running_ = true;
}

// Restarts where the hand wants it, and has as many tasks to be dropped as there should be.
lp::Task<> Side::tend() {
  while (!over_) {
    while (droppable_.size() < kDroppable) droppable_.spawn(be_dropped());
    if (std::exchange(restart_wanted_, false)) {
      running_ = false;
      if (one_in(2)) {
        const bool cancel_pending = one_in(2);
        auto grinder_stops = grinder_->stop(cancel_pending);
        co_await grinder_stops;
      }
      if (one_in(2)) {
        auto manager_stops = manager_->stop();
        co_await manager_stops;
      } else {
        unmake();
      }
      auto starts = start();
      co_await starts;
    }
    auto pause = loop_.sleep(2ms);
    co_await pause;
  }
}

lp::Task<> Side::live() {
  auto starts = start();
  co_await starts;
  std::vector<lp::Task<>> users;
  for (int i = 0; i < kUsers; ++i) users.push_back(use_leases());
  users.push_back(grind());
  users.push_back(tend());
  auto all = lp::when_all(std::move(users));
  co_await all;
  auto dropped = droppable_.join();
  co_await dropped;
  auto proof = prove();
  co_await proof;
  if (one_in(2)) {
    auto grinder_stops = grinder_->stop();
    co_await grinder_stops;
    auto manager_stops = manager_->stop();
    co_await manager_stops;
  }
  unmake();
}

// When the hand rests, everything works again: calls that wait for it at the most so long succeed.
lp::Task<> Side::prove() {
  const auto give_up = std::chrono::steady_clock::now() + 30s;
  std::string last = "nothing was tried";
  for (int succeeded = 0; succeeded < 10;) {
    if (std::chrono::steady_clock::now() > give_up) {
      account_.wrong(std::string(name_of(options_.place)) + " does not work any more: " + last);
      co_return;
    }
    std::optional<lp::ExecutorLease> lease;
    try {
      auto acquires = manager_->acquire({.owner = "proof", .timeout = 10s});
      lease.emplace(co_await acquires);
      AwaitedCall call(account_, account_.begin(options_.place, Work::answer, false));
      Request request{.ledger = options_.ledger, .number = call.call().number, .ballast = "proof"};
      auto runs = lease->run(run_noted, request);
      try {
        const std::string answer = co_await runs;
        call.succeeded(answer == answer_to(request));
        ++succeeded;
        continue;
      } catch (const std::exception& error) {
        last = error.what();
        call.failed_by_exception();
      }
    } catch (const std::exception& error) {
      last = error.what();
    }
    auto pause = loop_.sleep(20ms);
    co_await pause;
  }
}

lp::Task<std::optional<lp::ExecutorLease>> Side::acquire(lp::AcquireOptions options) {
  if (running_) {
    try {
      auto acquires = manager_->acquire(options);
      co_return co_await acquires;
    } catch (const std::exception& error) {
      account_.acquire_failed(options_.place, error, options.wait && !options.timeout);
    }
  }
  auto pause = loop_.sleep(1ms);
  co_await pause;
  co_return std::nullopt;
}

lp::Task<> Side::use_leases() {
  while (!over_) {
    lp::AcquireOptions wanted{.owner = "user", .wait = !one_in(10), .timeout = 2s};
    if (one_in(4)) wanted.lease_duration = random_time(500, 30'000);
    auto acquires = acquire(wanted);
    std::optional<lp::ExecutorLease> lease = co_await acquires;
    if (!lease) continue;
    const auto open = std::make_shared<std::size_t>(0);
    {
      const HeldLease held(*this, *lease);
      for (std::uint64_t left = random(1, 40); left > 0; --left) {
        call(*lease, open);
        if (!one_in(8)) continue;
        auto pause = loop_.sleep(random_time(0, 2'000));
        co_await pause;
      }
      if (one_in(3)) lease->release();  // with what it still runs
      while (*open > 0) {
        auto pause = loop_.sleep(500us);
        co_await pause;
      }
    }
  }
}

Work Side::random_work() {
  const std::uint64_t drawn = random(1, 200);
  if (drawn == 1 && options_.place != Place::threads) return Work::crash;
  return drawn <= 10 ? Work::fail : Work::answer;
}

lp::CallOptions Side::random_bounds() {
  lp::CallOptions bounds;
  if (one_in(10)) bounds.timeout = random_time(200, 20'000);
  if (one_in(10)) bounds.queue_timeout = random_time(200, 20'000);
  return bounds;
}

Request Side::make_request(const Call& call) {
  Request request{.ledger = options_.ledger, .number = call.number, .work = call.work};
  if (one_in(10)) request.microseconds = static_cast<std::uint32_t>(random(0, one_in(10) ? 30'000 : 1'000));
  request.ballast.assign(one_in(50) ? random(0, 300'000) : random(0, 500), 'b');
  return request;
}

void Side::call(const lp::ExecutorLease& lease, const std::shared_ptr<std::size_t>& open) {
  const lp::CallOptions bounds = random_bounds();
  const Call call = account_.begin(options_.place, random_work(), bounds.timeout || bounds.queue_timeout);
  Request request = make_request(call);
  std::string expected = answer_to(request);
  ++*open;
  lease.with(bounds).run_async(
      run_noted, std::move(request),
      [this, call, open, expected = std::move(expected)](const lp::Result<std::string>& result) {
        result ? account_.succeeded(call, *result == expected) : account_.failed(call, result.error());
        --*open;
      });
}

lp::Task<> Side::grind() {
  const auto open = std::make_shared<std::size_t>(0);
  while (!over_ || *open > 0) {
    while (!over_ && running_ && *open < kItemsOpen) {
      const Call call = account_.begin(options_.place, random_work(), false);
      Request request = make_request(call);
      std::string expected = answer_to(request);
      ++*open;
      grinder_->submit_async(run_noted, std::move(request),
                             [this, call, open, expected = std::move(expected)](const lp::Result<std::string>& result) {
                               result ? account_.succeeded(call, *result == expected)
                                      : account_.failed(call, result.error());
                               --*open;
                             });
    }
    auto pause = loop_.sleep(random_time(0, 2'000));
    co_await pause;
  }
}

// Until the hand destroys it, wherever it stands.
lp::Task<> Side::be_dropped() {
  while (!over_) {
    auto acquires = acquire({.owner = "to be dropped", .timeout = 2s});
    std::optional<lp::ExecutorLease> lease = co_await acquires;
    if (!lease) continue;
    auto calls = await_calls(*std::move(lease));
    co_await calls;
  }
}

lp::Task<> Side::await_calls(lp::ExecutorLease lease) {
  for (std::uint64_t left = random(1, 10); left > 0 && !over_; --left) {
    AwaitedCall call(account_, account_.begin(options_.place, random_work(), false));
    const Request request = make_request(call.call());
    try {
      auto runs = lease.run(run_noted, request);
      const std::string answer = co_await runs;
      call.succeeded(answer == answer_to(request));
    } catch (const std::exception&) {
      call.failed_by_exception();
    }
  }
}

bool Side::expire_a_lease() {
  std::vector<lp::ExecutorLease*> active;
  std::ranges::copy_if(held_, std::back_inserter(active), [](const auto* lease) { return lease->active(); });
  if (active.empty()) return false;
  active[random(0, active.size() - 1)]->extend(random_time(1, 3'000));
  return true;
}

bool Side::restart() {
  if (!running_ || restart_wanted_) return false;
  restart_wanted_ = true;
  return true;
}

std::size_t Side::drop_tasks() {
  const std::size_t tasks = droppable_.size();
  droppable_.cancel();
  return tasks;
}

}  // namespace lpbench::chaos

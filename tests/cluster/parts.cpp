// A node, and a caller that always has something to run.
#include "cluster/parts.hpp"

#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <leasepool/leasepool.hpp>

#include "cluster/functions.hpp"

namespace cluster {

namespace lp = leasepool;
using namespace std::chrono_literals;

namespace {

constexpr int kUsers = 3;

lp::LogSink sink_of(const PartOptions& options) {
  return [log = options.log](const lp::LogRecord& record) {
    append_line(log.c_str(), "said " + std::string(record.text));
  };
}

lp::Task<> live_as_node(lp::Loop& loop, const PartOptions& options) {
  lp::SignalSet signals(loop, {SIGTERM});
  lp::ManagerOptions local{.backend = lp::ExecutorBackend::process, .max_pools = kPools, .workers_per_pool = kWorkers};
  local.stop_timeout = 0s;
  local.log = sink_of(options);
  lp::Node node(loop, remote_options(options), local);
  for (bool started = false; !started;) {  // while the server is away
    auto start = node.start();
    try {
      co_await start;
      started = true;
    } catch (const lp::LeasePoolError& error) {
      append_line(options.log.c_str(), "said " + std::string(error.what()));
    }
  }
  append_line(options.log.c_str(), "up");
  auto told = signals.next();
  co_await told;
  auto stop = node.stop(true);
  co_await stop;
}

// Uses leases, and writes of each call, before it is made, "call NUMBER", and then one of
//   "ok NUMBER", "not_run NUMBER CODE MESSAGE", "may_have_run NUMBER CODE MESSAGE", "wrong NUMBER WHAT".
class Caller {
 public:
  Caller(lp::Loop& loop, const PartOptions& options)
      : loop_(loop),
        options_(options),
        patient_(options.part == "patient"),
        manager_(loop, manager_options(options)),
        random_(options.id) {}

  lp::Task<> live() {
    lp::SignalSet signals(loop_, {SIGTERM});
    for (bool started = false; !started;) {
      auto start = manager_.start();
      try {
        co_await start;
        started = true;
      } catch (const lp::LeasePoolError& error) {
        say("said " + std::string(error.what()));
      }
    }
    say("up");
    signals.next_async([this](const lp::Result<int>&) { over_ = true; });
    std::vector<lp::Task<>> users;
    if (options_.part == "grinder")
      users.push_back(grind());
    else
      for (int i = 0; i < kUsers; ++i) users.push_back(use_leases());
    auto all = lp::when_all(std::move(users));
    co_await all;
    while (open_ > 0) {
      auto pause = loop_.sleep(1ms);
      co_await pause;
    }
    auto stop = manager_.stop();
    co_await stop;
    say("over");
  }

 private:
  static lp::ManagerOptions manager_options(const PartOptions& options) {
    lp::ManagerOptions made{.backend = lp::ExecutorBackend::remote, .max_pools = kUsers, .min_pools = 0};
    made.workers_per_pool = kWorkers;
    made.remote = remote_options(options);
    made.lease_grace = 50ms;
    made.default_lease_duration = 1h;
    made.log = sink_of(options);
    return made;
  }
  std::uint64_t random(std::uint64_t from, std::uint64_t to) { return from + random_() % (to - from + 1); }
  bool one_in(std::uint64_t count) { return random(1, count) == 1; }
  void say(const std::string& line) const { append_line(options_.log.c_str(), line); }

  lp::Task<> use_leases() {
    while (!over_) {
      std::optional<lp::ExecutorLease> lease;
      lp::AcquireOptions wanted{.owner = "user"};
      if (!patient_) wanted.timeout = 2s;
      if (!patient_ && one_in(3)) wanted.lease_duration = std::chrono::milliseconds(random(20, 200));
      try {
        auto acquire = manager_.acquire(wanted);
        lease.emplace(co_await acquire);
      } catch (const lp::LeasePoolError& error) {
        const bool right = error.code() == lp::Errc::timed_out || error.code() == lp::Errc::node_lost;
        say((right ? "said " : "wrong 0 ") + std::string(error.what()));
      }
      if (!lease) continue;
      std::size_t open = 0;
      for (std::uint64_t left = random(1, 12); left > 0; --left) {
        call(*lease, open);
        if (one_in(3)) {
          auto pause = loop_.sleep(std::chrono::microseconds(random(0, 3'000)));
          co_await pause;
        }
        if (!patient_ && one_in(8) && lease->active()) lease->extend(std::chrono::milliseconds(random(20, 200)));
      }
      if (!patient_ && one_in(6)) lease.reset();  // with what it still runs
      while (open > 0) {
        auto pause = loop_.sleep(1ms);
        co_await pause;
      }
    }
  }

  // Items that come one by one, of which some wait for a batch at any time.
  lp::Task<> grind() {
    constexpr std::size_t kMostOpen = 40;
    lp::WorkGrinder grinder(manager_, {.batch_size_threshold = 6, .max_wait = 20ms});
    auto start = grinder.start();
    co_await start;
    while (!over_) {
      if (open_ < kMostOpen) {
        const std::uint64_t number = options_.id << 32U | ++last_;
        const std::size_t ballast = random(0, 200);
        say("call " + std::to_string(number));
        ++open_;
        grinder.submit_async(noted, number, random(0, 3'000), std::string(ballast, 'b'),
                             [this, number, ballast](const lp::Result<std::string>& result) {
                               --open_;
                               tell(number, ballast, result);
                             });
      }
      if (open_ < kMostOpen && !one_in(4)) continue;
      auto pause = loop_.sleep(std::chrono::microseconds(random(0, 3'000)));
      co_await pause;
    }
    auto stop = grinder.stop();
    co_await stop;
  }

  void call(lp::ExecutorLease& lease, std::size_t& open) {
    const std::uint64_t number = options_.id << 32U | ++last_;
    const std::uint64_t time = one_in(4) ? random(5'000, 30'000) : random(0, 2'000);
    const std::size_t ballast = one_in(10) ? random(0, 400'000) : random(0, 200);
    lp::CallOptions bounds;
    if (!patient_ && one_in(6)) bounds.timeout = std::chrono::microseconds(random(500, 20'000));
    if (!patient_ && one_in(6)) bounds.queue_timeout = std::chrono::microseconds(random(500, 20'000));
    say("call " + std::to_string(number));
    ++open;
    ++open_;
    lease.with(bounds).run_async(noted, number, time, std::string(ballast, 'b'),
                                 [this, &open, number, ballast](const lp::Result<std::string>& result) {
                                   --open;
                                   --open_;
                                   tell(number, ballast, result);
                                 });
  }

  void tell(std::uint64_t number, std::size_t ballast, const lp::Result<std::string>& result) {
    const std::string of = std::to_string(number);
    if (result) return say(*result == answer_of(number, ballast) ? "ok " + of : "wrong " + of + " another's result");
    const lp::Error& error = result.error();
    const std::string why = " " + error.code().message() + ": " + error.message();
    const auto code = static_cast<lp::Errc>(error.code().value());
    const bool right = code == lp::Errc::node_lost || code == lp::Errc::timed_out || code == lp::Errc::lease_expired ||
                       code == lp::Errc::worker_crashed;
    if (!right) say("wrong " + of + why);
    say((error.may_have_run() ? "may_have_run " : "not_run ") + of + why);
  }

  lp::Loop& loop_;
  const PartOptions& options_;
  const bool patient_;
  lp::LeasedExecutorManager manager_;
  std::mt19937_64 random_;
  std::uint64_t last_ = 0;
  std::size_t open_ = 0;
  bool over_ = false;
};

}  // namespace

lp::RemoteOptions remote_options(const PartOptions& options) {
  lp::RemoteOptions remote{.servers = options.servers};
  remote.heartbeat = options.heartbeat;
  remote.node_timeout = options.node_timeout;
  remote.reconnect_grace = options.node_timeout / 2;
  return remote;
}

int run_part(const PartOptions& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  lp::Loop loop;
  if (options.part == "node") {
    loop.block_on(live_as_node(loop, options));
  } else {
    Caller caller(loop, options);
    loop.block_on(caller.live());
  }
  return 0;
}

}  // namespace cluster

// Leases of a node: acquired, expired, and with large arguments.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "figures/manager.hpp"
#include "figures/nodes.hpp"
#include "loop/loop_core.hpp"
#include "nats/connection.hpp"
#include "nats/nats_server.hpp"

namespace figures {

namespace {

using leasepool::Duration;
using leasepool::ExecutorLease;
using leasepool::Loop;
using leasepool::Task;
using leasepool::test::NatsServer;
using namespace std::chrono_literals;
namespace nats = leasepool::detail::nats;

// A message to a node's loop and back.
class RoundTrips final : nats::BusOwner {
 public:
  RoundTrips(Loop& loop, const std::string& server)
      : loop_(loop), bus_(nats::Connection::make(leasepool::detail::Access::core(loop), {.servers = server}, *this)) {
    bus_->subscribe(kAnswers, [this](const nats::BusMessage& message) {
      if (!message.no_responders) answered_ = Clock::now();
    });
  }
  RoundTrips(const RoundTrips&) = delete;
  RoundTrips& operator=(const RoundTrips&) = delete;
  ~RoundTrips() { bus_->close(); }

  Task<Duration> one() {
    for (;;) {  // until the node has come
      answered_ = {};
      const auto asked = Clock::now();
      (void)bus_->publish(kEchoSubject, std::array<std::byte, 16>{}, kAnswer);
      for (int i = 0; i < 5 && answered_ == Clock::time_point{}; ++i) {
        auto pause = loop_.sleep(2ms);
        co_await pause;
      }
      if (answered_ != Clock::time_point{}) co_return answered_ - asked;
    }
  }

  void bus_connected() override {}
  void bus_disconnected(const leasepool::Error& /*reason*/) override {}
  void bus_has_room() override {}
  void bus_refused(const leasepool::Error& /*reason*/) override {}

 private:
  static constexpr const char* kAnswers = "figures.answer.*";
  static constexpr const char* kAnswer = "figures.answer.1";

  Loop& loop_;
  std::shared_ptr<nats::Connection> bus_;
  Clock::time_point answered_{};
};

// Runs body(loop, manager, round trips) on a caller of its own.
template <class Body>
void on_caller(const std::string& server, const leasepool::ManagerOptions& options, Body body) {
  Loop loop;
  const auto run = [&]() -> Task<> {
    RoundTrips trips(loop, server);
    leasepool::LeasedExecutorManager manager(loop, options);
    auto start = manager.start();
    co_await start;
    auto works = body(loop, manager, trips);
    co_await works;
    auto stop = manager.stop();
    co_await stop;
  };
  loop.block_on(run());
}

// When a process has ended, as a thread that waits for nothing else sees it.
class EndOfProcess {
 public:
  explicit EndOfProcess(pid_t process) : fd_(static_cast<int>(::syscall(SYS_pidfd_open, process, 0))) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "pidfd_open");
    thread_ = std::jthread([this] {
      pollfd waits{.fd = fd_, .events = POLLIN, .revents = 0};
      while (::poll(&waits, 1, -1) < 0 && errno == EINTR) {
      }
      ended_ = Clock::now();
    });
  }
  EndOfProcess(const EndOfProcess&) = delete;
  EndOfProcess& operator=(const EndOfProcess&) = delete;
  ~EndOfProcess() {
    if (thread_.joinable()) thread_.join();
    ::close(fd_);
  }
  [[nodiscard]] Clock::time_point wait() {
    thread_.join();
    return ended_;
  }

 private:
  int fd_;
  Clock::time_point ended_{};
  std::jthread thread_;
};

struct Expiries {
  leasepool::Histogram heard;   // from the hard expiry, by the caller
  leasepool::Histogram killed;  // and the worker gone
};

// Leases with a call that hangs, one after the other.
Task<> expire(leasepool::LeasedExecutorManager& manager, std::size_t count, Loop& loop, Expiries& found) {
  for (std::size_t i = 0; i < count; ++i) {
    auto acquire = acquire_lease(manager, 60ms);
    const ExecutorLease lease = co_await acquire;
    auto ask = lease.run(process_id);
    EndOfProcess worker(static_cast<pid_t>(co_await ask));
    std::optional<Clock::time_point> heard;
    lease.run_async(hang, [&](const leasepool::Result<void>& result) {
      if (!result && result.error().code() == leasepool::Errc::lease_expired) heard = Clock::now();
    });
    const auto expiry = lease.hard_expires_at();
    while (!heard) {
      auto pause = loop.sleep(5ms);
      co_await pause;
    }
    found.heard.record(*heard - expiry);
    found.killed.record(worker.wait() - expiry);
  }
}

}  // namespace

void add_acquires(Report& report, const Options& options) {
  const NatsServer server;
  const NodeProcess node(server.url(), 1, 0);
  std::vector<double> trips;
  std::vector<double> acquires;
  double first = 0;
  on_caller(server.url(), remote_manager(server.url(), 1, 1),
            [&](Loop& loop, leasepool::LeasedExecutorManager& manager, RoundTrips& echo) -> Task<> {
              auto warm = echo.one();
              (void)co_await warm;
              auto lends = loop.sleep(500ms);  // the node has its workers
              co_await lends;
              for (std::size_t i = 0; i <= options.count("acquires"); ++i) {
                auto trip = echo.one();
                trips.push_back(nanoseconds(co_await trip));
                auto idle = loop.sleep(5ms);
                co_await idle;
                const auto asked = Clock::now();
                auto acquire = acquire_lease(manager, Duration::max());
                const ExecutorLease lease = co_await acquire;
                const double took = nanoseconds(Clock::now() - asked);
                i == 0 ? void(first = took) : acquires.push_back(took);
              }
            });
  const double trip = median(trips);
  report.add({.figure = {}, .what = "a round trip, p50", .value = trip, .unit = Unit::nanoseconds});
  report.add(
      {.figure = {}, .what = "acquire on an idle node, p50", .value = median(acquires), .unit = Unit::nanoseconds});
  report.add({.figure = "N",
              .what = "... in round trips",
              .value = median(acquires) / trip,
              .unit = Unit::ratio,
              .at_most = 3});
  report.add(
      {.figure = {}, .what = "... a manager's first one, in round trips", .value = first / trip, .unit = Unit::ratio});
}

void add_expiries(Report& report, const Options& options) {
  const NatsServer server;
  const NodeProcess node(server.url(), 1, 0);
  std::vector<double> trips;
  Expiries remote;
  on_caller(server.url(), remote_manager(server.url(), 1, 1),
            [&](Loop& loop, leasepool::LeasedExecutorManager& manager, RoundTrips& echo) -> Task<> {
              for (std::size_t i = 0; i < options.count("leases"); ++i) {
                auto trip = echo.one();
                trips.push_back(nanoseconds(co_await trip));
              }
              auto expires = expire(manager, options.count("leases"), loop, remote);
              co_await expires;
            });
  Expiries local;
  leasepool::ManagerOptions processes = manager_options(leasepool::ExecutorBackend::process, 1, 1);
  processes.lease_grace = Duration(0);
  on_caller(server.url(), processes, [&](Loop& loop, leasepool::LeasedExecutorManager& manager, RoundTrips&) -> Task<> {
    auto expires = expire(manager, options.count("leases"), loop, local);
    co_await expires;
  });
  const auto add = [&](const char* what, Duration value) {
    report.add({.figure = {}, .what = what, .value = nanoseconds(value), .unit = Unit::nanoseconds});
  };
  add("from a hard expiry on a node to the caller, p50", remote.heard.percentile(50));
  report.add({.figure = "N",
              .what = "from a hard expiry on a node to the caller, p99",
              .value = nanoseconds(remote.heard.percentile(99)),
              .unit = Unit::nanoseconds,
              .at_most = 1e6});
  add("... of a lease on processes of this machine, p99", local.heard.percentile(99));
  add("from a hard expiry on a node to the worker's end, p50", remote.killed.percentile(50));
  add("... to the worker's end, p99", remote.killed.percentile(99));
  add("... of a worker of this machine, p50", local.killed.percentile(50));
  const double trips_later = nanoseconds(remote.killed.percentile(50) - local.killed.percentile(50)) / median(trips);
  report.add({.figure = "N",
              .what = "killed that much later than on this machine, in round trips, p50",
              .value = std::max(trips_later, 0.0),
              .unit = Unit::ratio,
              .at_most = 1});
}

void add_large_arguments(Report& report, const Options& options) {
  constexpr std::size_t kSize = std::size_t{64} << 20;
  const NatsServer server;
  const NodeProcess node(server.url(), 1, 0);
  std::vector<double> rates;
  on_caller(server.url(), remote_manager(server.url(), 1, 1),
            [&](Loop&, leasepool::LeasedExecutorManager& manager, RoundTrips&) -> Task<> {
              auto acquire = acquire_lease(manager, Duration::max());
              const ExecutorLease lease = co_await acquire;
              for (std::size_t i = 0; i <= options.count("large"); ++i) {
                std::string text(kSize, 'x');
                const auto asked = Clock::now();
                auto call = lease.run(length, std::move(text));
                const std::size_t size = co_await call;
                const std::chrono::duration<double> took = Clock::now() - asked;
                if (i > 0) rates.push_back(static_cast<double>(size) / took.count());  // the first one warms up
              }
            });
  report.add({.figure = "N",
              .what = "an argument of 64 MiB to a function on a node, p50",
              .value = median(rates),
              .unit = Unit::bytes_per_second,
              .at_least = 200e6});
}

}  // namespace figures

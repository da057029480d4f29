// The harness: turning a loop from outside, and the life of a pool under test.
#include "harness.hpp"

#include <poll.h>

#include <algorithm>
#include <stdexcept>

#include "base/clock.hpp"

namespace leasepool::test {

bool run_until(Loop& loop, const std::function<bool()>& holds, std::chrono::seconds limit) {
  const auto give_up = std::chrono::steady_clock::now() + limit;
  for (;;) {
    loop.dispatch();
    if (holds()) return true;
    if (std::chrono::steady_clock::now() >= give_up) return false;
    pollfd ready{.fd = loop.poll_fd(), .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, 5);  // what `holds` looks at may change outside of the loop, too
  }
}

void CallSink::job_started(std::uint64_t job_id, TimePoint /*started*/) { started.push_back(job_id); }

void CallSink::job_ended(std::unique_ptr<detail::Job> job) {
  ended.push_back(job->booking.id);
  job->booking.lease.reset();
  job->deliver();
}

TestPool::TestPool(Loop& on, ExecutorBackend backend, detail::PoolOptions options)
    : loop(on),
      totals(options.totals = std::make_shared<detail::PoolTotals>()),
      log(std::make_shared<std::vector<std::string>>()) {
  options.log = [lines = log](LogLevel, std::string_view text) { lines->emplace_back(text); };
  pool = detail::make_pool(*loop.core(), backend, std::move(options));
}

TestPool::~TestPool() {
  if (pool) close_now(std::chrono::seconds(60));
}

detail::PoolOptions TestPool::options_for(std::size_t workers) {
  return {.name = "test-pool",
          .workers = workers,
          .max_payload = std::size_t{64} << 20,
          .worker_start_timeout = std::chrono::seconds(60),
          .log = {},
          .totals = {}};
}

Result<void> TestPool::start() {
  auto started = std::make_shared<std::optional<Result<void>>>();
  pool->start([started](Result<void> result) { started->emplace(std::move(result)); });
  if (!wait([&] { return started->has_value(); })) throw std::runtime_error("a pool's start did not end");
  if (!**started) pool.reset();  // nothing is left to close
  return **started;
}

bool TestPool::close() {
  auto closed = std::make_shared<bool>(false);
  pool->close([closed] { *closed = true; });
  const bool in_time = wait([&] { return *closed; });
  if (in_time) pool.reset();
  return in_time;
}

void TestPool::close_now(Duration patience) {
  pool->close_now(detail::deadline_after(detail::monotonic_now(), patience));
  pool.reset();
}

bool TestPool::logged(const std::string& part) const {
  return std::ranges::any_of(*log, [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

std::uint64_t TestPool::next_id() {
  static std::uint64_t last = 0;
  return ++last;
}

}  // namespace leasepool::test

// The harness: turning a loop from outside, and the life of a pool under test.
#include "harness.hpp"

#include <algorithm>
#include <csignal>
#include <stdexcept>

#include "base/clock.hpp"
#include "leasepool/detail/access.hpp"
#include "processes.hpp"

namespace leasepool::test {

namespace {

// What run_until() waits for, while it runs.
class Watch {
 public:
  Watch(leasepool::detail::LoopCore& loop, const std::function<bool()>& holds, std::chrono::seconds limit)
      : loop_(loop), holds_(holds), give_up_(std::chrono::steady_clock::now() + limit), outer_(current) {
    current = this;
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() {
    current = outer_;
    loop_.cancel_timer(timer_);
  }

  bool run() {
    loop_.run_until(done_, [this] { look_and_wait(); });
    return held_;
  }
  void look() {
    if (!done_) done_ = held_ = holds_();
  }
  static inline Watch* current = nullptr;

 private:
  void look_and_wait() {
    look();
    if (std::chrono::steady_clock::now() >= give_up_) done_ = true;
    if (!done_) {
      timer_ = loop_.call_at(leasepool::detail::deadline_after(loop_.now(), std::chrono::milliseconds(1)),
                             [this] { look_and_wait(); });
    }
  }

  leasepool::detail::LoopCore& loop_;
  const std::function<bool()>& holds_;
  const std::chrono::steady_clock::time_point give_up_;
  Watch* const outer_;
  leasepool::detail::TimerId timer_ = 0;
  bool held_ = false;
  bool done_ = false;
};

}  // namespace

bool run_until(Loop& loop, const std::function<bool()>& holds, std::chrono::seconds limit) {
  return Watch(*leasepool::detail::Access::core(loop), holds, limit).run();
}

void look_again() {
  if (Watch::current != nullptr) Watch::current->look();
}

void turn(Loop& loop) {
  bool done = false;
  leasepool::detail::Access::core(loop)->run_until(
      done, [&] { leasepool::detail::Access::core(loop)->defer([&] { done = true; }); });
}

void CallSink::job_started(std::uint64_t job_id, TimePoint /*started*/) { started.push_back(job_id); }

void CallSink::job_ended(std::unique_ptr<leasepool::detail::Job> job) {
  ended.push_back(job->state.id);
  job->state.lease.reset();
  job->deliver();
  look_again();
}

TestPool::TestPool(Loop& its_loop, ExecutorBackend backend, leasepool::detail::PoolOptions options)
    : loop(its_loop),
      totals(options.totals = std::make_shared<leasepool::detail::PoolTotals>()),
      log(std::make_shared<std::vector<LoggedRecord>>()) {
  options.log = [lines = log](const LogRecord& record) {
    lines->emplace_back(record);
    look_again();
  };
  pool = leasepool::detail::make_pool(*leasepool::detail::Access::core(loop), backend, std::move(options));
  sink->pool = pool;
}

TestPool::~TestPool() {
  if (pool) close_now(std::chrono::seconds(60));
}

detail::PoolOptions TestPool::options_for(std::size_t workers) {
  return {.name = "test-pool",
          .workers = workers,
          .max_payload = std::size_t{64} << 20,
          .spin = std::chrono::microseconds(50),
          .shared_memory = leasepool::detail::shared_memory_by_default(),
          .worker_start_timeout = std::chrono::seconds(60),
          .log = {},
          .totals = {},
          .decode_limits = {.most_bytes = std::size_t{512} << 20},
          .decode_thread_threshold = std::size_t{64} << 10};
}

Result<void> TestPool::start() {
  auto started = std::make_shared<std::optional<Result<void>>>();
  pool->start([started](Result<void> result) {
    started->emplace(std::move(result));
    look_again();
  });
  if (!wait([&] { return started->has_value(); })) throw std::runtime_error("a pool's start did not end");
  if (!**started) pool.reset();  // nothing is left to close
  return **started;
}

bool TestPool::stop_process(pid_t process) {
  ::kill(process, SIGSTOP);
  return wait([&] { return process_state(process) == 'T'; });
}

bool TestPool::close() {
  auto closed = std::make_shared<bool>(false);
  pool->close([closed] {
    *closed = true;
    look_again();
  });
  const bool in_time = wait([&] { return *closed; });
  if (in_time) pool.reset();
  return in_time;
}

void TestPool::close_now(Duration patience) {
  pool->close_now(leasepool::detail::deadline_after(leasepool::detail::monotonic_now(), patience));
  pool.reset();
}

bool TestPool::logged(const std::string& part) const {
  return std::ranges::any_of(*log, [&](const LoggedRecord& line) { return line.text.find(part) != std::string::npos; });
}

std::uint64_t TestPool::next_id() {
  static std::uint64_t last = 0;
  return ++last;
}

}  // namespace leasepool::test

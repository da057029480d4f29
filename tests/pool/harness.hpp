// What the tests of the pools share: a loop that runs until something holds, a pool on it without a lease in between,
// and calls whose outcome is kept.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "leasepool/detail/bound_job.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool.hpp"

namespace leasepool::test {

// Runs the loop until `holds()` does; false after the limit, which only a broken test or library reaches.
bool run_until(Loop& loop, const std::function<bool()>& holds, std::chrono::seconds limit = std::chrono::seconds(60));

// Lets run_until() look again at once. Without it, it looks every millisecond.
void look_again();

// Runs one turn of the loop, which does not wait.
void turn(Loop& loop);

// One call: what came of it, and how often.
template <class R>
struct Call {
  std::optional<Result<R>> result;
  int deliveries = 0;
  leasepool::detail::Job* job = nullptr;  // while it has not ended
  std::uint64_t id = 0;

  [[nodiscard]] bool ended() const { return result.has_value(); }
  [[nodiscard]] bool succeeded() const { return result && result->has_value(); }
  // Errc{} when it has not failed.
  [[nodiscard]] std::error_code code() const { return result && !*result ? result->error().code() : std::error_code(); }
  [[nodiscard]] std::string message() const { return result && !*result ? result->error().message() : std::string(); }
};

// Stands where a lease would.
class CallSink final : public leasepool::detail::JobSink {
 public:
  void job_started(std::uint64_t job_id, TimePoint started) override;
  void job_ended(std::unique_ptr<leasepool::detail::Job> job) override;
  [[nodiscard]] std::string_view lease_owner() const noexcept override { return "test owner"; }

  std::shared_ptr<leasepool::detail::Pool> pool;  // which a job's lease keeps alive
  std::vector<std::uint64_t> started;
  std::vector<std::uint64_t> ended;  // ids, in the order of their end
};

// A job that keeps its outcome in `call`.
template <class F, class... A>
std::unique_ptr<leasepool::detail::Job> make_test_job(
    std::shared_ptr<Call<leasepool::detail::CallResult<F, A...>>>& call, F&& function, A&&... arguments) {
  using R = leasepool::detail::CallResult<F, A...>;
  call = std::make_shared<Call<R>>();
  auto keep = [call](Result<R> result) {
    ++call->deliveries;
    call->job = nullptr;
    call->result.emplace(std::move(result));
  };
  auto job = leasepool::detail::make_job<decltype(keep)>(std::forward<F>(function), std::forward<A>(arguments)...);
  job->set_receiver(std::move(keep));
  call->job = job.get();
  return job;
}

// A log record with its own texts.
struct LoggedRecord {
  explicit LoggedRecord(const LogRecord& given)
      : record(given), text(given.text), pool(given.pool), owner(given.owner), function(given.function) {}
  LogRecord record;
  std::string text, pool, owner, function;
};

// A pool, its options and what it reported. Closed at once when destroyed.
class TestPool {
 public:
  TestPool(Loop& its_loop, ExecutorBackend backend, std::size_t workers)
      : TestPool(its_loop, backend, options_for(workers)) {}
  TestPool(Loop& its_loop, ExecutorBackend backend, leasepool::detail::PoolOptions options);
  TestPool(const TestPool&) = delete;
  TestPool& operator=(const TestPool&) = delete;
  ~TestPool();

  static leasepool::detail::PoolOptions options_for(std::size_t workers);

  // Starts it and waits until it is ready or has failed.
  Result<void> start();

  template <class F, class... A>
  auto call(F&& function, A&&... arguments) {
    std::shared_ptr<Call<leasepool::detail::CallResult<F, A...>>> call;
    auto job = make_test_job(call, std::forward<F>(function), std::forward<A>(arguments)...);
    call->id = job->state.id = next_id();
    job->state.lease = sink;
    job->state.reports_start = true;
    if (job->takes_stop_token()) job->state.stop = std::stop_source();
    pool->submit(std::move(job));
    return call;
  }

  // Calls and waits for the end.
  template <class F, class... A>
  auto result_of(F&& function, A&&... arguments) {
    const auto made = call(std::forward<F>(function), std::forward<A>(arguments)...);
    if (!wait([&] { return made->ended(); })) throw std::runtime_error("a call did not end");
    return std::move(*made->result);
  }

  bool wait(const std::function<bool()>& holds, std::chrono::seconds limit = std::chrono::seconds(60)) {
    return run_until(loop, holds, limit);
  }

  // With SIGSTOP, and waits until it has stopped; false if it has not.
  bool stop_process(pid_t process);

  // Closes it in order and waits for that; false if that did not end.
  bool close();
  // Closes it as a destructor does, and gives it up.
  void close_now(Duration patience);

  [[nodiscard]] bool logged(const std::string& part) const;

  Loop& loop;
  const std::shared_ptr<leasepool::detail::PoolTotals> totals;
  std::shared_ptr<std::vector<LoggedRecord>> log;
  std::shared_ptr<CallSink> sink = std::make_shared<CallSink>();
  std::shared_ptr<leasepool::detail::Pool> pool;

 private:
  static std::uint64_t next_id();
};

}  // namespace leasepool::test

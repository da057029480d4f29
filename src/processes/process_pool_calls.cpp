// A process pool's calls: interrupted, and what becomes of one whose worker dies. Its dispatcher hands them out.
#include <algorithm>
#include <ranges>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "leasepool/detail/access.hpp"
#include "processes/process_pool.hpp"
#include "shared/symbols.hpp"

namespace leasepool::detail {

namespace {

// A call of which so many workers died before they began it is not given to another.
constexpr std::uint8_t kMaxLostStarts = 10;

}  // namespace

void ProcessPool::submit(std::unique_ptr<Job> job) {
  check(!closing_, "a closing pool gets no jobs");
  dispatcher_->submit(std::move(job));
}

void ProcessPool::submit_batch(IntrusiveQueue<Job> jobs) {
  check(!closing_, "a closing pool gets no jobs");
  dispatcher_->submit_batch(std::move(jobs));
}

bool ProcessPool::withdraw(Job& job, const Error& error) { return dispatcher_->withdraw(job, error); }

Worker* ProcessPool::holder_of(const Job& job) const {
  const auto found = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->has_job(job); });
  return found == workers_.end() ? nullptr : found->get();
}

bool ProcessPool::interrupt(Job& job, Error error) {
  if (const auto decoding = decoding_of(job)) {  // the function has ended: there is nothing to kill
    auto taken = take_job_from(decoding);
    abandon(decoding);
    end_call(decoding->trace_lane, std::move(taken), std::move(error));
    return true;
  }
  Worker* const running = holder_of(job);
  check(running != nullptr, "a job that runs is with one of the pool's workers");
  const auto worker = running->shared_from_this();
  error = with_noted_stack(std::move(error), *worker, job);
  dispatcher_->recall_from(*worker);
  std::unique_ptr<Job> taken = worker->take_job(job);
  if (!worker->has_jobs()) kill_abandoned(*worker);  // else it is between two calls
  end_call(worker->trace_lane, std::move(taken), std::move(error));
  refill();
  dispatcher_->dispatch();
  return true;
}

Error ProcessPool::with_noted_stack(Error error, const Worker& worker, const Job& job) noexcept {
  try {
    StackTrace stack = worker.noted_stack(job);
    if (stack.empty()) return error;
    const std::string where = "; late in its time it was in " + in_a_line(stack);
    return Access::with_details(Access::with_message(error, error.message() + where),
                                std::make_shared<ErrorDetails>(ErrorDetails{.crash = {}, .stack = std::move(stack)}));
  } catch (const std::bad_alloc&) {  // then the error says less
    return error;
  }
}

// What a worker has begun ends with it, and it does so in one kill, however many calls that are.
void ProcessPool::abort(const Error& error, Ended ended) {
  dispatcher_->end_waiting(error);
  if (ended == Ended::are_included) end_decodings(error);
  for_each_worker([&](Worker& worker) {
    auto begun = worker.take_jobs();
    if (begun.empty()) return;
    kill_abandoned(worker);
    while (!begun.empty()) {
      auto job = begun.pop_front();
      Error told = with_noted_stack(error, worker, *job);
      end_call(worker.trace_lane, std::move(job), std::move(told));
    }
  });
  refill();
  dispatcher_->dispatch();
}

void ProcessPool::requeue_or_fail(const Worker& worker, std::unique_ptr<Job> job) {
  const bool begun = worker.had_begun(*job);
  if (!begun && ++job->state.lost_starts < kMaxLostStarts) return dispatcher_->requeue_front(std::move(job));
  Error error = crash_error(worker, *job);
  if (!begun) {
    error = Access::with_message(error, [&] {
      return options_.name + ": " + std::to_string(kMaxLostStarts) + " workers in a row ended before they began " +
             std::string(job->function_name()) + ", the last: " + worker.describe_end() + "; it has not run";
    });
    error = Access::not_run(error);
  }
  log(LogLevel::warning, [&] { return error.message(); });
  end_call(worker.trace_lane, std::move(job), std::move(error));
}

Error ProcessPool::crash_error(const Worker& worker, const Job& job) const noexcept {
  try {
    WorkerCrash crash = worker.report_end(job);
    std::string message = options_.name + ": " + worker.describe_end() + " while running " + crash.function +
                          " (call " + std::to_string(crash.call_id) + "), " + in_milliseconds(crash.ran_for) +
                          " after it was sent; it may have run in part";
    if (!crash.stack.empty()) message += "; it was in " + in_a_line(crash.stack);
    return Access::with_details(Error(Errc::worker_crashed, std::move(message)),
                                std::make_shared<ErrorDetails>(ErrorDetails{.crash = std::move(crash), .stack = {}}));
  } catch (const std::bad_alloc&) {
    return Error::without_message(Errc::worker_crashed);
  }
}

}  // namespace leasepool::detail

// WorkerPort: what a dispatcher sees of a worker, wherever that runs: a line of calls that it has been sent, of which
// the first runs, as far as is known here, and the others were prefetched.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "base/intrusive_queue.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

// Loop thread only. No function tells its dispatcher anything before it returns.
class WorkerPort {
 public:
  // A call that waits no longer than this behind others is as well off there as on a worker that has to be woken.
  static constexpr Duration kMaxPrefetchWait = std::chrono::microseconds(20);

  // Appends a job to the line of a worker that is idle or has credit; it is sent with the next flush(). Returns why it
  // could not be encoded, and then the job is still the caller's.
  [[nodiscard]] virtual std::optional<Error> queue(std::unique_ptr<Job>& job) = 0;
  virtual void flush() = 0;

  // Its line is empty.
  [[nodiscard]] virtual bool idle() const noexcept = 0;
  // It takes calls beside those that it has; and has room for one now.
  [[nodiscard]] virtual bool may_have_more() const noexcept = 0;
  [[nodiscard]] virtual bool has_credit() noexcept = 0;
  // Whether a call that it is sent now waits no longer than kMaxPrefetchWait; and whether the last of so many more
  // does.
  [[nodiscard]] virtual bool is_quick() const noexcept = 0;
  [[nodiscard]] virtual bool is_quick_with(std::size_t more) const noexcept = 0;
  // Whether the last of as many like those that it has as it takes at a time does.
  [[nodiscard]] virtual bool is_quick_when_full() const noexcept = 0;
  // Whether a call has to wake it, as far as it says so.
  [[nodiscard]] virtual bool sleeps() const noexcept = 0;

  // The job that runs; null if nobody waits for its outcome any more, or none does.
  [[nodiscard]] virtual Job* job() const noexcept = 0;
  // When that became the first of its line.
  [[nodiscard]] virtual TimePoint busy_since() const noexcept = 0;
  [[nodiscard]] virtual bool has_job(const Job& job) const noexcept = 0;
  [[nodiscard]] virtual std::size_t jobs_waiting() const noexcept = 0;

  // Recalls jobs that the worker has not begun, and now never will: one, or the first so many, in their order.
  [[nodiscard]] virtual std::unique_ptr<Job> recall(const Job& job) noexcept = 0;
  [[nodiscard]] virtual IntrusiveQueue<Job> recall_first(std::size_t count) noexcept = 0;

 protected:
  ~WorkerPort() = default;
};

}  // namespace leasepool::detail

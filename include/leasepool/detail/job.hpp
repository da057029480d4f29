// Job: one call of a function with its arguments and its receiver, as the library carries it from a lease to a worker
// and back. BoundJob (bound_job.hpp) is the template behind it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/decode_limits.hpp"
#include "leasepool/detail/deferred.hpp"
#include "leasepool/detail/deliverable.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/detail/stop.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

class CancellationGroup;
class Job;

// Where a job goes when it has ended, and who is told that it began. Called on the loop's thread.
class JobSink {
 public:
  virtual void job_started(std::uint64_t job_id, TimePoint started) = 0;
  // It waits again: the worker that it was sent to has died, or serves no more, before it began.
  virtual void job_given_back(std::uint64_t /*job_id*/) {}
  // The job's hold of it is to be let go here, and may be the last.
  virtual void job_ended(std::unique_ptr<Job> job) = 0;
  [[nodiscard]] virtual std::string_view lease_owner() const noexcept { return {}; }
  [[nodiscard]] virtual std::uint64_t lease_id() const noexcept { return 0; }

 protected:
  ~JobSink() = default;
};

// What the library notes about a job on its way. Loop thread only, where nothing else is said. A million of them may be
// queued: each word counts.
struct JobState {
  static constexpr Duration kNoTimeout = Duration::max();

  // First, and so in one cache line with the job's links, what a thread touches that runs it. Nothing behind `id` is
  // for it, but where a flag here says so.
  std::atomic<TimePoint> started{TimePoint{}};  // TimePoint{}: it waits for a worker; set by whoever runs it
  TimePoint submitted{};
  std::atomic<TimePoint> ended{TimePoint{}};  // when it ended, by whoever saw that; TimePoint{}: not noted
  bool reports_start = false;                 // the loop is told when it begins
  bool delivered = false;                     // the caller was told before the function ended
  bool of_batch = false;                      // is sent to busy worker processes however long they take
  bool waits_in_pool = false;                 // the pool has not handed it to a worker
  bool has_stop = false;                      // `stop` is there
  std::uint8_t lost_starts = 0;               // how many workers died with it before they began it
  std::uint16_t thread = 0;                   // of its pool's threads, the place of the one that ran it
  std::uint64_t id = 0;
  FunctionStop stop;  // of a function that takes a std::stop_token

  std::shared_ptr<JobSink> lease;             // where it ends
  JobSink* pool = nullptr;                    // where a thread hands it back; its lease keeps that alive
  Duration timeout = kNoTimeout;              // of its run, counted from its start on a worker
  Duration queue_timeout = kNoTimeout;        // of its wait, counted from its submission
  CancellationGroup* cancellation = nullptr;  // the one that it is in: with its stop token, of its lease
  std::unique_ptr<Deferred> start_notice;     // made when it is submitted, as its start takes no memory
  std::uint64_t timer = 0;
  Job* in_flight_next = nullptr;  // the lease's calls that have not ended, oldest first
  Job* in_flight_previous = nullptr;
  Job* early_next = nullptr;                             // of those whose callers are to be told before they end
  Error early_outcome = Access::make_no_error<Error>();  // while it is among them

  // As of a job that was never submitted: for one that is submitted again. Nobody watches it any more.
  void renew() noexcept {
    started.store(TimePoint{}, std::memory_order_relaxed);
    ended.store(TimePoint{}, std::memory_order_relaxed);
    waits_in_pool = delivered = false;
    lost_starts = 0;
    id = timer = 0;
    lease.reset();
    cancellation = nullptr;
  }

  // Of its lease; empty for an initializer.
  [[nodiscard]] std::string_view owner() const noexcept { return lease ? lease->lease_owner() : std::string_view(); }
  [[nodiscard]] std::uint64_t lease_id() const noexcept { return lease ? lease->lease_id() : 0; }
};

// A result between its bytes and its job, apart from both: any thread decodes it, and destroys it where nobody waits
// for it any more.
class ResultDecoder {
 public:
  ResultDecoder() = default;
  ResultDecoder(const ResultDecoder&) = delete;
  ResultDecoder& operator=(const ResultDecoder&) = delete;
  virtual ~ResultDecoder() = default;

  // Keeps the value, or why there is none. Takes of the descriptors what the result needs.
  virtual void decode(std::span<const std::byte> result, std::span<Fd> descriptors,
                      const DecodeLimits& limits) noexcept = 0;
};

class Job : public Deliverable {
 public:
  // Runs the function here and keeps what came of it.
  virtual void run() noexcept = 0;

  // Appends the encoded arguments, and puts duplicates of their descriptors into `descriptors`; returns the function's
  // id, or why it cannot go to another process. May be repeated: the job keeps its arguments until it is delivered.
  virtual Result<FunctionId> encode(Bytes& out, Descriptors& descriptors, std::size_t limit) const = 0;

  // Keeps the result that another process sent, or bad_payload. Takes of the descriptors what the result needs.
  virtual void accept(std::span<const std::byte> result, std::span<Fd> descriptors,
                      const DecodeLimits& limits) noexcept = 0;

  // The same in two steps, the first of which is another thread's. Null where there is nothing to decode.
  [[nodiscard]] virtual std::unique_ptr<ResultDecoder> make_decoder() const = 0;
  virtual void accept(ResultDecoder& decoded) noexcept = 0;

  // Keeps a failure as what came of it.
  virtual void fail(Error error) = 0;

  void handed_back(std::unique_ptr<Deliverable> self) override {
    // It is this one. NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast)
    state.pool->job_ended(std::unique_ptr<Job>(static_cast<Job*>(self.release())));
  }

  // Takes the receiver out, while the function may still be running on a thread, and hands it `error`. Loop thread.
  virtual void deliver_early(Error error) = 0;

  // It has certainly not run, as its pool was lost: whoever submitted it may want to do so again. True: it is not to be
  // delivered, and goes where `self` was moved to, or nowhere.
  [[nodiscard]] virtual bool take_back(std::unique_ptr<Job>& /*self*/) noexcept { return false; }

  // Why it failed; null if it did not. Only of a job that has ended.
  [[nodiscard]] virtual const Error* error() const noexcept = 0;

  [[nodiscard]] virtual bool takes_stop_token() const noexcept = 0;
  [[nodiscard]] virtual std::string_view function_name() const = 0;

  JobState state;
};

// Whether its function has begun.
[[nodiscard]] inline bool has_started(const Job& job) noexcept {
  return job.state.started.load(std::memory_order_relaxed) != TimePoint{};
}
// Whether it has returned, in time for any deadline that passes now.
[[nodiscard]] inline bool has_ended(const Job& job) noexcept {
  return job.state.ended.load(std::memory_order_relaxed) != TimePoint{};
}
[[nodiscard]] inline bool is_running(const Job& job) noexcept { return has_started(job) && !has_ended(job); }

// Hands a job to the lease in which it ends.
inline void end_at_lease(std::unique_ptr<Job> job) {
  JobSink& lease = *job->state.lease;
  lease.job_ended(std::move(job));
}
inline void end_at_lease(std::unique_ptr<Job> job, Error error) {
  job->fail(std::move(error));
  end_at_lease(std::move(job));
}
// The same for one whose function has certainly not begun.
inline void end_before_run(std::unique_ptr<Job> job, const Error& error) {
  end_at_lease(std::move(job), Access::not_run(error));
}

}  // namespace leasepool::detail

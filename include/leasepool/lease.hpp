// ExecutorLease: a pool borrowed for a time, and the verbs that call functions on it.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/awaitable.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "leasepool/detail/callable.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/detail/stop.hpp"
#include "leasepool/detail/temporaries.hpp"
#include "leasepool/duration.hpp"

namespace leasepool {

/// Options of one call.
struct CallOptions {
  /// How long the function may run, counted from its start on a worker. Then the call fails with timed_out; a worker
  /// process is killed and replaced, a thread stays busy until the function returns.
  std::optional<TimeSpan> timeout{};
  /// How long the call may wait for a worker. Then it fails with timed_out and has not run.
  std::optional<TimeSpan> queue_timeout{};
};

namespace detail {

class LeaseRecord;

struct CallSettings {
  CallOptions options;
  CallerStop stop;
};

// Throws std::invalid_argument for a duration that is not positive.
LEASEPOOL_EXPORT void check_call_options(const CallOptions& options);

// Throws wrong_thread off the loop's thread, and lease_expired for an empty lease.
LEASEPOOL_EXPORT void check_may_call(const LeaseRecord* record);

// Starts a job; what fails reaches its receiver.
LEASEPOOL_EXPORT void submit_job(const std::shared_ptr<LeaseRecord>& record, std::unique_ptr<Job> job,
                                 const CallSettings& settings);

// The same from any thread.
LEASEPOOL_EXPORT void submit_job_from_thread(const std::shared_ptr<LeaseRecord>& record, std::unique_ptr<Job> job,
                                             const CallSettings& settings);

// LeaseCalls and ExecutorLease share them, neither of which is to count the lease once more for a call.
template <class F, class... A>
auto run_awaited(const std::shared_ptr<LeaseRecord>& record, const CallSettings& settings, F&& function,
                 A&&... arguments) {
  using R = CallResult<F, A...>;
  using Receiver = AwaitReceiver<R>;
  check_may_call(record.get());
  check_callable("run", "function", function);
  auto job = make_job<Receiver>(std::forward<F>(function), std::forward<A>(arguments)...);
  auto start = [record, settings, job = std::move(job)](Receiver receiver) mutable {
    job->set_receiver(std::move(receiver));
    submit_job(record, std::move(job), settings);
  };
  return AwaitedWith<Awaitable<R, decltype(start)>, F, A...>(std::move(start));
}

template <class F, class... Rest>
void run_with_callback(const std::shared_ptr<LeaseRecord>& record, const CallSettings& settings, F&& function,
                       Rest&&... arguments_and_callback) {
  check_may_call(record.get());
  check_callable("run_async", "function", function);
  auto rest = std::forward_as_tuple(std::forward<Rest>(arguments_and_callback)...);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    using Callback = std::decay_t<std::tuple_element_t<sizeof...(I), std::tuple<Rest...>>>;
    check_callable("run_async", "callback", std::get<sizeof...(I)>(rest));
    auto job = make_job<Callback>(std::forward<F>(function), std::get<I>(std::move(rest))...);
    // NOLINTNEXTLINE(bugprone-use-after-move): each get() moves one element
    job->set_receiver(std::get<sizeof...(I)>(std::move(rest)));
    submit_job(record, std::move(job), settings);
  }(std::make_index_sequence<sizeof...(Rest) - 1>());
}

}  // namespace detail

/// The verbs of a lease with options of one call: what ExecutorLease::with() returns. Keeps the lease's pool reachable,
/// not the lease: once that is released, calls fail with lease_expired.
class LeaseCalls {
 public:
  template <class F, class... A>
    requires detail::CallableWith<F, A...>
  auto run(F&& function, A&&... arguments) const {
    return detail::run_awaited(record_, settings_, std::forward<F>(function), std::forward<A>(arguments)...);
  }

  template <class F, class... Rest>
    requires detail::PossibleCallAndCallback<detail::CallOf, F, Rest...>
  void run_async(F&& function, Rest&&... arguments_and_callback) const {
    detail::run_with_callback(record_, settings_, std::forward<F>(function),
                              std::forward<Rest>(arguments_and_callback)...);
  }

  template <class F, class... A>
    requires detail::CallableWith<F, A...>
  auto submit(F&& function, A&&... arguments) const {
    using R = detail::CallResult<F, A...>;
    detail::check_callable("submit", "function", function);
    detail::PromiseReceiver<R> receiver;
    std::future<R> future = receiver.future();
    auto job = detail::make_job<detail::PromiseReceiver<R>>(std::forward<F>(function), std::forward<A>(arguments)...);
    job->set_receiver(std::move(receiver));
    detail::submit_job_from_thread(record_, std::move(job), settings_);
    return future;
  }

  template <class F, class... A>
    requires detail::CallableWith<F, A...>
  auto submit_from_thread(F&& function, A&&... arguments) const {
    return submit(std::forward<F>(function), std::forward<A>(arguments)...);
  }

  [[nodiscard]] LeaseCalls with(CallOptions options) const {
    detail::check_call_options(options);
    return {record_, {.options = options, .stop = settings_.stop}};
  }
  [[nodiscard]] LeaseCalls with(const std::stop_token& token) const {
    return {record_, {.options = settings_.options, .stop = detail::CallerStop(token)}};
  }

 private:
  friend struct detail::Access;
  LeaseCalls(std::shared_ptr<detail::LeaseRecord> record, detail::CallSettings settings)
      : record_(std::move(record)), settings_(std::move(settings)) {}

  std::shared_ptr<detail::LeaseRecord> record_;
  detail::CallSettings settings_;
};

/// A pool borrowed from a LeasedExecutorManager until release(), destruction or hard expiry, whichever comes first.
/// Move-only. Loop thread only, but for submit() and the destructor. Outliving its manager or loop is allowed: calls
/// then fail with not_started. A moved-from lease is empty: its calls throw lease_expired.
class LEASEPOOL_EXPORT ExecutorLease {
 public:
  ExecutorLease() noexcept = default;
  ExecutorLease(ExecutorLease&&) noexcept = default;
  ExecutorLease& operator=(ExecutorLease&& other) noexcept;
  ExecutorLease(const ExecutorLease&) = delete;
  ExecutorLease& operator=(const ExecutorLease&) = delete;
  ~ExecutorLease();

  /// Awaitable of the function's result; the call starts when awaited. On threads any callable and movable arguments
  /// do; on worker processes a registered function, whose arguments are converted to its parameter types and encoded.
  /// Both are kept as std::async does, as decayed copies that live until the call has ended: std::ref() passes a
  /// reference, and what a pointer or a view that is passed looks at must outlive the call, unless its parameter owns.
  /// Throws what the function threw, or LeasePoolError. A coroutine destroyed while it waits detaches from the call.
  /// A function (or callback, below) that is null or empty is std::invalid_argument.
  template <class F, class... A>
    requires detail::CallableWith<F, A...>
  auto run(F&& function, A&&... arguments) const {
    return detail::run_awaited(record_, {}, std::forward<F>(function), std::forward<A>(arguments)...);
  }

  /// run_async(function, arguments..., callback): the same with a callback(Result<R>) instead of a coroutine.
  template <class F, class... Rest>
    requires detail::PossibleCallAndCallback<detail::CallOf, F, Rest...>
  void run_async(F&& function, Rest&&... arguments_and_callback) const {
    detail::run_with_callback(record_, {}, std::forward<F>(function), std::forward<Rest>(arguments_and_callback)...);
  }

  /// The same with a std::future, for a file that includes <future>. Any thread; waiting for the future on the loop's
  /// own thread would never end.
  template <class F, class... A>
    requires detail::CallableWith<F, A...>
  auto submit(F&& function, A&&... arguments) const {
    return calls().submit(std::forward<F>(function), std::forward<A>(arguments)...);
  }

  /// The same by the name that a grinder has for it.
  template <class F, class... A>
    requires detail::CallableWith<F, A...>
  auto submit_from_thread(F&& function, A&&... arguments) const {
    return calls().submit_from_thread(std::forward<F>(function), std::forward<A>(arguments)...);
  }

  /// The verbs with a timeout; std::invalid_argument unless it is positive.
  [[nodiscard]] LeaseCalls with(CallOptions options) const { return calls().with(options); }

  /// The verbs, cancelled when a stop is requested of the token (from any thread).
  [[nodiscard]] LeaseCalls with(const std::stop_token& token) const { return calls().with(token); }

  /// Returns the pool; calls that still run end first and deliver. Idempotent.
  void release();

  /// Moves both deadlines to `duration` from now. Throws lease_expired when the lease is over,
  /// std::invalid_argument unless the duration is positive.
  void extend(TimeSpan duration);

  /// Unique within the process; 0 when empty.
  [[nodiscard]] std::uint64_t lease_id() const noexcept;
  [[nodiscard]] std::string owner() const;
  /// When the lease is reported as overdue, and when it is revoked. TimePoint::max() means never.
  [[nodiscard]] TimePoint soft_expires_at() const noexcept;
  [[nodiscard]] TimePoint hard_expires_at() const noexcept;

  /// Whether it holds a lease that is neither released nor revoked.
  [[nodiscard]] bool active() const noexcept;

 private:
  friend struct detail::Access;
  explicit ExecutorLease(std::shared_ptr<detail::LeaseRecord> record) noexcept : record_(std::move(record)) {}

  [[nodiscard]] LeaseCalls calls() const { return detail::Access::make<LeaseCalls>(record_, detail::CallSettings{}); }
  void release_from_any_thread() noexcept;

  std::shared_ptr<detail::LeaseRecord> record_;
};

}  // namespace leasepool

#endif

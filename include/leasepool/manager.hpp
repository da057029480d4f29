// LeasedExecutorManager: a bounded number of pools, lent out as leases.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <functional>
#include <memory>
#include <source_location>
#include <string>

#include "leasepool/awaitable.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/detail/std_types.hpp"
#include "leasepool/lease.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/options.hpp"
#include "leasepool/stats.hpp"

namespace leasepool {

namespace detail {

class ManagerCore;

// An acquire with its options checked and copied.
struct AcquireRequest {
  std::string owner;
  Duration lease_duration{};
  bool wait = true;
  std::optional<Duration> timeout;
  std::source_location where;
};

// Leaves the queue of waiters when destroyed.
class LEASEPOOL_EXPORT AcquireTicket {
 public:
  AcquireTicket(std::weak_ptr<ManagerCore> manager, std::uint64_t waiter) noexcept
      : manager_(std::move(manager)), waiter_(waiter) {}
  AcquireTicket(AcquireTicket&& other) noexcept
      : manager_(std::move(other.manager_)), waiter_(std::exchange(other.waiter_, 0)) {}
  AcquireTicket& operator=(AcquireTicket&&) = delete;
  ~AcquireTicket();

 private:
  std::weak_ptr<ManagerCore> manager_;
  std::uint64_t waiter_;
};

using AcquireCallback = std::move_only_function<void(Result<ExecutorLease>)>;
using DoneCallback = std::move_only_function<void(Result<void>)>;

// Throws wrong_thread, or std::invalid_argument that names the option.
LEASEPOOL_EXPORT AcquireRequest make_acquire_request(const ManagerCore& manager, const AcquireOptions& options,
                                                     std::source_location where);
LEASEPOOL_EXPORT AcquireTicket acquire(const std::shared_ptr<ManagerCore>& manager, const AcquireRequest& request,
                                       AcquireCallback callback);
// The same; a stop that is requested of the token, by any thread, takes it back.
LEASEPOOL_EXPORT void acquire_unless_stopped(const std::shared_ptr<ManagerCore>& manager, const AcquireRequest& request,
                                             AcquireCallback callback, const std::stop_token& stop);
LEASEPOOL_EXPORT void check_manager_thread(const ManagerCore& manager, const char* verb);
LEASEPOOL_EXPORT void start_manager(const std::shared_ptr<ManagerCore>& manager, DoneCallback done);
LEASEPOOL_EXPORT void stop_manager(const std::shared_ptr<ManagerCore>& manager, DoneCallback done);

}  // namespace detail

/// Lends pools of threads or of worker processes for bounded times. Loop thread only, but for notify_scale_changed().
/// Its destructor cancels what is in flight and leaves no worker behind: worker processes are killed, threads get
/// stop_timeout to finish what they run. The loop may be destroyed before it: everything then fails with not_started.
class LEASEPOOL_EXPORT LeasedExecutorManager {
 public:
  /// Throws std::invalid_argument naming the option and its value, LeasePoolError (wrong_thread).
  LeasedExecutorManager(Loop& loop, ManagerOptions options);
  LeasedExecutorManager(const LeasedExecutorManager&) = delete;
  LeasedExecutorManager& operator=(const LeasedExecutorManager&) = delete;
  ~LeasedExecutorManager();

  /// Awaitable: makes the target number of pools; ends when their workers are ready. Starting twice is once. A failed
  /// start leaves nothing behind and can be tried again.
  auto start() {
    detail::check_manager_thread(*core_, "start");
    auto begin = [core = core_](detail::AwaitReceiver<void> receiver) {
      detail::start_manager(core, std::move(receiver));
    };
    return Awaitable<void, decltype(begin)>(std::move(begin));
  }
  void start_async(detail::DoneCallback done);

  /// Awaitable: fails waiting acquires with not_started and queued calls with cancelled, gives running calls
  /// stop_timeout, then kills (processes) or abandons (threads) them. Always completes.
  auto stop() {
    detail::check_manager_thread(*core_, "stop");
    auto begin = [core = core_](detail::AwaitReceiver<void> receiver) {
      detail::stop_manager(core, std::move(receiver));
    };
    return Awaitable<void, decltype(begin)>(std::move(begin));
  }
  void stop_async(detail::DoneCallback done);

  /// Awaitable of ExecutorLease. Waits first come, first served; a coroutine destroyed while it waits leaves the queue.
  /// Fails with not_started, lease_unavailable (wait = false, or max_waiters reached) or timed_out.
  auto acquire(AcquireOptions options = {}, std::source_location where = std::source_location::current()) {
    auto begin = [core = core_, request = detail::make_acquire_request(*core_, options, where)](
                     detail::AwaitReceiver<ExecutorLease> receiver) {
      return detail::acquire(core, request, std::move(receiver));
    };
    return Awaitable<ExecutorLease, decltype(begin)>(std::move(begin));
  }
  void acquire_async(AcquireOptions options, detail::AcquireCallback callback,
                     std::source_location where = std::source_location::current());

  /// Asks size_provider again and resizes. Any thread.
  void notify_scale_changed();

  /// How many pools there should be, as size_provider said when it was last asked; 0 before start() and after stop().
  [[nodiscard]] std::size_t desired_executor_count() const;
  [[nodiscard]] std::size_t available_count() const;
  [[nodiscard]] std::size_t leased_count() const;
  [[nodiscard]] std::size_t total_count() const;
  [[nodiscard]] ExecutorBackend backend() const noexcept;
  [[nodiscard]] ManagerStats stats() const;

  /// For threads other than the loop's: waits for the loop's next turn. Throws wrong_thread on the loop's own thread,
  /// not_started when the loop is gone.
  [[nodiscard]] ManagerStats stats_from_thread() const;

 private:
  friend struct detail::Access;

  std::shared_ptr<detail::LoopCore> loop_;
  std::shared_ptr<detail::ManagerCore> core_;
};

}  // namespace leasepool

#endif

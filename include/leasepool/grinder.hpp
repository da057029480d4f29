// WorkGrinder: many small jobs, few leases: items are collected and run in batches, each on one lease.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <memory>
#include <source_location>
#include <utility>

#include "leasepool/awaitable.hpp"
#include "leasepool/batch_function.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/detail/item_verbs.hpp"
#include "leasepool/grinder_options.hpp"
#include "leasepool/grinder_stats.hpp"
#include "leasepool/manager.hpp"
#include "leasepool/pending.hpp"

namespace leasepool {

namespace detail {

LEASEPOOL_EXPORT void start_grinder(const std::shared_ptr<GrinderCore>& grinder, DoneCallback done);
LEASEPOOL_EXPORT void stop_grinder(const std::shared_ptr<GrinderCore>& grinder, bool cancel_pending, DoneCallback done);

// How a function and its arguments become an item.
template <class Verbs>
// NOLINTNEXTLINE(bugprone-crtp-constructor-accessibility): as its base
class CallVerbs : public ItemVerbs<Verbs, CallOf> {
  friend struct Access;
  template <class F, class... A>
  static void check_item(const char* verb, const F& function, const A&... /*arguments*/) {
    check_callable(verb, "function", function);
  }
  template <class Receiver, class F, class... A>
  static auto make_item(std::shared_ptr<ItemState> state, F&& function, A&&... arguments) {
    auto job = make_job<ItemReceiver<Receiver>>(std::forward<F>(function), std::forward<A>(arguments)...);
    return std::make_unique<CallItem<typename decltype(job)::element_type>>(std::move(state), std::move(job));
  }
};

}  // namespace detail

/// The verbs of a grinder with options of an item: what WorkGrinder::with() returns. May outlive the grinder: items
/// then fail with not_started.
class GrinderCalls : public detail::CallVerbs<GrinderCalls> {
  friend struct detail::Access;
  GrinderCalls(std::shared_ptr<detail::GrinderCore> grinder, detail::ItemSettings settings)
      : grinder_(std::move(grinder)), settings_(std::move(settings)) {}

  [[nodiscard]] const std::shared_ptr<detail::GrinderCore>& grinder() const noexcept { return grinder_; }
  [[nodiscard]] const detail::ItemSettings& settings() const noexcept { return settings_; }

  std::shared_ptr<detail::GrinderCore> grinder_;
  detail::ItemSettings settings_;
};

/// Collects items (a function and its arguments) and runs them in batches: as soon as batch_size_threshold of them
/// wait, or the first has waited for max_wait. A batch takes one lease, runs its items in parallel on it, completes
/// each by itself as it ends, and gives the lease back. Batches overlap as long as the manager has pools.
///
/// Its verbs, in detail/item_verbs.hpp: submit(), submit_async(), submit_when_room(), enqueue(), submit_from_thread(),
/// each with a function and its arguments as ExecutorLease::run() takes them.
///
/// Loop thread only, but for those named ..._from_thread. Its destructor cancels what is queued and in flight. Grinder,
/// manager and loop may be destroyed in any order: what needs one that is gone fails with not_started.
class LEASEPOOL_EXPORT WorkGrinder : public detail::CallVerbs<WorkGrinder> {
 public:
  /// Throws std::invalid_argument naming the option and its value, LeasePoolError (wrong_thread).
  explicit WorkGrinder(LeasedExecutorManager& manager, const GrinderOptions& options = {},
                       std::source_location where = std::source_location::current());
  WorkGrinder(const WorkGrinder&) = delete;
  WorkGrinder& operator=(const WorkGrinder&) = delete;
  ~WorkGrinder();

  /// Awaitable: takes items from now on. Starting twice is once; a stopped grinder can be started again. The manager is
  /// started by itself, before the first batch is due.
  auto start() {
    detail::check_grinder_thread(*core_, "start");
    auto begin = [core = core_](detail::AwaitReceiver<void> receiver) {
      detail::start_grinder(core, std::move(receiver));
    };
    return Awaitable<void, decltype(begin)>(std::move(begin));
  }
  void start_async(detail::DoneCallback done);

  /// Awaitable: takes no more items (not_started), runs what is queued without waiting for whole batches, and ends when
  /// the last item has ended. With `cancel_pending`, what is queued or in flight is cancelled instead: worker processes
  /// are killed for it; what runs on threads goes on unheard. Always completes; see GrinderOptions::stop_timeout.
  auto stop(bool cancel_pending = false) {
    detail::check_grinder_thread(*core_, "stop");
    auto begin = [core = core_, cancel_pending](detail::AwaitReceiver<void> receiver) {
      detail::stop_grinder(core, cancel_pending, std::move(receiver));
    };
    return Awaitable<void, decltype(begin)>(std::move(begin));
  }
  void stop_async(detail::DoneCallback done) { stop_async(false, std::move(done)); }
  void stop_async(bool cancel_pending, detail::DoneCallback done);

  /// The verbs with an owner, a priority or a time-out; std::invalid_argument where one makes no sense.
  [[nodiscard]] GrinderCalls with(ItemOptions options) const {
    return detail::Access::make<GrinderCalls>(core_, detail::make_item_settings(options));
  }

  /// The verbs for a function that is called once a batch, with the arguments of all of its items: it takes a
  /// std::vector<Arg> (or, on threads, a std::span<Arg>) and returns a std::vector<R> with as many results in the same
  /// order. On worker processes it is registered as any function is. Each call has a copy of a callable: calls that
  /// overlap share nothing of it, and what one of them changes in it is gone with the call.
  template <class F>
    requires detail::CallableWithBatches<F>
  [[nodiscard]] auto batch(F function, BatchOptions options = {}) const {
    detail::check_callable("batch", "function", function);
    return detail::make_batch_verbs(core_, std::move(function), options);
  }

  [[nodiscard]] GrinderStats stats() const;

  /// For threads other than the loop's: waits for the loop's next turn. Throws wrong_thread on the loop's own thread,
  /// not_started when the loop is gone.
  [[nodiscard]] GrinderStats stats_from_thread() const;

 private:
  friend struct detail::Access;
  [[nodiscard]] const std::shared_ptr<detail::GrinderCore>& grinder() const noexcept { return core_; }
  [[nodiscard]] static const detail::ItemSettings& settings() noexcept;

  std::shared_ptr<detail::LoopCore> loop_;
  std::shared_ptr<detail::GrinderCore> core_;
};

}  // namespace leasepool

#endif

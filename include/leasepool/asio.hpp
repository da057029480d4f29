// leasepool in a program of asio's, standalone or Boost's: calls with any completion token, and a Loop that an
// io_context drives. Not included by leasepool.hpp; needs asio's headers: <asio.hpp> where it is found, Boost.Asio
// where it is not, or where LEASEPOOL_ASIO_BOOST is defined.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <memory>
#include <source_location>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/asio_attached.hpp"
#include "leasepool/detail/asio_operation.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "leasepool/detail/callable.hpp"
#include "leasepool/lease.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/manager.hpp"
#include "leasepool/options.hpp"

namespace leasepool::asio::inline LEASEPOOL_DETAIL_ASIO_KIND {

/// A Loop that an io_context drives, for as long as this lives. Move-only; the loop's thread only. Destroy it before
/// the Loop; it may outlive the io_context, which detaches the loop when it is destroyed.
class [[nodiscard("destroying the Attachment detaches the loop")]] Attachment {
 public:
  Attachment() noexcept = default;
  explicit Attachment(std::weak_ptr<detail::asio_side::AttachedLoop> loop) noexcept : loop_(std::move(loop)) {}
  Attachment(Attachment&& other) noexcept : loop_(std::exchange(other.loop_, {})) {}
  Attachment& operator=(Attachment&& other) noexcept {
    if (this != &other) {
      detach();
      loop_ = std::exchange(other.loop_, {});
    }
    return *this;
  }
  ~Attachment() { detach(); }

  /// Ends it now. The loop can then be driven otherwise, or be attached again.
  void detach() noexcept {
    if (const auto loop = std::exchange(loop_, {}).lock()) loop->detach();
  }

 private:
  std::weak_ptr<detail::asio_side::AttachedLoop> loop_;
};

/// Has the io_context run the loop, which it sleeps for while nothing is to be done: what the loop runs, run() runs. To
/// be called on the loop's thread, which then is the one that runs the io_context. An attached loop is work: run() goes
/// on until it is detached or stopped. An exception that leaves a callback of the loop leaves run(), which can be
/// called again. Throws std::system_error, or asio's own.
inline Attachment attach(Loop& loop, detail::asio_side::net::io_context& context) {
  const auto attached = std::make_shared<detail::asio_side::AttachedLoop>(loop, context);
  attached->wait();
  return Attachment(attached);
}

/// async_run(lease.with(...), function, arguments..., token): a call with a time-out or a stop token, otherwise as
/// below.
template <class F, class... Rest>
  requires detail::asio_side::PossibleCallAndToken<F, Rest...>
auto async_run(const LeaseCalls& calls, F&& function, Rest&&... arguments_and_token) {
  namespace side = detail::asio_side;
  using Split = detail::CallAndCallback<detail::CallOf, F, Rest...>;
  using R = detail::ResultOf<typename Split::Call>;
  using Receiver = side::OperationReceiver<R>;
  const auto record = detail::Access::record(calls);
  detail::check_may_call(record.get());
  detail::check_callable("async_run", "function", function);
  auto rest = std::forward_as_tuple(std::forward<Rest>(arguments_and_token)...);
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    auto job = detail::make_job<Receiver>(std::forward<F>(function), std::get<I>(std::move(rest))...);
    detail::CallSettings settings = detail::Access::call_settings(calls);
    std::stop_token outer = settings.stop.get() != nullptr ? *settings.stop.get() : std::stop_token();
    auto start = [record, settings, job = std::move(job)](Receiver receiver, std::stop_token stop) mutable {
      settings.stop = detail::CallerStop(stop);
      job->set_receiver(std::move(receiver));
      detail::submit_job(record, std::move(job), settings);
    };
    // NOLINTNEXTLINE(bugprone-use-after-move): each get() moves one element
    return side::initiate<R, typename Split::Callback>(std::get<sizeof...(I)>(rest), side::Cancellable::with_effects,
                                                       std::move(outer), std::move(start));
  }(std::make_index_sequence<sizeof...(Rest) - 1>());
}

/// async_run(lease, function, arguments..., token): ExecutorLease::run() as an asynchronous operation of asio's. The
/// token, any of asio's, completes with (std::exception_ptr, R), or (std::exception_ptr) for void: co_await with
/// use_awaitable returns R, or throws what co_await lease.run() throws. R is to be default-constructible, for where
/// there is an exception instead.
///
/// To be started on the loop's thread, as all verbs of a lease; elsewhere it throws wrong_thread, as it throws
/// std::invalid_argument for an empty function. What is found later goes to the handler. That runs on its associated
/// executor, by dispatch(), which is at work until then; without one, on the loop's thread. Its associated cancellation
/// slot takes the call back as a stop token does, if it is asked for `terminal` or `partial`: a call that has begun may
/// have had effects, so `total` does nothing. Destroying the execution context destroys the handlers of what is under
/// way (as destroying the loop does), and the calls go on; do so where the loop does not run meanwhile.
template <class F, class... Rest>
  requires detail::asio_side::PossibleCallAndToken<F, Rest...>
auto async_run(const ExecutorLease& lease, F&& function, Rest&&... arguments_and_token) {
  return asio::async_run(lease.with(CallOptions{}), std::forward<F>(function),
                         std::forward<Rest>(arguments_and_token)...);
}

/// LeasedExecutorManager::acquire() in the same way: completes with (std::exception_ptr, ExecutorLease). Its
/// cancellation slot takes it out of the queue, whatever type is asked for; the handler then gets `cancelled`.
template <class Token>
auto async_acquire(LeasedExecutorManager& manager, const AcquireOptions& options, Token&& token,
                   std::source_location where = std::source_location::current()) {
  namespace side = detail::asio_side;
  const auto core = detail::Access::core(manager);
  auto start = [core, request = detail::make_acquire_request(*core, options, where)](
                   side::OperationReceiver<ExecutorLease> receiver, const std::stop_token& stop) {
    detail::acquire_unless_stopped(core, request, std::move(receiver), stop);
  };
  return side::initiate<ExecutorLease, Token>(token, side::Cancellable::without_effects, {}, std::move(start));
}

/// LeasedExecutorManager::start() and stop(): they complete with (std::exception_ptr), and are not cancelled.
template <class Token>
auto async_start(LeasedExecutorManager& manager, Token&& token) {
  namespace side = detail::asio_side;
  detail::check_manager_thread(*detail::Access::core(manager), "start");
  auto start = [core = detail::Access::core(manager)](side::OperationReceiver<void> receiver, const std::stop_token&) {
    detail::start_manager(core, std::move(receiver));
  };
  return side::initiate<void, Token>(token, side::Cancellable::no, {}, std::move(start));
}
template <class Token>
auto async_stop(LeasedExecutorManager& manager, Token&& token) {
  namespace side = detail::asio_side;
  detail::check_manager_thread(*detail::Access::core(manager), "stop");
  auto stop = [core = detail::Access::core(manager)](side::OperationReceiver<void> receiver, const std::stop_token&) {
    detail::stop_manager(core, std::move(receiver));
  };
  return side::initiate<void, Token>(token, side::Cancellable::no, {}, std::move(stop));
}

}  // namespace leasepool::asio::inline LEASEPOOL_DETAIL_ASIO_KIND

#undef LEASEPOOL_DETAIL_ASIO_KIND
#undef LEASEPOOL_DETAIL_ASIO_SLOTS

#endif

// SignalSet: the program's signals as something to wait for on the loop.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <initializer_list>
#include <memory>
#include <utility>

#include "leasepool/detail/export.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/io.hpp"

namespace leasepool {

namespace detail {

class SignalSetCore;

}  // namespace detail

/// Takes signals from their handlers to the loop, by signalfd(2): it blocks them in the loop's thread, and restores
/// what it has blocked when it is destroyed. Threads that the program made before must block them, too: the system
/// gives a signal of the process to any thread that does not. Worker processes start with none blocked. A signal that
/// comes twice before somebody takes it comes once. Loop thread only; move-only; it may outlive its loop, and then
/// serves nobody.
class LEASEPOOL_EXPORT SignalSet {
 public:
  /// Throws std::invalid_argument for none, for what is no signal, for SIGKILL and SIGSTOP, which nobody can take, and
  /// for those that tell of a fault of the program's own, as SIGSEGV; std::system_error; LeasePoolError (wrong_thread).
  SignalSet(Loop& loop, std::initializer_list<int> signals);
  SignalSet(SignalSet&&) noexcept = default;
  SignalSet& operator=(SignalSet&& other) noexcept;
  ~SignalSet();

  /// Awaitable: the number of the next signal. Several may wait: each signal goes to one of them, in order. Destroying
  /// the coroutine that waits loses no signal. Throws LeasePoolError (timed_out, cancelled, wrong_thread).
  auto next(IoOptions options = {}) {
    check(options);
    return detail::make_io_awaitable<int>(
        [core = core_, options](detail::IoCallback<int> done) { return begin_next(core, options, std::move(done)); });
  }
  void next_async(IoOptions options, detail::IoCallback<int> done);
  void next_async(detail::IoCallback<int> done) { next_async({}, std::move(done)); }

 private:
  using Core = std::shared_ptr<detail::SignalSetCore>;
  void check(const IoOptions& options) const;
  static detail::IoTicket begin_next(const Core& core, IoOptions options, detail::IoCallback<int> done);

  Core core_;
};

}  // namespace leasepool

#endif

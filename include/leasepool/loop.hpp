// Loop: one io_uring ring, or one epoll set, and one thread that drive everything else.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "leasepool/awaitable.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/export.hpp"
#include "leasepool/detail/resume.hpp"
#include "leasepool/detail/same_containers.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/endpoint.hpp"
#include "leasepool/loop_engine.hpp"
#include "leasepool/stats_server.hpp"
#include "leasepool/task.hpp"

namespace leasepool {

namespace detail {

class LoopCore;

// The coroutine that block_on and spawn wrap around a task. Its body catches everything.
class RootTask {
 public:
  // Told when the coroutine has ended; must not destroy it then and there.
  class Observer {
   public:
    virtual void root_ended() noexcept = 0;

   protected:
    ~Observer() = default;
  };
  struct promise_type {
    RootTask get_return_object() noexcept { return RootTask(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    ResumeContinuation final_suspend() const noexcept { return {}; }
    [[nodiscard]] std::coroutine_handle<> on_end() const noexcept {
      observer->root_ended();
      return std::noop_coroutine();
    }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
    Observer* observer = nullptr;
  };
  explicit RootTask(std::coroutine_handle<promise_type> handle) noexcept : coroutine_(handle) {}
  void start(Observer& observer) {
    coroutine_->promise().observer = &observer;
    resume(coroutine_.get());
  }

 private:
  CoroutineOwner<promise_type> coroutine_;
};

}  // namespace detail

/// A pending call_after. Destroying it or cancel() takes the call back. Loop thread only; may outlive the loop.
class LEASEPOOL_EXPORT Timer {
 public:
  Timer() noexcept = default;
  Timer(Timer&& other) noexcept : loop_(std::move(other.loop_)), id_(std::exchange(other.id_, 0)) {}
  Timer& operator=(Timer&& other) noexcept;
  ~Timer() { cancel(); }

  /// Takes the call back if it has not begun; else nothing happens.
  void cancel() noexcept;

 private:
  friend struct detail::Access;
  Timer(std::weak_ptr<detail::LoopCore> loop, std::uint64_t id) noexcept : loop_(std::move(loop)), id_(id) {}

  std::weak_ptr<detail::LoopCore> loop_;
  std::uint64_t id_ = 0;
};

struct LoopOptions {
  /// For `automatic`, the environment's LEASEPOOL_ENGINE says which it is: automatic, io_uring or epoll. Where it is
  /// automatic there, too, or not set, that is io_uring, and epoll where a seccomp profile, a sysctl or the kernel
  /// refuses it, of which a line on stderr tells once in a process.
  LoopEngine engine = LoopEngine::automatic;
};

/// The event loop. It belongs to the thread that constructs it: every member but post() and stop() is called there,
/// and every callback runs there. Throws LeasePoolError (unsupported) when io_uring was asked for and the system
/// refuses it, or has neither memory nor descriptors for it; std::invalid_argument for another LEASEPOOL_ENGINE. An
/// exception that leaves a callback or a spawned task leaves run(), block_on() or dispatch(); the loop stays usable.
/// Destroying the loop ends every operation on it; callbacks that have not run by then never run.
class LEASEPOOL_EXPORT Loop {
 public:
  explicit Loop(LoopOptions options = {});
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  /// What it runs on: io_uring or epoll.
  [[nodiscard]] LoopEngine engine() const noexcept;

  /// Runs until `task` has ended; returns what it returned or throws what it threw. stop() does not end it.
  template <class T>
  T block_on(Task<T> task);

  /// Starts a task on the next turn and lets it run by itself.
  void spawn(Task<> task);

  /// Runs until stop(). Can be run again.
  void run();

  /// Ends run(); called when none is running, it ends the next one at once. Any thread.
  void stop();

  /// Runs `function` on the loop's thread, in the order of the posts of one thread. Any thread.
  /// Throws std::invalid_argument when it is empty, as call_after() does.
  void post(std::move_only_function<void()> function);

  /// Runs `function` once, not before `delay` has passed (zero: on the next turn; Duration::max(): never).
  [[nodiscard("destroying the Timer cancels it")]] Timer call_after(TimeSpan delay,
                                                                    std::move_only_function<void()> function);

  /// Awaitable: resumes not before `delay` has passed. Destroying the waiting coroutine cancels it.
  auto sleep(TimeSpan delay);

  /// Shows what this loop's managers, grinders and nodes do, for as long as the loop lives: lptop reads it, and
  /// browsers and Prometheus where it is a TCP endpoint. It speaks HTTP/1.1 and answers GET of / (a page), /stats.json
  /// and /metrics (Prometheus' text format), and nothing changes anything. On a Unix socket of mode 0600 that answers
  /// this process's user and root alone: at stats_socket_path(), which `lptop PID` finds, or at `path`, where a socket
  /// that nobody listens on any more is replaced. On an endpoint, whose host is 127.0.0.1 where it is empty, it answers
  /// whoever can connect. May be called several times. Returns where it listens. Throws IoError, std::invalid_argument,
  /// LeasePoolError (wrong_thread).
  Address serve_stats();
  Address serve_stats(UnixEndpoint path);
  Address serve_stats(Endpoint endpoint, StatsServerOptions options = {});

  /// A descriptor that becomes readable when dispatch() has something to do. Owned by the loop.
  [[nodiscard]] int poll_fd() const;

  /// Does what is due now and does not block: for driving this loop from another one.
  void dispatch();

 private:
  friend struct detail::Access;
  explicit Loop(std::shared_ptr<detail::LoopCore> core) noexcept;
  void run_root(detail::RootTask& root);

  std::shared_ptr<detail::LoopCore> core_;
};

namespace detail {

template <class T>
RootTask keep_outcome(Task<T> task, Outcome<T>& outcome) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await task;
    } else {
      outcome.return_value(co_await task);
    }
  } catch (...) {
    outcome.unhandled_exception();
  }
}

}  // namespace detail

template <class T>
T Loop::block_on(Task<T> task) {
  detail::Outcome<T> outcome;
  detail::RootTask root = detail::keep_outcome(std::move(task), outcome);
  run_root(root);
  return outcome.take();
}

inline auto Loop::sleep(TimeSpan delay) {
  auto start = [this, delay](detail::AwaitReceiver<void> receiver) {
    return call_after(delay, [receiver = std::move(receiver)]() mutable { receiver({}); });
  };
  return Awaitable<void, decltype(start)>(std::move(start));
}

}  // namespace leasepool

#endif

// Gate: an awaitable that a test opens when it likes.
#pragma once

#include <coroutine>
#include <utility>

namespace leasepool::test {

// One coroutine waits at a time. May be awaited again once it was passed.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  [[nodiscard]] bool has_waiter() const noexcept { return static_cast<bool>(waiter_); }
  // Resumes the coroutine that waits, here and now.
  void open() { std::exchange(waiter_, {}).resume(); }

  auto operator co_await() noexcept { return Pass{this}; }
  // The same as an awaitable that can be handed to when_all(). The gate must outlive it.
  auto pass() noexcept { return Pass{this}; }

 private:
  struct Pass {
    Gate* gate;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const noexcept { gate->waiter_ = waiter; }
    void await_resume() const noexcept {}
  };
  std::coroutine_handle<> waiter_;
};

}  // namespace leasepool::test

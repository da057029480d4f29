// How a coroutine hands over to another without using up the stack.
#pragma once

#include <coroutine>
#include <utility>

namespace leasepool::detail {

#if defined(__GNUC__) && !defined(__clang__)

// GCC resumes the coroutine that an await_suspend() returns by a call that is no tail call, unless it optimizes fully:
// a chain of tasks would take stack for each. So here who resumes a coroutine goes on to resume what that hands over
// to.
class Resuming {
 public:
  // Until nobody hands over any more. What a coroutine throws leaves it.
  static void run(std::coroutine_handle<> first) {
    const Restored outer{innermost_};
    for (innermost_.next = first; innermost_.next;) {
      innermost_.running = innermost_.next.address();
      std::exchange(innermost_.next, {}).resume();
    }
  }

  // True where `from` was resumed by run() itself: it is to suspend now, and `to` is resumed thereupon.
  static bool hand_over(const void* from, std::coroutine_handle<> to) noexcept {
    if (innermost_.running != from || from == nullptr) return false;
    innermost_ = {.running = nullptr, .next = to};
    return true;
  }

 private:
  // Of the innermost run().
  struct State {
    const void* running;  // while it runs
    std::coroutine_handle<> next;
  };
  struct Restored {
    State outer;
    ~Restored() { innermost_ = outer; }
  };
  static inline thread_local constinit State innermost_{};
};
inline void resume(std::coroutine_handle<> coroutine) { Resuming::run(coroutine); }

#else

inline void resume(std::coroutine_handle<> coroutine) { coroutine.resume(); }

#endif

}  // namespace leasepool::detail

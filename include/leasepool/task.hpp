// Task, the lazy coroutine, and when_all, which waits for several awaitables at once.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "leasepool/detail/access.hpp"
#include "leasepool/detail/resume.hpp"
#include "leasepool/detail/temporaries.hpp"
#include "leasepool/fwd.hpp"

namespace leasepool {

namespace detail {

// Resumes whoever awaited the coroutine that just ended.
struct ResumeContinuation {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
#if defined(__GNUC__) && !defined(__clang__)
  // Its second parameter makes another name of it than Clang's has: a program may be compiled by both.
  template <class Promise, class = Resuming>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    const std::coroutine_handle<> next = ended.promise().on_end();
    return Resuming::hand_over(ended.address(), next) ? std::noop_coroutine() : next;
  }
#else
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    return ended.promise().on_end();
  }
#endif
  void await_resume() const noexcept {}
};

// Keeps what a coroutine returned or threw.
template <class T>
class Outcome {
 public:
  template <std::convertible_to<T> U>
  void return_value(U&& value) {
    state_.template emplace<1>(std::forward<U>(value));
  }
  void unhandled_exception() noexcept { state_.template emplace<2>(std::current_exception()); }
  T take() {
    if (state_.index() == 2) std::rethrow_exception(std::get<2>(state_));
    return std::move(std::get<1>(state_));
  }

 private:
  std::variant<std::monostate, T, std::exception_ptr> state_;
};

template <>
class Outcome<void> {
 public:
  void return_void() noexcept {}
  void unhandled_exception() noexcept { thrown_ = std::current_exception(); }
  void take() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }
  [[nodiscard]] const std::exception_ptr& thrown() const noexcept { return thrown_; }

 private:
  std::exception_ptr thrown_;
};

template <class T>
class TaskPromise : public Outcome<T> {
 public:
  Task<T> get_return_object() noexcept;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  ResumeContinuation final_suspend() const noexcept { return {}; }
  [[nodiscard]] std::coroutine_handle<> on_end() const noexcept { return continuation; }
  std::coroutine_handle<> continuation = std::noop_coroutine();
  bool awaited = false;
};

// Owns a coroutine's frame.
template <class Promise>
class CoroutineOwner {
 public:
  CoroutineOwner() = default;
  explicit CoroutineOwner(std::coroutine_handle<Promise> handle) noexcept : handle_(handle) {}
  CoroutineOwner(CoroutineOwner&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  CoroutineOwner& operator=(CoroutineOwner&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~CoroutineOwner() { reset(); }
  [[nodiscard]] std::coroutine_handle<Promise> get() const noexcept { return handle_; }
  const std::coroutine_handle<Promise>* operator->() const noexcept { return &handle_; }

 private:
  void reset() noexcept {
    if (handle_) std::exchange(handle_, {}).destroy();
  }
  std::coroutine_handle<Promise> handle_;
};

}  // namespace detail

/// A lazy coroutine: it starts when awaited, and the await returns what it returned or throws what it threw. It is
/// awaited once (again is std::logic_error), and runs on one thread. Move-only; destroying it destroys the coroutine
/// wherever it stands, and what it awaited is detached or cancelled. Tasks that end at once may be awaited in a loop
/// without end, and a task may await a task that awaits a task, as many as there is memory for.
template <class T>
class [[nodiscard("a Task does nothing before it is awaited")]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;

  /// Whether it was moved from. Awaiting it then throws std::invalid_argument, and so does handing it to a Loop.
  [[nodiscard]] bool empty() const noexcept { return !coroutine_.get(); }

  [[nodiscard]] bool await_ready() const {
    if (empty()) throw std::invalid_argument("leasepool: this Task is empty: it was moved from");
    if (std::exchange(coroutine_->promise().awaited, true)) {
      throw std::logic_error("leasepool: a Task is awaited once, and this one was");
    }
    return false;
  }
#if defined(__GNUC__) && !defined(__clang__)
  // Where the waiter was resumed by somebody else, this calls, and goes on where the task has ended in the call. A
  // template, for a name of its own: a program may be compiled by both.
  template <class Waiter, class = detail::Resuming>
  bool await_suspend(std::coroutine_handle<Waiter> waiter) {
    const auto task = coroutine_.get();
    if (detail::Resuming::hand_over(waiter.address(), task)) {
      task.promise().continuation = waiter;
      return true;
    }
    detail::resume(task);
    if (task.done()) return false;
    task.promise().continuation = waiter;
    return true;
  }
#else
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
    coroutine_->promise().continuation = waiter;
    return coroutine_.get();
  }
#endif
  T await_resume() { return coroutine_->promise().take(); }

 private:
  friend struct detail::Access;
  explicit Task(std::coroutine_handle<promise_type> handle) noexcept : coroutine_(handle) {}

  detail::CoroutineOwner<promise_type> coroutine_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Access::make<Task<T>>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}

// What co_await asks of an awaitable: itself, or what its operator co_await returns.
template <class A>
decltype(auto) awaiter_of(A& awaitable) {
  if constexpr (requires { awaitable.operator co_await(); }) {
    return awaitable.operator co_await();
  } else if constexpr (requires { operator co_await(awaitable); }) {
    return operator co_await(awaitable);
  } else {
    return (awaitable);
  }
}

template <class A>
using AwaitResult = decltype(awaiter_of(std::declval<A&>()).await_resume());

template <class A>  // an lvalue is copied; a Task is to be moved
concept CanBeAwaited =
    std::constructible_from<std::decay_t<A>, A> && requires { typename AwaitResult<std::decay_t<A>>; };

// Counts branches that are still running; the last one resumes the waiter.
struct BranchCounter {
  static constexpr const char* kVerb = "when_all()";
  std::size_t running = 0;
  std::coroutine_handle<> waiter;
  std::coroutine_handle<> branch_ended(std::size_t /*index*/) noexcept {
    return --running == 0 ? waiter : std::noop_coroutine();
  }
};

// One awaitable of a when_all or when_any, as a coroutine of its own. `Ends` is told of its end, and says what goes on.
template <class T, class Ends>
class Branch {
 public:
  struct promise_type : Outcome<T> {
    Branch get_return_object() noexcept { return Branch(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    ResumeContinuation final_suspend() const noexcept { return {}; }
    [[nodiscard]] std::coroutine_handle<> on_end() const noexcept { return ends->branch_ended(index); }
    Ends* ends = nullptr;
    std::size_t index = 0;
  };
  explicit Branch(std::coroutine_handle<promise_type> handle) noexcept : coroutine_(handle) {}

  void start(Ends& ends, std::size_t index) {
    if (!coroutine_.get() || coroutine_->promise().ends != nullptr) {
      throw std::logic_error(std::string("leasepool: a ") + Ends::kVerb +
                             " is awaited once, and this one was, or was moved from");
    }
    coroutine_->promise().ends = &ends;
    coroutine_->promise().index = index;
    resume(coroutine_.get());
  }
  void destroy() noexcept { coroutine_ = {}; }
  auto take() {
    if constexpr (std::is_void_v<T>) {
      coroutine_->promise().take();
      return std::monostate{};
    } else {
      return coroutine_->promise().take();
    }
  }

 private:
  CoroutineOwner<promise_type> coroutine_;
};

template <class A, class Ends>
Branch<AwaitResult<A>, Ends> make_branch(A awaitable) {
  co_return co_await awaitable;
}
template <class Ends, class T>
std::vector<Branch<T, Ends>> make_branches(std::vector<Task<T>> tasks) {
  std::vector<Branch<T, Ends>> branches;
  branches.reserve(tasks.size());
  for (auto& task : tasks) branches.push_back(make_branch<Task<T>, Ends>(std::move(task)));
  return branches;
}

template <class... T>
class WhenAll {
 public:
  explicit WhenAll(Branch<T, BranchCounter>... branches) : branches_(std::move(branches)...) {}
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiter) {
    counter_.waiter = waiter;
    counter_.running = sizeof...(T) + 1;  // one for this call, so that no branch resumes the waiter before all began
    std::apply([this](auto&... branch) { (branch.start(counter_, 0), ...); }, branches_);
    return --counter_.running != 0;
  }
  auto await_resume() {
    return std::apply([](auto&... branch) { return std::tuple{branch.take()...}; }, branches_);
  }

 private:
  std::tuple<Branch<T, BranchCounter>...> branches_;
  BranchCounter counter_;
};

template <class T>
class WhenAllVector {
 public:
  explicit WhenAllVector(std::vector<Branch<T, BranchCounter>> branches) : branches_(std::move(branches)) {}
  [[nodiscard]] bool await_ready() const noexcept { return branches_.empty(); }
  bool await_suspend(std::coroutine_handle<> waiter) {
    counter_.waiter = waiter;
    counter_.running = branches_.size() + 1;
    for (auto& branch : branches_) branch.start(counter_, 0);
    return --counter_.running != 0;
  }
  auto await_resume() {
    if constexpr (std::is_void_v<T>) {
      for (auto& branch : branches_) branch.take();
    } else {
      std::vector<T> values;
      values.reserve(branches_.size());
      for (auto& branch : branches_) values.push_back(branch.take());
      return values;
    }
  }

 private:
  std::vector<Branch<T, BranchCounter>> branches_;
  BranchCounter counter_;
};

}  // namespace detail

/// Starts all awaitables, ends when all have ended, and returns a tuple of their results (std::monostate for void).
/// When some throw, the first of them in argument order is rethrown, after all have ended.
template <class... A>
  requires(detail::CanBeAwaited<A> && ...)
auto when_all(A&&... awaitables) {
  return detail::AwaitedWith<detail::WhenAll<detail::AwaitResult<std::decay_t<A>>...>, A...>(
      detail::make_branch<std::decay_t<A>, detail::BranchCounter>(std::forward<A>(awaitables))...);
}

/// The same for any number of tasks of one type: returns a vector of results (nothing for Task<void>).
template <class T>
auto when_all(std::vector<Task<T>> tasks) {
  return detail::WhenAllVector<T>(detail::make_branches<detail::BranchCounter>(std::move(tasks)));
}

}  // namespace leasepool

#endif

// when_any: the first of several awaitables, and the end of the others.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <coroutine>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "leasepool/task.hpp"

namespace leasepool {

namespace detail {

// Which branch has ended first. It resumes the waiter, unless the branches are still being started.
struct FirstEnded {
  static constexpr const char* kVerb = "when_any()";
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t index = kNone;
  std::coroutine_handle<> waiter;  // null while the branches are started

  std::coroutine_handle<> branch_ended(std::size_t branch) noexcept {
    if (index != kNone) return std::noop_coroutine();
    index = branch;
    return waiter ? waiter : std::noop_coroutine();
  }
};

template <class T>
using VoidAsMonostate = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class... T>
class WhenAny {
 public:
  explicit WhenAny(Branch<T, FirstEnded>... branches) : branches_(std::move(branches)...) {}
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiter) {
    start(std::index_sequence_for<T...>());
    first_.waiter = waiter;
    return first_.index == FirstEnded::kNone;
  }
  std::variant<VoidAsMonostate<T>...> await_resume() { return take(std::index_sequence_for<T...>()); }

 private:
  using Results = std::variant<VoidAsMonostate<T>...>;

  // None is started behind one that has ended at once.
  template <std::size_t... I>
  void start(std::index_sequence<I...> /*all*/) {
    (void)((std::get<I>(branches_).start(first_, I), first_.index == FirstEnded::kNone) && ...);
  }
  template <std::size_t... I>
  Results take(std::index_sequence<I...> /*all*/) {
    ((I == first_.index ? void() : std::get<I>(branches_).destroy()), ...);
    std::optional<Results> results;
    ((I == first_.index ? void(results.emplace(std::in_place_index<I>, std::get<I>(branches_).take())) : void()), ...);
    return *std::move(results);
  }

  std::tuple<Branch<T, FirstEnded>...> branches_;
  FirstEnded first_;
};

template <class T>
class WhenAnyVector {
 public:
  explicit WhenAnyVector(std::vector<Branch<T, FirstEnded>> branches) : branches_(std::move(branches)) {}
  [[nodiscard]] bool await_ready() const {
    if (branches_.empty()) throw std::invalid_argument("leasepool: when_any() of no tasks has no first one");
    return false;
  }
  bool await_suspend(std::coroutine_handle<> waiter) {
    for (std::size_t i = 0; i < branches_.size() && first_.index == FirstEnded::kNone; ++i) {
      branches_[i].start(first_, i);
    }
    first_.waiter = waiter;
    return first_.index == FirstEnded::kNone;
  }
  auto await_resume() {
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      if (i != first_.index) branches_[i].destroy();
    }
    if constexpr (std::is_void_v<T>) {
      branches_[first_.index].take();
      return first_.index;
    } else {
      return std::pair<std::size_t, T>(first_.index, branches_[first_.index].take());
    }
  }

 private:
  std::vector<Branch<T, FirstEnded>> branches_;
  FirstEnded first_;
};

}  // namespace detail

/// Starts all awaitables and waits for the first that ends; the coroutines of the others are then destroyed, which
/// cancels or detaches what they wait for, before the await returns. Returns a std::variant whose index() says which
/// was first, with its result (std::monostate for void), or throws what it threw. Where one ends at once, those behind
/// it are not started. What ends an awaitable does so from the loop: one that resumed another from inside itself would
/// be destroyed while it runs.
template <class... A>
  requires(sizeof...(A) > 0 && (detail::CanBeAwaited<A> && ...))
auto when_any(A&&... awaitables) {
  return detail::AwaitedWith<detail::WhenAny<detail::AwaitResult<std::decay_t<A>>...>, A...>(
      detail::make_branch<std::decay_t<A>, detail::FirstEnded>(std::forward<A>(awaitables))...);
}

/// The same for any number of tasks of one type, at least one (none is std::invalid_argument): returns which was first
/// and what it returned, or its index alone for Task<void>.
template <class T>
auto when_any(std::vector<Task<T>> tasks) {
  return detail::WhenAnyVector<T>(detail::make_branches<detail::FirstEnded>(std::move(tasks)));
}

}  // namespace leasepool

#endif

// GCC before 13 destroys twice any aggregate or lambda with a non-trivial member that is a temporary of a co_await
// expression (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=99576 and its kin): a warning at each await of a verb that
// was given one.
#pragma once

#include <coroutine>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "leasepool/detail/type_name.hpp"

namespace leasepool::detail {

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13 && !defined(LEASEPOOL_NO_GCC12_NOTICE)

struct HoldsTemporaries {};

// What a verb returns that was given such a temporary. Awaited by its name, it is awaited as Awaited is.
template <class Awaited>
class WithTemporaries : public Awaited, public HoldsTemporaries {
 public:
  using Awaited::Awaited;

  // An awaiter that is returned by reference is copied by this GCC.
  struct Awaiter {
    Awaited* awaited;
    [[nodiscard]] bool await_ready() const { return awaited->await_ready(); }
    auto await_suspend(std::coroutine_handle<> waiter) const { return awaited->await_suspend(waiter); }
    auto await_resume() const { return awaited->await_resume(); }
  };
  [[deprecated("leasepool: this GCC destroys twice what the lambda or the aggregate here holds. Await a named "
               "awaitable instead: "
               "auto call = lease.run([text] {...}); co_await call;")]] Awaiter
  operator co_await() && noexcept {
    return {this};
  }
  Awaiter operator co_await() & noexcept { return {this}; }
};

// It ends with "<lambda(int)>", where that of a template that was given a lambda ends with "Template<...>".
consteval bool is_name_of_lambda(std::string_view name) {
  std::size_t depth = 0;
  for (std::size_t at = name.size(); at > 0; --at) {
    if (name[at - 1] == '>') ++depth;
    if (name[at - 1] == '<' && --depth == 0) return name.substr(at).starts_with("lambda(");
    if (depth == 0) return false;
  }
  return false;
}

// A parameter by forwarding reference is of no reference type where a temporary was given.
template <class Given>
consteval bool is_destroyed_twice() {
  if constexpr (!std::is_class_v<Given> || std::is_trivially_destructible_v<Given>) {
    return false;
  } else {
    return std::is_aggregate_v<Given> || std::is_base_of_v<HoldsTemporaries, Given> ||
           is_name_of_lambda(type_name<Given>());
  }
}
template <class Awaited, class... Given>
using AwaitedWith = std::conditional_t<(is_destroyed_twice<Given>() || ...), WithTemporaries<Awaited>, Awaited>;

#else

template <class Awaited, class... Given>
using AwaitedWith = Awaited;

#endif

}  // namespace leasepool::detail

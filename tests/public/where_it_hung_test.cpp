// A call that is ended for its deadline: its error says where it was, and comes no later for it.
#include <algorithm>
#include <chrono>
#include <string>

#include "support.hpp"

namespace {

bool stack_has(const lp::StackTrace& stack, std::string_view function) {
  return std::ranges::any_of(stack, [&](const lp::StackFrame& frame) { return frame.function.contains(function); });
}

}  // namespace

TEST_CASE("the error of a time-out says where the call hung", "[E6]") {
  on_manager(options_for(ExecutorBackend::process), [](Manager& manager) -> lp::Task<> {
    const auto lease = co_await manager.acquire();
    lp::StackTrace stack;
    std::string message;
    try {
      co_await lease.with({.timeout = 2s}).run(pass_gate, 1);
    } catch (const lp::LeasePoolError& error) {
      CHECK(error.code() == Errc::timed_out);
      CHECK(error.crash() == nullptr);
      stack = error.stack();
      message = error.what();
    }
    CAPTURE(message, to_text(stack));
    CHECK(stack_has(stack, "pass_gate"));
    CHECK_THAT(message, ContainsSubstring("late in its time it was in"));
  });
}

TEST_CASE("the error of an expiry says where the call was at the soft one", "[X4]") {
  auto options = options_for(ExecutorBackend::process);
  options.lease_grace = 1s;
  on_manager(options, [](lp::Loop& loop, Manager& manager) -> lp::Task<> {
    auto lease = co_await manager.acquire();
    std::optional<lp::Result<int>> first;
    std::optional<lp::Result<int>> second;
    lease.run_async(pass_gate, 1, [&](lp::Result<int> result) { first = std::move(result); });
    lease.run_async(pass_gate, 2, [&](lp::Result<int> result) { second = std::move(result); });
    co_await until_entered(loop, 2);
    lease.extend(10ms);
    co_await until(loop, [&] { return first.has_value() && second.has_value(); });
    CHECK(first->error().code() == Errc::lease_expired);
    CHECK(stack_has(first->error().stack(), "pass_gate"));
    CHECK(stack_has(second->error().stack(), "pass_gate"));
  });
}

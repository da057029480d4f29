// What is reported of a worker that crashed: who, what, how long, what it used, what it said last, and where it was.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/crash.hpp"
#include "shared/registry.hpp"
#include "shared/stack_note.hpp"
#include "shared/symbols.hpp"
#include "support/sanitized.hpp"

using namespace leasepool;
using leasepool::test::TestPool;
using pool_functions::End;

namespace report_cases {

[[gnu::noinline]] int crash_here(int how) {
  pool_functions::end_by(static_cast<End>(how));
  return how + 1;
}

int say_and_crash(int how) {
  std::fprintf(stderr, "first words\nlast words\n");
  return crash_here(how) + 1;
}

int use_memory_and_crash(int mebibytes) {
  const std::string memory(static_cast<std::size_t>(mebibytes) << 20U, 'x');
  std::abort();
  return static_cast<int>(memory.size());
}

// What the function forked crashes, not the worker.
int child_crashes() {
  const pid_t child = ::fork();
  if (child == 0) {
    crash_here(static_cast<int>(End::bad_access));
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::kill(::getpid(), SIGKILL);
  return status;
}

// As an optimizing compiler does it with what is short or called once.
[[gnu::always_inline]] inline int inlined_crash(int how) { return crash_here(how) + 1; }
[[gnu::always_inline]] static inline int inlined_fault(int value) {
  volatile int* volatile nowhere = nullptr;
  *nowhere = value;
  return value;
}

struct CrashesWhenDecoded {
  template <class Archive>
  void save(Archive& /*archive*/) const {}
  template <class Archive>
  void load(Archive& /*archive*/) {
    std::abort();
  }
};
int never_begins(const CrashesWhenDecoded& /*argument*/) { return 1; }

}  // namespace report_cases

LEASEPOOL_REGISTER(report_cases::say_and_crash);
LEASEPOOL_REGISTER(report_cases::use_memory_and_crash);
LEASEPOOL_REGISTER(report_cases::child_crashes);
LEASEPOOL_REGISTER(report_cases::inlined_crash);
LEASEPOOL_REGISTER(report_cases::inlined_fault);
LEASEPOOL_REGISTER(report_cases::never_begins);

namespace report_tests {

struct PoolOfOne {
  PoolOfOne() { REQUIRE(pool.start().has_value()); }
  Error crash(End how) { return pool.result_of(report_cases::say_and_crash, static_cast<int>(how)).error(); }

  Loop loop;
  TestPool pool{loop, ExecutorBackend::process, 1};
};

bool names(const StackTrace& stack, std::string_view function) {
  return std::ranges::any_of(stack, [&](const StackFrame& frame) { return frame.function.contains(function); });
}

}  // namespace report_tests

using report_tests::names;
using report_tests::PoolOfOne;

TEST_CASE("a crash is reported with all that is known of it", "[crash-report][W1]") {
  PoolOfOne one;
  const pid_t worker = one.pool.result_of(pool_functions::process_id).value();
  const Error error = one.crash(End::bad_access);
  const WorkerCrash* const crash = error.crash();
  REQUIRE(crash != nullptr);
  CHECK(crash->signal == SIGSEGV);
  CHECK_FALSE(crash->exit_code.has_value());
  CHECK_FALSE(crash->out_of_memory);
  CHECK_FALSE(crash->stack_overflow);
  CHECK(crash->function == "report_cases::say_and_crash");
  CHECK(crash->call_id == one.pool.sink->ended.back());
  CHECK(crash->owner == "test owner");
  CHECK(crash->ran_for > Duration::zero());
  CHECK(crash->pid == worker);
  CHECK(crash->worker_id != 0);
  CHECK(crash->max_resident_bytes > 0);
  CHECK(crash->stderr_tail == "first words\nlast words");
  CAPTURE(to_text(*crash));
  CHECK(names(crash->stack, "crash_here"));
  CHECK(names(crash->stack, "say_and_crash"));
  CHECK_FALSE(names(crash->stack, "leasepool::detail::"));
  CHECK(crash->stack.front().module.ends_with("test_pool"));
  CHECK(&error.stack() == &crash->stack);
  CHECK_THAT(error.message(), ContainsSubstring("it was in ") && ContainsSubstring("crash_here"));
}

TEST_CASE("a function that was inlined into the library's call of it is named all the same", "[crash-report][W1]") {
  PoolOfOne one;
  const Error inside = one.pool.result_of(report_cases::inlined_crash, static_cast<int>(End::bad_access)).error();
  CAPTURE(inside.message());
  REQUIRE(inside.stack().size() >= 2);
  CHECK(inside.stack().back().function == "report_cases::inlined_crash");
  CHECK(names(inside.stack(), "crash_here"));
  CHECK_FALSE(names(inside.stack(), "leasepool::detail::"));

  const Error itself = one.pool.result_of(report_cases::inlined_fault, 1).error();
  REQUIRE(itself.stack().size() == 1);
  CHECK(itself.stack().front().function == "report_cases::inlined_fault");
  CHECK_THAT(itself.message(), ContainsSubstring("; it was in report_cases::inlined_fault"));
}

TEST_CASE("a function that is there in the stack is named once", "[crash-report][W1]") {
  PoolOfOne one;
  const Error error = one.crash(End::bad_access);
  CAPTURE(error.message());
  CHECK(std::ranges::count_if(error.stack(),
                              [](const StackFrame& frame) { return frame.function.contains("say_and_crash"); }) == 1);
  CHECK(error.stack().back().function.contains("say_and_crash"));
}

TEST_CASE("a crash before the function began is not shown in it", "[crash-report][W1]") {
  PoolOfOne one;
  const Error error = one.pool.result_of(report_cases::never_begins, report_cases::CrashesWhenDecoded{}).error();
  REQUIRE(error.crash() != nullptr);
  CAPTURE(to_text(*error.crash()));
  CHECK(names(error.stack(), "CrashesWhenDecoded::load<leasepool::detail::"));
  CHECK_FALSE(names(error.stack(), "never_begins"));
  CHECK_FALSE(names(error.stack(), "invoke_registered"));
}

TEST_CASE("a line of a stack ends with its outermost function, however deep it is", "[crash-report]") {
  StackTrace stack;
  for (const char* const name : {"a(int)", "", "b()", "c()"}) stack.push_back({.function = name});
  CHECK(detail::in_a_line(stack) == "a < ? < b < c");
  stack.push_back({.function = "f(int)"});
  CHECK(detail::in_a_line(stack) == "a < ? < b < c < f");
  stack.insert(stack.end() - 1, 3, {.function = "d()"});
  CHECK(detail::in_a_line(stack) == "a < ? < b < c < ... < f");
}

TEST_CASE("without symbols, the function is known by where its code begins", "[crash-report]") {
  const auto at = [](detail::FunctionAddress function, std::uintptr_t offset) {
    return detail::StackNote::Frame{.address = reinterpret_cast<std::uintptr_t>(function) + offset,
                                    .module = detail::StackNote::kMaxModules};
  };
  const auto* const known =
      detail::find_function(reinterpret_cast<detail::FunctionAddress>(report_cases::say_and_crash));
  detail::StackNote note{};
  note.depth = 3;
  note.frames[0] = at(known->address, 0);
  note.frames[1] = at(known->caller, 1);
  const StackTrace stack = detail::read_stack(note, known->name);
  REQUIRE(stack.size() == 1);
  CHECK(stack.front().function == "report_cases::say_and_crash");
  note.frames[0] = {};
  CHECK(detail::read_stack(note, known->name).size() == 2);
  CHECK(detail::read_stack(note, known->name).back().function == "report_cases::say_and_crash");
  CHECK(detail::read_stack(note, "another").size() == 3);
}

TEST_CASE("the report names each way to end", "[crash-report][W1]") {
  PoolOfOne one;
  const Error aborted = one.crash(End::abort);
  CHECK(aborted.crash()->signal == SIGABRT);
  CHECK(names(aborted.stack(), "crash_here"));

  const Error exited = one.crash(End::exit_3);
  CHECK(exited.crash()->exit_code == 3);
  CHECK_FALSE(exited.crash()->signal.has_value());
  CHECK(exited.stack().empty());

  const Error killed = one.crash(End::sigkill);
  CHECK(killed.crash()->signal == SIGKILL);
  CHECK(killed.stack().empty());
  CHECK(killed.crash()->stderr_tail == "first words\nlast words");

  const Error overflown = one.crash(End::stack_overflow);
  CHECK(overflown.crash()->signal == SIGSEGV);
  CHECK(overflown.crash()->stack_overflow);
  CHECK(overflown.stack().size() > 10);
  CHECK_THAT(overflown.message(), ContainsSubstring("its stack had overflowed"));
}

TEST_CASE("the report says what the process used", "[crash-report]") {
  PoolOfOne one;
  const Error error = one.pool.result_of(report_cases::use_memory_and_crash, 96).error();
  REQUIRE(error.crash() != nullptr);
  CHECK(error.crash()->max_resident_bytes >= std::uint64_t{96} << 20U);
  CHECK(error.crash()->user_time + error.crash()->system_time > Duration::zero());
}

TEST_CASE("what a function forked has no say in its worker's report", "[crash-report]") {
  PoolOfOne one;
  const Error error = one.pool.result_of(report_cases::child_crashes).error();
  REQUIRE(error.crash() != nullptr);
  CHECK(error.crash()->signal == SIGKILL);
  CHECK(error.stack().empty());
}

TEST_CASE("an exception of the library's own carries the report too", "[crash-report]") {
  PoolOfOne one;
  const Error error = one.crash(End::abort);
  try {
    error.raise();
  } catch (const LeasePoolError& thrown) {
    REQUIRE(thrown.crash() != nullptr);
    CHECK(thrown.crash()->signal == SIGABRT);
    CHECK(&thrown.stack() == &error.stack());
  }
  CHECK(Error(Errc::timed_out, "late").crash() == nullptr);
  CHECK(Error(Errc::timed_out, "late").stack().empty());
}

TEST_CASE("a report reads well", "[crash-report]") {
  const WorkerCrash crash{.signal = SIGSEGV,
                          .stack_overflow = true,
                          .function = "f",
                          .call_id = 7,
                          .owner = "somebody",
                          .ran_for = std::chrono::milliseconds(250),
                          .worker_id = 3,
                          .pid = 42,
                          .user_time = std::chrono::milliseconds(200),
                          .system_time = std::chrono::milliseconds(10),
                          .max_resident_bytes = 2048,
                          .stderr_tail = "one\ntwo",
                          .stack = {{.address = 0x10, .module = "/bin/x", .offset = 0x8, .function = "f(int)"},
                                    {.address = 0x20, .module = "", .offset = 0, .function = ""}}};
  CHECK(to_text(crash) == "worker 3, process 42\n"
                          "  end         signal 11 (SIGSEGV, Segmentation fault), stack overflow\n"
                          "  call        f (7) of \"somebody\", ran for 250 ms\n"
                          "  used        200 ms of user and 10 ms of system time, at most 2 KiB\n"
                          "  stderr\n"
                          "    | one\n"
                          "    | two\n"
                          "  stack\n"
                          "    #0 f(int) (/bin/x+0x8)\n"
                          "    #1 0x20\n");
}

TEST_CASE("a note that lies harms nobody", "[crash-report][W7]") {
  detail::StackNote note{};
  note.depth = UINT64_MAX;
  for (auto& frame : note.frames) frame = {.address = UINT64_MAX, .module = UINT64_MAX};
  CHECK(detail::read_stack(note, {}).size() == detail::StackNote::kMaxFrames);
  for (auto& module : note.modules) module.name.fill('\x1b');  // no end
  for (auto& frame : note.frames) frame.module = 7;
  const StackTrace stack = detail::read_stack(note, {});
  CHECK(stack.front().module == std::string(detail::StackNote::kMaxName, '?'));
  CHECK(stack.front().function.empty());
  note.depth = 1;
  note.modules[7].name = {"/dev/zero"};  // a file that the program has not loaded is not opened
  CHECK(detail::read_stack(note, {}).front().function.empty());
}

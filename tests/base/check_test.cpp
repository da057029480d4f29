// Tests of what stops the program and of what it says on standard error.
#include "base/check.hpp"

#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "catch.hpp"
#include "support/child.hpp"

using leasepool::LogLevel;
using leasepool::LogSink;
using leasepool::detail::check;
using leasepool::detail::write_log;
using leasepool::test::run_in_child;

TEST_CASE("a check that holds does nothing", "[check]") {
  const auto end = run_in_child([] { check(true, "two and two are four"); });
  CHECK(end.exited_with(0));
  CHECK(end.output.empty());
}

TEST_CASE("a broken invariant aborts and says what and where, in every build", "[check]") {
  const auto end = run_in_child([] { check(false, "two and two are four"); });
  CHECK(end.killed_by(SIGABRT));
  CHECK_THAT(end.output, ContainsSubstring("two and two are four"));
  CHECK_THAT(end.output, ContainsSubstring("check_test.cpp:"));
}

TEST_CASE("log lines go to the sink alone when there is one", "[log]") {
  const auto end = run_in_child([] {
    std::vector<std::pair<LogLevel, std::string>> lines;
    const LogSink sink = [&](LogLevel level, std::string_view text) { lines.emplace_back(level, text); };
    write_log(sink, LogLevel::info, "a");
    write_log(sink, LogLevel::error, "b");
    const std::vector<std::pair<LogLevel, std::string>> expected{{LogLevel::info, "a"}, {LogLevel::error, "b"}};
    check(lines == expected, "the sink got both lines");
  });
  CHECK(end.exited_with(0));
  CHECK(end.output.empty());
}

TEST_CASE("without a sink, warnings and errors go to standard error, one line each", "[log]") {
  const auto end = run_in_child([] {
    write_log({}, LogLevel::info, "quiet");
    write_log({}, LogLevel::warning, "careful");
    write_log({}, LogLevel::error, "broken");
  });
  CHECK(end.exited_with(0));
  CHECK(end.output == "leasepool: warning: careful\nleasepool: error: broken\n");
}

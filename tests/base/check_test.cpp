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
using leasepool::LogRecord;
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
    const LogSink sink = [&](const LogRecord& record) { lines.emplace_back(record.level, record.text); };
    write_log(sink, {.level = LogLevel::info, .text = "a"});
    write_log(sink, {.level = LogLevel::error, .text = "b"});
    const std::vector<std::pair<LogLevel, std::string>> expected{{LogLevel::info, "a"}, {LogLevel::error, "b"}};
    check(lines == expected, "the sink got both lines");
  });
  CHECK(end.exited_with(0));
  CHECK(end.output.empty());
}

TEST_CASE("without a sink, warnings and errors go to standard error, one line each", "[log]") {
  const auto end = run_in_child([] {
    write_log({}, {.level = LogLevel::info, .text = "quiet"});
    write_log({}, {.level = LogLevel::warning, .text = "careful"});
    write_log({}, {.level = LogLevel::error, .text = "broken"});
  });
  CHECK(end.exited_with(0));
  CHECK(end.output == "leasepool: warning: careful\nleasepool: error: broken\n");
}

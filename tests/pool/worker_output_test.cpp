// What functions print and log reaches the log as records: whole, in order, whose it is, and without holding up
// anybody.
#include "processes/worker_output.hpp"
#include "leasepool/detail/access.hpp"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/log.hpp"
#include "shared/worker_log.hpp"
#include "support/eventually.hpp"

using namespace leasepool;
using leasepool::detail::LineSplitter;
using leasepool::detail::WorkerLine;
using leasepool::test::LoggedRecord;
using leasepool::test::TestPool;

namespace output_cases {

void print() {
  std::printf("printed\n");
  std::fprintf(stderr, "an error\n");
  log(LogLevel::info, "logged\nin two lines");
  std::fprintf(stderr, "another");
}

void log_levels() {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error})
    log(level, "level");
}

void log_behind_unfinished_lines() {
  std::fprintf(stderr, "progress 50%%");
  log(LogLevel::debug, "logged behind it");
  std::fprintf(stderr, "progress 60%%");
  log(LogLevel::info, "");
  ::kill(::getpid(), SIGKILL);
}

std::int64_t now() { return std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

// Logs what time it is; gives what time it is after that.
std::int64_t log_the_time() {
  log(LogLevel::info, std::to_string(now()));
  const std::int64_t after = now();
  pool_functions::shared().holding.store(1);
  return after;
}

void log_one() { log(LogLevel::info, "log_one"); }
void log_other() { log(LogLevel::info, "log_other"); }

void print_and_die() {
  std::printf("before the end\n");
  log(LogLevel::info, "logged before the end");
  std::fprintf(stderr, "no line end");
  ::kill(::getpid(), SIGKILL);
}

void print_lines(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) std::printf("line %u\n", i);
}

// The loop does not run while this does: nothing takes the lines.
void log_lines(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) log(LogLevel::info, "line " + std::to_string(i));
  pool_functions::shared().holding.store(1);
}

void print_from_many_threads() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int line = 0; line < 10; ++line) log(LogLevel::info, std::string(1000, 'x'));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void close_its_streams() {
  ::close(STDOUT_FILENO);
  ::close(STDERR_FILENO);
}

}  // namespace output_cases

LEASEPOOL_REGISTER(output_cases::print);
LEASEPOOL_REGISTER(output_cases::log_levels);
LEASEPOOL_REGISTER(output_cases::log_behind_unfinished_lines);
LEASEPOOL_REGISTER(output_cases::log_the_time);
LEASEPOOL_REGISTER(output_cases::log_one);
LEASEPOOL_REGISTER(output_cases::log_other);
LEASEPOOL_REGISTER(output_cases::print_and_die);
LEASEPOOL_REGISTER(output_cases::print_lines);
LEASEPOOL_REGISTER(output_cases::log_lines);
LEASEPOOL_REGISTER(output_cases::print_from_many_threads);
LEASEPOOL_REGISTER(output_cases::close_its_streams);

namespace output_tests {

struct ProcessFixture {
  ProcessFixture() { REQUIRE(pool.start().has_value()); }

  [[nodiscard]] std::vector<std::string> texts_from(LogSource source) const {
    std::vector<std::string> texts;
    for (const LoggedRecord& line : *pool.log) {
      if (line.record.source == source) texts.push_back(line.text);
    }
    return texts;
  }
  bool wait_for_lines(std::uint64_t count) {
    return pool.wait([&] { return pool.totals->log->lines + pool.totals->log->dropped >= count; });
  }

  Loop loop;
  TestPool pool{loop, ExecutorBackend::process, 1};
};

std::vector<std::string> split(const std::vector<std::string>& chunks) {
  std::vector<std::string> lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  LineSplitter splitter;
  for (const std::string& chunk : chunks) splitter.feed(chunk, keep);
  splitter.finish(keep);
  return lines;
}

using Lines = std::vector<std::string>;

}  // namespace output_tests

using output_tests::Lines;
using output_tests::ProcessFixture;
using output_tests::split;

TEST_CASE("bytes become lines, however they come", "[output]") {
  CHECK((split({"a\nb\n"}) == Lines{"a", "b"}));
  CHECK((split({"a", "b", "\nc"}) == Lines{"ab", "c"}));
  CHECK((split({"\n\n", "a\n\n"}) == Lines{"", "", "a", ""}));
  CHECK((split({}) == Lines{}));
  const std::string longest(LineSplitter::kMaxLine, 'x');
  CHECK((split({longest + "\n"}) == Lines{longest}));
  CHECK((split({longest + "yz\nb\n"}) == Lines{longest, "yz", "b"}));
  CHECK((split({"x", longest, "y\n"}) == Lines{longest, "xy"}));
}

TEST_CASE("a logged line is told from a printed one", "[output]") {
  using detail::find_logged_line;
  const std::string mark = "\x1e";
  const std::string numbers = "0000000000000a0f00000000000003e8";
  const std::string line = mark + "2" + numbers + "text";
  const auto logged = find_logged_line(line);
  REQUIRE(logged.has_value());
  CHECK((logged->level == LogLevel::warning));
  CHECK(logged->origin.call_id == 0xa0f);
  CHECK((logged->origin.time.time_since_epoch() == std::chrono::microseconds(1)));
  CHECK(logged->text == "text");
  CHECK(logged->before.empty());
  const std::string without_text = mark + "0" + std::string(32, 'f');
  REQUIRE(find_logged_line(without_text).has_value());
  CHECK(find_logged_line(without_text)->text.empty());
  const std::string behind_others = mark + " printed" + line;
  const auto behind = find_logged_line(behind_others);
  REQUIRE(behind.has_value());
  CHECK(behind->before == mark + " printed");
  CHECK(behind->text == "text");
  const std::string too_short = numbers.substr(1);
  for (const std::string& printed :
       {std::string(), mark, std::string("text"), "2" + numbers, mark + "4" + numbers, mark + too_short,
        mark + "2" + too_short, mark + "2" + too_short + " ", mark + "2-" + too_short, mark + "text", "text" + mark}) {
    CHECK_FALSE(find_logged_line(printed).has_value());
  }
}

TEST_CASE("what a function prints and logs arrives in order, with whose it is", "[output]") {
  ProcessFixture fixture;
  const auto before = std::chrono::system_clock::now();
  CHECK(fixture.pool.result_of(output_cases::print).has_value());
  REQUIRE(fixture.wait_for_lines(4));
  CHECK((fixture.texts_from(LogSource::standard_output) == Lines{"printed"}));
  Lines errors;
  const pid_t worker = fixture.pool.result_of(pool_functions::process_id).value();
  for (const LoggedRecord& line : *fixture.pool.log) {
    if (line.record.source != LogSource::standard_output) errors.push_back(line.text);
    CHECK(line.record.pid == worker);
    CHECK(line.record.worker_id != 0);
    CHECK(line.pool == "test-pool");
    CHECK(line.owner == "test owner");
    CHECK_THAT(line.function, ContainsSubstring("output_cases::print"));
    CHECK(line.record.time >= before);
  }
  CHECK((errors == Lines{"an error", "logged", "in two lines"}));
  CHECK(fixture.pool.close());  // with the worker, its last line ends
}

TEST_CASE("records have the level they were logged with", "[output]") {
  ProcessFixture fixture;
  CHECK(fixture.pool.result_of(output_cases::log_levels).has_value());
  REQUIRE(fixture.wait_for_lines(4));
  std::vector<LogLevel> levels;
  for (const LoggedRecord& line : *fixture.pool.log) levels.push_back(line.record.level);
  CHECK((levels == std::vector{LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}));
}

TEST_CASE("what quick calls log is their own, however late it is read", "[output]") {
  ProcessFixture fixture;
  constexpr std::uint64_t kCalls = 500;
  for (std::uint64_t i = 0; i < kCalls; ++i) {
    (void)(i % 2 == 0 ? fixture.pool.call(output_cases::log_one) : fixture.pool.call(output_cases::log_other));
  }
  REQUIRE(fixture.wait_for_lines(kCalls));
  CHECK(fixture.pool.log->size() == kCalls);
  for (const LoggedRecord& line : *fixture.pool.log) CHECK(line.function == "output_cases::" + line.text);
}

TEST_CASE("a logged record has the time at which it was logged", "[output]") {
  pool_functions::reset_shared();
  ProcessFixture fixture;
  const auto call = fixture.pool.call(output_cases::log_the_time);
  test::turn(fixture.loop);                                             // sends it
  while (pool_functions::shared().holding.load() == 0) ::usleep(1000);  // the loop does not run meanwhile
  REQUIRE(fixture.pool.wait([&] { return call->ended(); }));
  REQUIRE(fixture.wait_for_lines(1));
  const LoggedRecord& line = fixture.pool.log->front();
  const std::int64_t logged = line.record.time.time_since_epoch() / std::chrono::nanoseconds(1);
  CHECK(logged >= std::stoll(line.text));
  CHECK(logged <= call->result->value());
}

TEST_CASE("what is logged behind a line without an end is a record of its own", "[output]") {
  ProcessFixture fixture;
  const auto result = fixture.pool.result_of(output_cases::log_behind_unfinished_lines);
  REQUIRE(fixture.wait_for_lines(5));  // with the news of the worker's end
  CHECK((fixture.texts_from(LogSource::standard_error) == Lines{"progress 50%", "progress 60%"}));
  CHECK((fixture.texts_from(LogSource::log) == Lines{"logged behind it", ""}));
  CHECK((fixture.pool.log->at(1).record.level == LogLevel::debug));
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().crash()->stderr_tail == "progress 50%\nlogged behind it\nprogress 60%\n");
}

TEST_CASE("what a function said before its worker was killed comes before the news of that", "[output]") {
  ProcessFixture fixture;
  CHECK_FALSE(fixture.pool.result_of(output_cases::print_and_die).has_value());
  REQUIRE(fixture.wait_for_lines(4));
  const auto& log = *fixture.pool.log;
  REQUIRE(log.size() == 4);
  CHECK((fixture.texts_from(LogSource::standard_output) == Lines{"before the end"}));
  CHECK((fixture.texts_from(LogSource::log) == Lines{"logged before the end"}));
  CHECK((fixture.texts_from(LogSource::standard_error) == Lines{"no line end"}));
  CHECK_THAT(log[3].text, ContainsSubstring("SIGKILL"));
}

TEST_CASE("a turn of the loop takes a bounded part of a flood, and in the end all", "[output]") {
  using detail::WorkerOutput;
  struct {
    std::size_t lines = 0;
    std::size_t bytes = 0;
  } taken, before;
  Loop loop;
  const auto output = std::make_shared<WorkerOutput>(
      *leasepool::detail::Access::core(loop),
      [&](const WorkerLine& line) {
        ++taken.lines;
        taken.bytes += line.text.size();
      },
      [](std::uint64_t) {});
  const WorkerOutput::WorkerEnds ends = output->open();
  for (const std::string& line : {std::string("\n"), std::string(2000, 'x') + "\n"}) {
    taken = {};
    std::string flood;
    while (flood.size() + line.size() <= 60'000) flood += line;  // any pipe has room for that
    const std::size_t lines = flood.size() / line.size();
    std::thread writer([&] {  // twice that, so that there is more than a turn's worth of either
      for (int i = 0; i < 2; ++i) (void)!::write(ends.standard_output.get(), flood.data(), flood.size());
    });
    bool bounded = true;
    const bool came = test::eventually([&] {
      before = taken;
      test::turn(loop);
      bounded = bounded && taken.lines - before.lines <= WorkerOutput::kMaxLinesAtOnce &&
                taken.bytes - before.bytes <= WorkerOutput::kMaxBytesAtOnce;
      return taken.lines == 2 * lines;
    });
    writer.join();
    CHECK(came);
    CHECK(bounded);
  }
  taken = {};
  CHECK(::write(ends.standard_output.get(), "whole\npart", 10) == 10);  // the part waits for its end, with nobody busy
  CHECK(test::run_until(loop, [&] { return taken.bytes >= 5; }));
  CHECK(::write(ends.standard_output.get(), "ner\n", 4) == 4);
  CHECK(test::run_until(loop, [&] { return taken.bytes == 12; }));
  CHECK(taken.lines == 2);
  output->detach();
}

TEST_CASE("of what a dead worker left in its pipe the last lines count most", "[output]") {
  using detail::WorkerOutput;
  constexpr std::size_t kLines = 3000;
  std::vector<std::string> lines;
  std::uint64_t dropped = 0;
  Loop loop;
  const auto output = std::make_shared<WorkerOutput>(
      *leasepool::detail::Access::core(loop), [&](const WorkerLine& line) { lines.emplace_back(line.text); },
      [&](std::uint64_t count) { dropped += count; });
  {
    const WorkerOutput::WorkerEnds ends = output->open();
    std::string flood;
    for (std::size_t i = 0; i < kLines; ++i) flood += "line " + std::to_string(i) + "\n";
    REQUIRE(::write(ends.standard_error.get(), flood.data(), flood.size()) == static_cast<ssize_t>(flood.size()));
  }
  output->finish();
  CHECK(lines.size() == WorkerOutput::kMaxLinesAtOnce);
  CHECK(dropped == kLines - lines.size());
  CHECK(lines.back() == "line " + std::to_string(kLines - 1));
  CHECK_THAT(output->error_tail(), ContainsSubstring("line " + std::to_string(kLines - 1)));
}

TEST_CASE("a flood of lines is counted whole, delivered or dropped", "[output]") {
  ProcessFixture fixture;
  constexpr std::uint32_t kLines = 200'000;
  CHECK(fixture.pool.result_of(output_cases::print_lines, kLines).has_value());
  REQUIRE(fixture.wait_for_lines(kLines));
  CHECK(fixture.pool.totals->log->lines + fixture.pool.totals->log->dropped == kLines);
  CHECK(fixture.pool.totals->log->lines >= 1);
  std::string last;
  for (const std::string& text : fixture.texts_from(LogSource::standard_output)) {  // in order, gaps or not
    CHECK((last.size() < text.size() || last < text));
    last = text;
  }
}

TEST_CASE("log() waits for nobody, and what found no room is counted and said", "[output]") {
  pool_functions::reset_shared();
  ProcessFixture fixture;
  constexpr std::uint32_t kLines = 100'000;  // more than any pipe has room for
  const auto call = fixture.pool.call(output_cases::log_lines, kLines);
  test::turn(fixture.loop);  // sends it
  while (pool_functions::shared().holding.load() == 0) ::usleep(1000);
  REQUIRE(fixture.pool.wait([&] { return call->ended(); }));
  REQUIRE(fixture.wait_for_lines(kLines));
  CHECK(fixture.pool.totals->log->lines + fixture.pool.totals->log->dropped == kLines);
  CHECK(fixture.pool.totals->log->dropped > 0);
  CHECK(fixture.pool.logged("log lines were dropped"));
}

TEST_CASE("lines of several threads do not mix", "[output]") {
  ProcessFixture fixture;
  CHECK(fixture.pool.result_of(output_cases::print_from_many_threads).has_value());
  REQUIRE(fixture.wait_for_lines(40));
  for (const std::string& text : fixture.texts_from(LogSource::log)) CHECK(text == std::string(1000, 'x'));
}

TEST_CASE("a worker without its streams goes on working, and its death is seen", "[output]") {
  ProcessFixture fixture;
  CHECK(fixture.pool.result_of(output_cases::close_its_streams).has_value());
  CHECK(fixture.pool.result_of(pool_functions::add, 1, 2).value() == 3);
  CHECK_FALSE(fixture.pool.result_of(pool_functions::exit_at_once, 3).has_value());
  CHECK(fixture.pool.result_of(pool_functions::add, 1, 2).value() == 3);
}

TEST_CASE("a function on a thread logs as well", "[output]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of([] { log(LogLevel::warning, "one\ntwo"); }).has_value());
  REQUIRE(pool.wait([&] { return pool.log->size() == 2; }));
  CHECK(pool.log->at(0).text == "one");
  CHECK(pool.log->at(1).text == "two");
  CHECK((pool.log->at(0).record.level == LogLevel::warning));
  CHECK((pool.log->at(0).record.source == LogSource::log));
  CHECK(pool.log->at(0).owner == "test owner");
  CHECK(pool.log->at(0).record.worker_id == 0);
  CHECK(pool.totals->log->lines == 2);
}

TEST_CASE("threads that log faster than the loop takes it lose lines, and it is said how many", "[output]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 1);
  REQUIRE(pool.start().has_value());
  constexpr std::uint64_t kLines = 3 * detail::LogQueue::kMaxLines;
  std::atomic<bool> logged = false;
  const auto call = pool.call([&logged] {
    for (std::uint64_t i = 0; i < kLines; ++i) log(LogLevel::info, "line");
    logged = true;
  });
  while (!logged) std::this_thread::yield();  // the loop does not run meanwhile
  REQUIRE(pool.wait([&] { return call->ended() && pool.totals->log->lines >= detail::LogQueue::kMaxLines; }));
  CHECK(pool.result_of([] { log(LogLevel::info, "later"); }).has_value());  // brings the count of what was dropped
  REQUIRE(pool.wait([&] { return pool.logged("log lines were dropped"); }));
  CHECK(pool.totals->log->lines == detail::LogQueue::kMaxLines + 1);
  CHECK(pool.totals->log->dropped == kLines - detail::LogQueue::kMaxLines);
}

// What a worker process has and has not of its parent: descriptors, input, signals, output.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "processes.hpp"
#include "support/process_state.hpp"
#include "support/sanitized.hpp"
#include "support/temporary_directory.hpp"

using namespace leasepool;
using leasepool::detail::UniqueFd;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace worker_cases {

std::vector<std::string> descriptors() { return leasepool::test::open_descriptors(); }
std::size_t threads() { return leasepool::test::thread_count(); }

int read_input() {
  char byte = 0;
  return static_cast<int>(::read(STDIN_FILENO, &byte, 1));
}

// The signals of 1 to 31 that are not at their default, and those that are blocked.
std::vector<int> changed_signals() {
  std::vector<int> changed;
  sigset_t blocked;
  ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
  for (int signal = 1; signal < 32; ++signal) {
    struct sigaction action{};
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_DFL) changed.push_back(signal);
    if (sigismember(&blocked, signal) == 1) changed.push_back(-signal);
  }
  return changed;
}

// Into a file that takes the place of standard output.
void print_to(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_TRUNC));
  ::dup2(file.get(), STDOUT_FILENO);
  std::printf("%s", text.c_str());
}

// Into a stream that stays open.
void leave_in_a_stream(const std::string& path, const std::string& text) {
  static std::FILE* const stream = std::fopen(path.c_str(), "w");
  std::fprintf(stream, "%s", text.c_str());
}

// Writes to a pipe that nobody reads.
int write_to_nobody() {
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  ::close(ends[0]);
  const bool failed = ::write(ends[1], "x", 1) < 0;
  ::close(ends[1]);
  return failed ? 1 : 0;
}

}  // namespace worker_cases

LEASEPOOL_REGISTER(worker_cases::descriptors);
LEASEPOOL_REGISTER(worker_cases::threads);
LEASEPOOL_REGISTER(worker_cases::read_input);
LEASEPOOL_REGISTER(worker_cases::changed_signals);
LEASEPOOL_REGISTER(worker_cases::print_to);
LEASEPOOL_REGISTER(worker_cases::leave_in_a_stream);
LEASEPOOL_REGISTER(worker_cases::write_to_nobody);

namespace {

struct TemporaryFile {
  TemporaryFile() { std::ofstream{path}; }
  [[nodiscard]] std::string content() const {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  test::TemporaryDirectory directory;
  std::string path = directory / "file";
};

}  // namespace

TEST_CASE("a worker holds its channel, its output, its log and its memory, and nothing else of anybody's", "[worker]") {
  pool_functions::reset_shared();
  Loop loop;
  const UniqueFd inheritable(::open("/dev/zero", O_RDONLY));  // not close-on-exec, as careless programs have them
  TestPool other(loop, ExecutorBackend::process, 2);
  REQUIRE(other.start().has_value());
  TestPool pool(loop, ExecutorBackend::process, 3);
  REQUIRE(pool.start().has_value());
  for (int i = 0; i < 3; ++i) {
    const auto open = pool.result_of(worker_cases::descriptors).value();
    CAPTURE(open);
    REQUIRE(open.size() == (detail::shared_memory_by_default() ? 6 : 5));
    CHECK(open[0] == "0 -> /dev/null");
    CHECK(open[1].starts_with("1 -> pipe:["));
    CHECK(open[2].starts_with("2 -> pipe:["));
    CHECK(open[3] == "3" + open[2].substr(1));  // leasepool::log()
    CHECK_THAT(open[4], ContainsSubstring(" -> socket:["));
    if (open.size() == 6) CHECK_THAT(open[5], ContainsSubstring("/memfd:leasepool-status"));
    (void)pool.result_of(pool_functions::exit_at_once, 0);  // a replacement has no more than the first ones
  }
}

TEST_CASE("each worker has a channel of its own", "[worker]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto first = pool.call(worker_cases::descriptors);
  const auto second = pool.call(worker_cases::descriptors);
  REQUIRE(pool.wait([&] { return first->ended() && second->ended(); }));
  const auto socket_of = [](const std::string& line) { return line.substr(line.find("socket:[")); };
  CHECK(socket_of(first->result->value().at(4)) != socket_of(second->result->value().at(4)));
}

TEST_CASE("a worker's input is empty", "[worker]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(worker_cases::read_input).value() == 0);
}

TEST_CASE("a worker has one thread", "[worker]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(worker_cases::threads).value() == 1 + test::kRuntimeThreads);
}

TEST_CASE(
    "a worker's signals are at their defaults, but for SIGPIPE and those that report a stack, and none is blocked",
    "[worker]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(worker_cases::changed_signals).value() == pool_functions::kHandledSignals);
  CHECK(pool.result_of(worker_cases::write_to_nobody).value() == 1);
}

TEST_CASE("what a function printed is out before its result is there", "[worker]") {
  Loop loop;
  const TemporaryFile file;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(worker_cases::print_to, file.path, "the text, without the end of a line").has_value());
  CHECK(file.content() == "the text, without the end of a line");
}

TEST_CASE("a worker that is dismissed exits in order and writes what its streams still hold", "[worker]") {
  Loop loop;
  const TemporaryFile file;
  for (int i = 0; i < 10; ++i) {
    TestPool pool(loop, ExecutorBackend::process, 1);
    REQUIRE(pool.start().has_value());
    const std::string text = "round " + std::to_string(i);
    CHECK(pool.result_of(worker_cases::leave_in_a_stream, file.path, text).has_value());
    CHECK(pool.close());
    CHECK(file.content() == text);
  }
}

TEST_CASE("a worker that does not exit when it is dismissed is killed", "[worker][L3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  ::kill(worker, SIGSTOP);
  CHECK(pool.close());
  CHECK(leasepool::test::process_state(worker) == '?');
}

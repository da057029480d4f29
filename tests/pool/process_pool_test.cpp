// A process pool that nothing goes wrong on: results, order, limits of the payload, and ends by request.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "support/process_state.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace process_cases {

int throw_text(const std::string& text) { throw std::runtime_error(text); }
int throw_repeated(std::uint64_t length) { throw std::runtime_error(std::string(length, 'x')); }
int throw_code(int code) { throw std::system_error(code, std::generic_category(), "the call"); }
int throw_number(int number) { throw number; }
std::uintmax_t size_of_file(const std::string& path) { return std::filesystem::file_size(path); }
void open_file(const std::string& path) {
  std::ifstream file;
  file.exceptions(std::ios_base::failbit);
  file.open(path);
}

}  // namespace process_cases

LEASEPOOL_REGISTER(process_cases::throw_text);
LEASEPOOL_REGISTER(process_cases::throw_repeated);
LEASEPOOL_REGISTER(process_cases::throw_code);
LEASEPOOL_REGISTER(process_cases::throw_number);
LEASEPOOL_REGISTER(process_cases::size_of_file);
LEASEPOOL_REGISTER(process_cases::open_file);

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

detail::PoolOptions with_max_payload(std::size_t limit) {
  detail::PoolOptions options = TestPool::options_for(1);
  options.max_payload = limit;
  return options;
}

}  // namespace

TEST_CASE("a process pool gives results of every size, and nothing where there is none", "[process][E1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  CHECK(pool.totals->workers_started == 2);
  CHECK(pool.result_of(pool_functions::add, 2, 3).value() == 5);
  CHECK(pool.result_of(pool_functions::nothing).has_value());
  CHECK(pool.result_of(pool_functions::echo, "").value().empty());
  CHECK(pool.result_of(pool_functions::echo, std::string(100'000, 'y')).value() == std::string(100'000, 'y'));
  CHECK(pool.result_of(pool_functions::process_id).value() != ::getpid());
  CHECK(pool.close());
}

TEST_CASE("8 MiB go to a worker and back", "[process][W8]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  std::string text(8 * kMiB, 'a');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  const auto result = pool.result_of(pool_functions::echo, text);
  REQUIRE(result.has_value());
  CHECK((*result == text));  // in brackets, or Catch would print it
}

TEST_CASE("the default limit lets 64 MiB through", "[process][W8]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const std::size_t most = 64 * kMiB - 8;  // 8 bytes are its length
  CHECK(pool.result_of(pool_functions::length_of, std::string(most, 'x')).value() == most);
  CHECK(pool.result_of(pool_functions::make_text, most).value().size() == most);
}

TEST_CASE("arguments and results may have exactly max_payload bytes, and no more", "[process][W8]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_max_payload(10'000));
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const std::size_t most = 10'000 - 8;

  CHECK(pool.result_of(pool_functions::length_of, std::string(most, 'x')).value() == most);
  const auto argument = pool.result_of(pool_functions::length_of, std::string(most + 1, 'x'));
  REQUIRE_FALSE(argument.has_value());
  CHECK(argument.error().code() == Errc::payload_too_large);
  CHECK_THAT(argument.error().message(), ContainsSubstring("the arguments of pool_functions::length_of") &&
                                             ContainsSubstring("10001") && ContainsSubstring("10000"));

  CHECK(pool.result_of(pool_functions::make_text, most).value().size() == most);
  const auto result = pool.result_of(pool_functions::make_text, most + 1);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code() == Errc::payload_too_large);
  CHECK_THAT(result.error().message(), ContainsSubstring("the result of pool_functions::make_text") &&
                                           ContainsSubstring("10001") && ContainsSubstring("10000"));

  CHECK(pool.result_of(pool_functions::make_text, 100 * kMiB).error().code() == Errc::payload_too_large);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);  // none of that cost the worker
}

TEST_CASE("failures are told whatever max_payload is", "[process][W8][E1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_max_payload(16));
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();

  CHECK_THROWS_WITH(pool.result_of(process_cases::throw_text, "8 bytes.").error().raise(), "8 bytes.");
  CHECK_THROWS_WITH(pool.result_of(process_cases::throw_code, EACCES).error().raise(), "the call: Permission denied");
  CHECK_THAT(pool.result_of(process_cases::throw_number, 3).error().message(), ContainsSubstring("threw int"));
  CHECK(pool.result_of(pool_functions::make_text, 100).error().code() == Errc::payload_too_large);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("an exception with a huge text costs the call and not the worker", "[process][E1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, with_max_payload(2 * kMiB));
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const auto check_thrown = [&](std::size_t size, std::size_t least) {
    const auto thrown = pool.result_of(process_cases::throw_repeated, size);
    REQUIRE_FALSE(thrown.has_value());
    CHECK(thrown.error().code() == Errc::remote_exception);
    CHECK_THROWS_AS(thrown.error().raise(), std::runtime_error);
    CHECK((thrown.error().message().size() >= least && thrown.error().message().size() <= size));
    CHECK(thrown.error().message().starts_with("xxxx"));
  };
  check_thrown(kMiB, kMiB);
  check_thrown(2 * kMiB, kMiB);  // with its frame over the limit
  check_thrown(100 * kMiB, kMiB);
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
}

TEST_CASE("a function's exception reaches the caller and does not cost the worker", "[process][E1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  const auto thrown = pool.result_of(process_cases::throw_text, "the text");
  REQUIRE_FALSE(thrown.has_value());
  CHECK(thrown.error().code() == Errc::remote_exception);
  CHECK(thrown.error().message() == "the text");
  CHECK_THROWS_WITH(thrown.error().raise(), "the text");
  try {
    pool.result_of(process_cases::throw_code, EACCES).error().raise();
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::permission_denied);
  }
  CHECK_THROWS_AS(pool.result_of(process_cases::size_of_file, "/none/such").error().raise(),
                  std::filesystem::filesystem_error);
  CHECK_THROWS_AS(pool.result_of(process_cases::open_file, "/none/such").error().raise(), std::ios_base::failure);
  const auto number = pool.result_of(process_cases::throw_number, 42);
  CHECK(number.error().code() == Errc::remote_exception);
  CHECK(number.error().message() == "process_cases::throw_number threw int");
  CHECK(pool.result_of(pool_functions::process_id).value() == worker);
  CHECK(pool.totals->workers_crashed == 0);
}

TEST_CASE("as many calls run at once as there are workers, each in a process of its own", "[process][E5]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 3);
  REQUIRE(pool.start().has_value());
  std::vector<std::shared_ptr<test::Call<pid_t>>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(pool.call(pool_functions::hold));
  CHECK(pool.wait([] { return shared().holding == 3; }));
  CHECK(pool.sink->started.size() == 3);
  CHECK(pool.sink->ended.empty());
  shared().gate = 1;
  CHECK(pool.wait([&] { return std::ranges::all_of(calls, [](const auto& call) { return call->ended(); }); }));
  std::set<pid_t> processes;
  for (const auto& call : calls) processes.insert(call->result->value());
  CHECK(processes.size() == 3);
  CHECK(shared().holding == 5);
}

TEST_CASE("one worker takes calls in order", "[process][E5]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(pool.call(pool_functions::add, i, i)->id);
  CHECK(pool.wait([&] { return pool.sink->ended.size() == 100; }));
  CHECK(pool.sink->started == ids);
  CHECK(pool.sink->ended == ids);
}

TEST_CASE("a call that waits for a worker can be withdrawn and then never runs", "[process][E7]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  const auto holding = pool.call(pool_functions::hold);
  const auto withdrawn = pool.call(pool_functions::count_run, 0, 0);
  const auto kept = pool.call(pool_functions::count_run, 1, 0);
  CHECK(pool.pool->withdraw(*withdrawn->job, {Errc::cancelled, "taken back"}));
  CHECK(withdrawn->code() == Errc::cancelled);
  CHECK(withdrawn->message() == "taken back");
  CHECK_FALSE(pool.pool->withdraw(*holding->job, {Errc::cancelled, "too late"}));
  shared().gate = 1;
  CHECK(pool.wait([&] { return kept->ended(); }));
  CHECK(holding->succeeded());
  CHECK(shared().runs[0] == 0);
  CHECK(shared().runs[1] == 1);
  CHECK(withdrawn->deliveries == 1);
}

TEST_CASE("interrupting a running call kills its worker alone and ends the call at once", "[process][E6]") {
  pool_functions::reset_shared();
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto interrupted = pool.call(pool_functions::hold);
  const auto neighbour = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 2; }));
  CHECK(pool.pool->interrupt(*interrupted->job, {Errc::timed_out, "took too long"}));
  CHECK(interrupted->code() == Errc::timed_out);
  CHECK(interrupted->message() == "took too long");
  CHECK(pool.result_of(pool_functions::add, 1, 2).value() == 3);  // on the replacement
  CHECK(pool.totals->workers_started == 3);
  CHECK_FALSE(neighbour->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return neighbour->ended(); }));
  CHECK(neighbour->succeeded());
  CHECK(interrupted->deliveries == 1);
  CHECK(pool.close());
}

TEST_CASE("a pool that closes lets its running calls end and leaves no process", "[process][L3][L6]") {
  pool_functions::reset_shared();
  Loop loop;
  const std::vector<pid_t> before = test::child_processes();
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  CHECK(test::child_processes().size() == before.size() + 2);
  const auto call = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  bool closed = false;
  pool.pool->close([&] { closed = true; });
  CHECK(pool.wait([&] { return test::child_processes().size() == before.size() + 1; }));  // the idle one has gone
  CHECK_FALSE(closed);
  CHECK_FALSE(call->ended());
  shared().gate = 1;
  CHECK(pool.wait([&] { return closed; }));
  pool.pool.reset();
  CHECK(call->succeeded());
  CHECK(test::child_processes() == before);
}

TEST_CASE("a pool that closes can be told to kill what runs", "[process][L3][L6]") {
  pool_functions::reset_shared();
  Loop loop;
  const std::vector<pid_t> before = test::child_processes();
  TestPool pool(loop, ExecutorBackend::process, 2);
  REQUIRE(pool.start().has_value());
  const auto call = pool.call(pool_functions::hold);
  CHECK(pool.wait([] { return shared().holding == 1; }));
  bool closed = false;
  pool.pool->close([&] { closed = true; });
  CHECK(pool.pool->interrupt(*call->job, {Errc::cancelled, "stopped"}));
  pool.pool->kill();
  CHECK(call->code() == Errc::cancelled);
  CHECK(pool.wait([&] { return closed; }));
  pool.pool.reset();
  CHECK(test::child_processes() == before);
  CHECK(call->deliveries == 1);
}

TEST_CASE("worker processes carry the pool's name and lead a group of their own", "[process]") {
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  options.name = "a-name-of-more-than-15";
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  const pid_t worker = pool.result_of(pool_functions::process_id).value();
  std::string name;
  std::ifstream("/proc/" + std::to_string(worker) + "/comm") >> name;
  CHECK(name == "a-name-of-more-");
  CHECK(::getpgid(worker) == worker);
}

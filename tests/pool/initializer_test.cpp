// What a worker runs before its first call: once in each, its failure told as such, that of a replacement backed off.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/initializer.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::LoggedRecord;
using leasepool::test::TestPool;
using pool_functions::shared;

namespace initializer_cases {

std::string& loaded() {
  thread_local std::string name;
  return name;
}

int load(const std::string& name, int times) {
  ++shared().holding;
  for (int i = 0; i < times; ++i) loaded() += name;
  return times;
}

std::string loaded_name() { return loaded(); }

void fail_to_load(const std::string& name) { throw std::runtime_error("no such file: " + name); }

void load_while_the_gate_is_shut() {
  if (shared().gate != 0) throw std::runtime_error("the gate is open");
}

void die_while_loading() { std::abort(); }

void load_and_say_so() { log(LogLevel::info, "the model is loaded"); }

}  // namespace initializer_cases

LEASEPOOL_REGISTER(initializer_cases::load);
LEASEPOOL_REGISTER(initializer_cases::loaded_name);
LEASEPOOL_REGISTER(initializer_cases::fail_to_load);
LEASEPOOL_REGISTER(initializer_cases::load_while_the_gate_is_shut);
LEASEPOOL_REGISTER(initializer_cases::die_while_loading);
LEASEPOOL_REGISTER(initializer_cases::load_and_say_so);

namespace initializer_tests {

detail::PoolOptions options_with(Initializer initializer, std::size_t workers = 2) {
  pool_functions::reset_shared();
  detail::PoolOptions options = TestPool::options_for(workers);
  options.initializer = std::move(initializer);
  return options;
}

}  // namespace initializer_tests

using initializer_tests::options_with;

TEST_CASE("each worker is initialized once, before its first call", "[initializer]") {
  const auto backend = GENERATE(ExecutorBackend::thread, ExecutorBackend::process);
  Loop loop;
  TestPool pool(loop, backend, options_with({initializer_cases::load, "model ", 2}, 3));
  REQUIRE(pool.start().has_value());
  CHECK(shared().holding == 3);
  for (int i = 0; i < 10; ++i) CHECK(pool.result_of(initializer_cases::loaded_name).value() == "model model ");
  CHECK(shared().holding == 3);
}

TEST_CASE("what an initializer logs comes to the manager's sink", "[initializer][log]") {
  const auto backend = GENERATE(ExecutorBackend::thread, ExecutorBackend::process);
  Loop loop;
  TestPool pool(loop, backend, options_with(Initializer(initializer_cases::load_and_say_so), 1));
  REQUIRE(pool.start().has_value());
  REQUIRE(pool.wait([&] { return pool.logged("the model is loaded"); }));
  const LoggedRecord& line = pool.log->front();
  CHECK(line.record.source == LogSource::log);
  CHECK(line.owner.empty());
  CHECK_THAT(line.function, ContainsSubstring("load_and_say_so"));
}

TEST_CASE("a replacement is initialized too", "[initializer][W3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_with({initializer_cases::load, "model", 1}, 1));
  REQUIRE(pool.start().has_value());
  CHECK_FALSE(pool.result_of(pool_functions::exit_at_once, 3).has_value());
  CHECK(pool.result_of(initializer_cases::loaded_name).value() == "model");
  CHECK(shared().holding == 2);
}

TEST_CASE("a start fails with what its initializer threw, and can be tried again", "[initializer][L4]") {
  const auto backend = GENERATE(ExecutorBackend::thread, ExecutorBackend::process);
  Loop loop;
  TestPool pool(loop, backend, options_with({initializer_cases::fail_to_load, "model.bin"}));
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().code() == Errc::pool_broken);
  CAPTURE(started.error().message());
  CHECK_THAT(started.error().message(), ContainsSubstring("initializer_cases::fail_to_load failed: ") &&
                                            ContainsSubstring("no such file: model.bin") &&
                                            ContainsSubstring("could not be initialized"));
  TestPool again(loop, backend, 2);
  CHECK(again.start().has_value());
}

TEST_CASE("a start fails with how a worker died in its initializer", "[initializer][W1][W3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_with(Initializer(initializer_cases::die_while_loading)));
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  CAPTURE(started.error().message());
  CHECK_THAT(started.error().message(),
             ContainsSubstring("SIGABRT") &&
                 ContainsSubstring("while it ran its initializer initializer_cases::die_while_loading"));
}

TEST_CASE("an initializer that hangs ends with worker_start_timeout", "[initializer][L4]") {
  Loop loop;
  detail::PoolOptions options = options_with(Initializer(pool_functions::hold));
  options.worker_start_timeout = 50ms;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  CHECK_THAT(started.error().message(), ContainsSubstring("worker_start_timeout"));
}

TEST_CASE("an initializer that is not registered cannot run in a worker process", "[initializer]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process, options_with(Initializer([] {})));
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  CHECK_THAT(started.error().message(), ContainsSubstring("LEASEPOOL_REGISTER"));
}

TEST_CASE("replacements whose initializer fails back off, and the pool is then broken with the cause",
          "[initializer][W3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::process,
                options_with(Initializer(initializer_cases::load_while_the_gate_is_shut), 1));
  REQUIRE(pool.start().has_value());
  shared().gate = 1;
  const auto begin = std::chrono::steady_clock::now();
  CHECK(pool.call(pool_functions::exit_at_once, 3) != nullptr);
  const auto waiting = pool.call(pool_functions::add, 1, 2);
  REQUIRE(pool.wait([&] { return waiting->ended(); }));
  CHECK(std::chrono::steady_clock::now() - begin >= 310ms);
  CHECK(waiting->code() == Errc::pool_broken);
  CHECK_THAT(waiting->message(), ContainsSubstring("the gate is open"));
}

TEST_CASE("a thread pool that is closed while it is initialized closes", "[initializer][L3]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, options_with(Initializer(pool_functions::hold)));
  bool started = false;
  pool.pool->start([&](const Result<void>&) { started = true; });
  REQUIRE(pool.wait([] { return shared().holding == 2; }));
  std::thread opener([] { shared().gate = 1; });
  CHECK(pool.close());
  opener.join();
  CHECK_FALSE(started);
}

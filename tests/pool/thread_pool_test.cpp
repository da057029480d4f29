// A thread pool at work: order, bounds, withdrawing, interrupting, and what its threads are like.
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "harness.hpp"
#include "support/eventually.hpp"

using namespace leasepool;
using namespace std::chrono_literals;
using leasepool::test::TestPool;

namespace {

// Holds functions until it is opened.
class Gate {
 public:
  void pass() {
    ++inside;
    open_.wait(false);
  }
  void open() {
    open_ = true;
    open_.notify_all();
  }
  std::atomic<int> inside = 0;

 private:
  std::atomic<bool> open_ = false;
};

}  // namespace

TEST_CASE("a thread pool runs anything that can be called and moved", "[thread][E1]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  CHECK(pool.totals->workers_started == 2);
  CHECK(pool.result_of([] { return 5; }).value() == 5);
  CHECK(*pool.result_of([box = std::make_unique<int>(6)]() mutable { return std::move(box); }).value() == 6);
  CHECK(pool.result_of([](std::unique_ptr<int> box, int more) { return *box + more; }, std::make_unique<int>(6), 1)
            .value() == 7);
  CHECK(pool.result_of(&std::string::size, std::string("text")).value() == 4);
  CHECK(pool.result_of([] {}).has_value());
  CHECK(pool.result_of([] { return std::this_thread::get_id(); }).value() != std::this_thread::get_id());
  CHECK(pool.close());
}

TEST_CASE("an exception reaches the caller as the object that was thrown", "[thread][E1]") {
  struct Own {
    int number;
  };
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 1);
  REQUIRE(pool.start().has_value());
  const auto thrown = pool.result_of([]() -> int { throw Own{.number = 42}; });
  REQUIRE_FALSE(thrown.has_value());
  CHECK(thrown.error().code() == Errc::remote_exception);
  try {
    thrown.error().raise();
  } catch (const Own& own) {
    CHECK(own.number == 42);
  }
  CHECK(pool.result_of([]() -> int { throw std::out_of_range("far"); }).error().message() == "far");
  CHECK(pool.result_of([] { return 1; }).value() == 1);
}

TEST_CASE("one thread takes calls in order", "[thread][E5]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 1);
  REQUIRE(pool.start().has_value());
  std::vector<int> order;  // the only thread writes to it
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 1000; ++i) ids.push_back(pool.call([&order, i] { order.push_back(i); })->id);
  CHECK(pool.wait([&] { return pool.sink->ended.size() == 1000; }));
  CHECK(std::ranges::is_sorted(order));
  CHECK(order.size() == 1000);
  CHECK(pool.sink->started == ids);
  CHECK(pool.sink->ended == ids);
}

TEST_CASE("as many calls run at once as there are threads, and no more", "[thread][E5]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 3);
  REQUIRE(pool.start().has_value());
  Gate gate;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  for (int i = 0; i < 30; ++i) {
    (void)pool.call([&] {
      const int now = ++running;
      int seen = most;
      while (seen < now && !most.compare_exchange_weak(seen, now)) {
      }
      gate.pass();
      --running;
    });
  }
  CHECK(pool.wait([&] { return gate.inside == 3; }));
  CHECK(pool.wait([&] { return pool.sink->started.size() == 3; }));
  CHECK(pool.sink->ended.empty());
  gate.open();
  CHECK(pool.wait([&] { return pool.sink->ended.size() == 30; }));
  CHECK(most == 3);
}

TEST_CASE("a call that waits for a thread can be withdrawn and never runs", "[thread][E7]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 1);
  REQUIRE(pool.start().has_value());
  Gate gate;
  std::atomic<bool> ran = false;
  const auto holding = pool.call([&] { gate.pass(); });
  const auto withdrawn = pool.call([&] { ran = true; });
  const auto kept = pool.call([] { return 3; });
  CHECK(pool.wait([&] { return gate.inside == 1; }));
  CHECK(pool.pool->withdraw(*withdrawn->job, {Errc::cancelled, "taken back"}));
  CHECK(withdrawn->code() == Errc::cancelled);
  CHECK(withdrawn->message() == "taken back");
  CHECK_FALSE(pool.pool->withdraw(*holding->job, {Errc::cancelled, "too late"}));
  gate.open();
  CHECK(pool.wait([&] { return kept->ended(); }));
  CHECK(holding->succeeded());
  CHECK_FALSE(ran);
  CHECK(withdrawn->deliveries == 1);
}

TEST_CASE("withdrawing races with threads that take the calls, and each call ends once", "[thread][E7]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  std::atomic<int> ran = 0;
  int withdrawn = 0;
  constexpr int kRounds = 2000;
  std::vector<std::shared_ptr<test::Call<void>>> calls;
  for (int i = 0; i < kRounds; ++i) {
    calls.push_back(pool.call([&] { ++ran; }));
    if (calls.back()->job != nullptr && pool.pool->withdraw(*calls.back()->job, {Errc::cancelled, ""})) ++withdrawn;
  }
  CHECK(pool.wait([&] { return pool.sink->ended.size() == kRounds; }));
  CHECK(ran + withdrawn == kRounds);
  CHECK(std::ranges::all_of(calls, [](const auto& call) { return call->deliveries == 1; }));
}

TEST_CASE("interrupting requests a stop of the function's token, and the function ends by itself", "[thread][E7]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  std::atomic<int> running = 0;
  const auto waits = [&running](std::stop_token token, int value) {
    ++running;
    while (!token.stop_requested()) std::this_thread::sleep_for(1ms);
    return value;
  };
  const auto first = pool.call(waits, 1);
  const auto second = pool.call(waits, 2);
  CHECK(pool.wait([&] { return running == 2; }));
  CHECK_FALSE(pool.pool->interrupt(*first->job, {Errc::timed_out, "not used"}));
  CHECK(pool.wait([&] { return first->ended(); }));
  CHECK(first->result->value() == 1);  // what it returned, and no error
  CHECK_FALSE(second->ended());
  CHECK_FALSE(pool.pool->interrupt(*second->job, {Errc::timed_out, "not used"}));
  CHECK(pool.wait([&] { return second->ended(); }));
}

TEST_CASE("interrupting a function without a token leaves it alone", "[thread][E7]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 1);
  REQUIRE(pool.start().has_value());
  Gate gate;
  const auto call = pool.call([&] { gate.pass(); });
  CHECK(pool.wait([&] { return gate.inside == 1; }));
  CHECK_FALSE(pool.pool->interrupt(*call->job, {Errc::timed_out, "not used"}));
  gate.open();
  CHECK(pool.wait([&] { return call->ended(); }));
  CHECK(call->succeeded());
}

TEST_CASE("pool threads carry the pool's name and take none of the program's signals", "[thread]") {
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(3);
  options.name = "a-name-of-more-than-15";
  TestPool pool(loop, ExecutorBackend::thread, std::move(options));
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  REQUIRE(pool.start().has_value());
  Gate gate;
  std::mutex mutex;
  std::set<std::string> names;
  std::vector<int> not_blocked;
  for (int i = 0; i < 3; ++i) {
    (void)pool.call([&] {
      {
        const std::lock_guard lock(mutex);
        char name[32] = "";
        pthread_getname_np(pthread_self(), name, sizeof name);
        names.insert(name);
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        for (int signal = 1; signal < 32; ++signal) {
          if (signal == SIGKILL || signal == SIGSTOP || sigismember(&mask, signal) == 1) continue;
          not_blocked.push_back(signal);
        }
      }
      gate.pass();
    });
  }
  CHECK(pool.wait([&] { return gate.inside == 3; }));
  gate.open();
  CHECK(pool.wait([&] { return pool.sink->ended.size() == 3; }));
  CHECK(names == std::set<std::string>{"a-name-of-mor/1", "a-name-of-mor/2", "a-name-of-mor/3"});
  // What a thread does itself is reported to it, or a crash would pass the program's own handlers by.
  std::vector<int> expected;
  for (int i = 0; i < 3; ++i) {
    for (const int signal : {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS}) expected.push_back(signal);
  }
  CHECK(std::ranges::is_permutation(not_blocked, expected));
  // The thread that started them has its own signals back.
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < 32; ++signal) {
    CHECK(sigismember(&before, signal) == sigismember(&after, signal));
  }
}

TEST_CASE("a function sees whether a call on its own pool would wait for itself", "[thread][E8]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  CHECK_FALSE(pool.pool->would_wait_for_itself());  // the loop's thread is none of the pool's
  Gate gate;
  detail::Pool* const here = pool.pool.get();
  CHECK_FALSE(pool.result_of([here] { return here->would_wait_for_itself(); }).value());
  (void)pool.call([&] { gate.pass(); });
  CHECK(pool.wait([&] { return gate.inside == 1; }));
  CHECK(pool.result_of([here] { return here->would_wait_for_itself(); }).value());
  gate.open();
  CHECK(pool.wait([&] { return pool.sink->ended.size() == 3; }));
}

TEST_CASE("calls that were withdrawn do not count as waiting, however many there were", "[thread][E8]") {
  Loop loop;
  TestPool pool(loop, ExecutorBackend::thread, 2);
  REQUIRE(pool.start().has_value());
  Gate first;
  Gate second;
  detail::Pool* const here = pool.pool.get();
  const auto asks = pool.call([&] {
    first.pass();
    return test::eventually([here] { return !here->would_wait_for_itself(); });  // the other thread looks around first
  });
  (void)pool.call([&] { second.pass(); });
  CHECK(pool.wait([&] { return first.inside == 1 && second.inside == 1; }));
  std::vector<std::shared_ptr<test::Call<int>>> calls;
  for (int i = 0; i < 600; ++i) calls.push_back(pool.call([] { return 1; }));  // more than are handed over
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
    REQUIRE(pool.pool->withdraw(*(*call)->job, {Errc::cancelled, "taken back"}));
  }
  second.open();
  CHECK(pool.wait([&] { return pool.sink->ended.size() == 601; }));
  first.open();
  CHECK(pool.wait([&] { return asks->ended(); }));
  CHECK(asks->result->value());
}

// async_run() and async_acquire() as asio's operations: what completes them, where handlers run, what cancels them, and
// what becomes of them when their io_context or their loop ends.
#include <leasepool/asio.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "loops/asio_names.hpp"
#include "public/support.hpp"
#include "support/skip.hpp"
#include "support/watchdog.hpp"

using leasepool::test::Watchdog;

namespace {

// The code of what was thrown; none of what is not the library's.
std::optional<Errc> code_of(const std::exception_ptr& thrown) {
  if (thrown == nullptr) return std::nullopt;
  try {
    std::rethrow_exception(thrown);
  } catch (const lp::LeasePoolError& error) {
    return static_cast<Errc>(error.code().value());
  } catch (...) {
    return std::nullopt;
  }
}

// A loop in an io_context, with a manager of one pool that has started, and a lease of it.
class Bench {
 public:
  explicit Bench(ExecutorBackend backend, std::size_t workers = 2)
      : attached_(lp::asio::attach(loop, context)), manager(loop, options_for(backend, 1, workers)) {
    close_gate();
    bool leased = false;
    lp::asio::async_start(manager, [&](const std::exception_ptr& thrown) {
      CHECK(thrown == nullptr);
      lp::asio::async_acquire(manager, {.owner = "bench"},
                              [&](const std::exception_ptr& failed, lp::ExecutorLease got) {
                                CHECK(failed == nullptr);
                                lease = std::move(got);
                                leased = true;
                              });
    });
    until([&] { return leased; });
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() { open_gate(); }

  void until(const std::function<bool()>& holds) {
    while (!holds()) context.run_one();
  }
  void until_entered(int count) {
    while (shared().entered < count) context.run_one_for(1ms);
  }
  // Runs a coroutine to its end; throws what it throws.
  template <class T, class... A>
  T run(net::awaitable<T> task) {
    auto end = net::co_spawn(context, std::move(task), net::use_future);
    until([&] { return end.wait_for(0s) == std::future_status::ready; });
    return end.get();
  }

 private:
  const Watchdog watchdog_{"an operation of asio's does not complete"};

 public:
  net::io_context context{1};
  lp::Loop loop;

 private:
  lp::asio::Attachment attached_;

 public:
  lp::LeasedExecutorManager manager;
  lp::ExecutorLease lease;
};

}  // namespace

TEST_CASE("a coroutine of asio's gets what a call returns, and throws what it throws", "[asio]") {
  Bench bench(both_backends());
  auto app = [](Bench& own) -> net::awaitable<void> {
    const std::uint64_t squared = co_await lp::asio::async_run(own.lease, square, 12U, net::use_awaitable);
    CHECK(squared == 144);
    co_await lp::asio::async_run(own.lease, nothing, net::use_awaitable);
    const std::unique_ptr<int> boxed_five = co_await lp::asio::async_run(own.lease, boxed, 5, net::use_awaitable);
    CHECK(*boxed_five == 5);
    std::string text;
    try {
      co_await lp::asio::async_run(own.lease, throw_out_of_range, std::string("7 of 5"), net::use_awaitable);
    } catch (const std::out_of_range& error) {
      text = error.what();
    }
    CHECK(text == "7 of 5");
    try {
      co_await lp::asio::async_run(own.lease.with({.timeout = 20ms}), wait_for_stop, net::use_awaitable);
    } catch (const lp::LeasePoolError& error) {
      text = error.code() == Errc::timed_out ? "timed out" : error.what();
    }
    CHECK(text == "timed out");
  };
  bench.run(app(bench));
}

TEST_CASE("a handler gets an exception and a result, later, on the loop's thread", "[asio]") {
  Bench bench(both_backends());
  int called = 0;
  lp::asio::async_run(bench.lease, square, 3U, [&](const std::exception_ptr& thrown, std::uint64_t squared) {
    CHECK(thrown == nullptr);
    CHECK(squared == 9);
    ++called;
  });
  lp::asio::async_run(bench.lease, throw_out_of_range, std::string("a"),
                      [&](const std::exception_ptr& thrown, int none) {
                        CHECK_THROWS_AS(std::rethrow_exception(thrown), std::out_of_range);
                        CHECK(none == 0);
                        ++called;
                      });
  lp::asio::async_run(bench.lease, nothing, [&](const std::exception_ptr& thrown) {
    CHECK(thrown == nullptr);
    ++called;
  });
  CHECK(called == 0);
  bench.until([&] { return called == 3; });
}

TEST_CASE("what a pointer passed looks at need not outlive the call of async_run", "[asio]") {
  Bench bench(both_backends());
  auto app = [](Bench& own) -> net::awaitable<std::string> {
    std::array<char, 6> buffer{"lease"};
    auto call = lp::asio::async_run(own.lease, join, buffer.data(), "pool", net::use_awaitable);
    buffer.fill('x');
    co_return co_await std::move(call);
  };
  CHECK(bench.run(app(bench)) == "leasepool");
}

TEST_CASE("a handler runs on its executor", "[asio]") {
  Bench bench(both_backends());
  SECTION("a strand of the same io_context") {
    auto strand = net::make_strand(bench.context);
    int called = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
      lp::asio::async_run(bench.lease, square, i,
                          net::bind_executor(strand, [&](const std::exception_ptr&, std::uint64_t) {
                            CHECK(strand.running_in_this_thread());
                            ++called;
                          }));
    }
    bench.until([&] { return called == 100; });
  }
  SECTION("other threads, one after the other") {
    net::thread_pool others(2);
    auto strand = net::make_strand(others);
    int called = 0;  // no two at a time
    std::atomic<bool> all = false;
    for (std::uint64_t i = 0; i < 100; ++i) {
      lp::asio::async_run(bench.lease, square, i,
                          net::bind_executor(strand, [&](const std::exception_ptr&, std::uint64_t) {
                            if (strand.running_in_this_thread() && ++called == 100) all = true;
                          }));
    }
    while (!all) bench.context.run_one_for(1ms);
    others.join();
    CHECK(called == 100);
  }
  SECTION("another io_context, which is at work until then") {
    net::io_context other(1);
    bool called = false;
    lp::asio::async_run(bench.lease, pass_gate, 7,
                        net::bind_executor(other, [&](const std::exception_ptr&, int passed) {
                          CHECK(passed == 7);
                          called = true;
                        }));
    std::thread runs([&] { other.run(); });
    bench.until_entered(1);
    open_gate();
    while (!other.stopped()) bench.context.run_one_for(1ms);
    runs.join();
    CHECK(called);
  }
}

TEST_CASE("async_acquire hands over a lease, or says why there is none", "[asio]") {
  Bench bench(both_backends());
  std::optional<Errc> unavailable;
  std::optional<Errc> timed_out;
  lp::asio::async_acquire(bench.manager, {.wait = false},
                          [&](const std::exception_ptr& thrown, lp::ExecutorLease none) {
                            unavailable = code_of(thrown);
                            CHECK_FALSE(none.active());
                          });
  lp::asio::async_acquire(bench.manager, {.timeout = 10ms},
                          [&](const std::exception_ptr& thrown, lp::ExecutorLease) { timed_out = code_of(thrown); });
  bench.until([&] { return unavailable && timed_out; });
  CHECK(unavailable == Errc::lease_unavailable);
  CHECK(timed_out == Errc::timed_out);

  bool leased = false;
  lp::asio::async_acquire(bench.manager, {.owner = "next"}, [&](const std::exception_ptr&, lp::ExecutorLease lease) {
    leased = lease.active() && lease.owner() == "next";
  });
  bench.lease.release();
  bench.until([&] { return leased; });

  bool stopped = false;
  lp::asio::async_stop(bench.manager, [&](const std::exception_ptr& thrown) { stopped = thrown == nullptr; });
  bench.until([&] { return stopped; });
}

TEST_CASE("misuse throws from the call; what is found when an operation starts goes to its handler", "[asio]") {
  Bench bench(ExecutorBackend::thread);
  const auto ignore = [](const std::exception_ptr&, int) { FAIL("called"); };
  CHECK_THROWS_AS(lp::asio::async_run(bench.lease, static_cast<int (*)(int)>(nullptr), 1, ignore),
                  std::invalid_argument);
  CHECK_THROWS_AS(lp::asio::async_run(lp::ExecutorLease(), pass_gate, 1, ignore), lp::LeasePoolError);
  CHECK_THROWS_AS(lp::asio::async_acquire(bench.manager, {.timeout = -1s},
                                          [](const std::exception_ptr&, lp::ExecutorLease) { FAIL("called"); }),
                  std::invalid_argument);
  std::optional<Errc> elsewhere;
  std::thread([&] {
    try {
      lp::asio::async_run(bench.lease, pass_gate, 1, ignore);
    } catch (const lp::LeasePoolError& error) {
      elsewhere = static_cast<Errc>(error.code().value());
    }
  }).join();
  CHECK(elsewhere == Errc::wrong_thread);

  // Made here, and awaited on another thread.
  net::io_context other(1);
  std::optional<Errc> awaited_elsewhere;
  auto app = [](auto call, std::optional<Errc>& code) -> net::awaitable<void> {
    try {
      co_await std::move(call);
    } catch (const lp::LeasePoolError& error) {
      code = static_cast<Errc>(error.code().value());
    }
  };
  net::co_spawn(other, app(lp::asio::async_run(bench.lease, square, 1U, net::use_awaitable), awaited_elsewhere),
                net::detached);
  std::thread([&] { other.run(); }).join();
  CHECK(awaited_elsewhere == Errc::wrong_thread);

  bench.lease.release();
  std::optional<Errc> released;
  lp::asio::async_run(bench.lease, square, 1U,
                      [&](const std::exception_ptr& thrown, std::uint64_t) { released = code_of(thrown); });
  bench.until([&] { return released.has_value(); });
  CHECK(released == Errc::lease_expired);
}

TEST_CASE("a stop token takes a call back", "[asio]") {
  Bench bench(both_backends(), 1);
  std::stop_source source;
  std::optional<Errc> code;
  lp::asio::async_run(bench.lease, pass_gate, 1, [](const std::exception_ptr&, int) {});
  lp::asio::async_run(bench.lease.with(source.get_token()), square, 1U,
                      [&](const std::exception_ptr& thrown, std::uint64_t) { code = code_of(thrown); });
  source.request_stop();
  bench.until([&] { return code.has_value(); });
  CHECK(code == Errc::cancelled);
}

#if !defined(BOOST_ASIO_VERSION) || BOOST_ASIO_VERSION >= 101900
TEST_CASE("a cancellation slot takes back a call that waits or runs on a process", "[asio]") {
  Bench bench(both_backends(), 1);
  net::cancellation_signal first;
  net::cancellation_signal second;
  std::optional<Errc> running;
  std::optional<Errc> waiting;
  const bool waits_alone = bench.manager.backend() == ExecutorBackend::thread;
  lp::asio::async_run(bench.lease, pass_gate, 1,
                      net::bind_cancellation_slot(first.slot(), [&](const std::exception_ptr& thrown, int) {
                        running = code_of(thrown).value_or(Errc::unsupported);
                      }));
  bench.until_entered(1);
  std::stop_source stop;  // beside the slot
  const bool by_token = GENERATE(false, true);
  lp::asio::async_run(bench.lease.with(stop.get_token()), square, 2U,
                      net::bind_cancellation_slot(second.slot(), [&](const std::exception_ptr& thrown, std::uint64_t) {
                        waiting = code_of(thrown);
                      }));
  second.emit(net::cancellation_type::total);  // which a call cannot promise, so that it goes on
  bench.context.poll();
  CHECK_FALSE(waiting);
  by_token ? void(stop.request_stop()) : second.emit(net::cancellation_type::partial);
  bench.until([&] { return waiting.has_value(); });
  CHECK(waiting == Errc::cancelled);
  CHECK_FALSE(second.slot().has_handler());

  CHECK_FALSE(running);
  first.emit(net::cancellation_type::terminal);
  if (waits_alone) open_gate();  // a thread goes on
  bench.until([&] { return running.has_value(); });
  CHECK(running == (waits_alone ? Errc::unsupported : Errc::cancelled));
}

TEST_CASE("a cancellation slot takes an acquire out of the queue, from any thread", "[asio]") {
  Bench bench(both_backends());
  net::cancellation_signal signal;
  const auto type = GENERATE(net::cancellation_type::total, net::cancellation_type::partial,
                             net::cancellation_type::terminal, net::cancellation_type::all);
  const bool elsewhere = GENERATE(false, true);
  std::optional<Errc> code;
  lp::asio::async_acquire(
      bench.manager, {.owner = "impatient"},
      net::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr& thrown, lp::ExecutorLease none) {
        code = code_of(thrown);
        CHECK_FALSE(none.active());
      }));
  bench.context.poll();
  CHECK_FALSE(code);
  elsewhere ? std::thread([&] { signal.emit(type); }).join() : signal.emit(type);
  bench.until([&] { return code.has_value(); });
  CHECK(code == Errc::cancelled);
  CHECK(bench.manager.stats().waiters.empty());

  // It is not in the way of the next.
  bool leased = false;
  lp::asio::async_acquire(
      bench.manager, {},
      net::bind_cancellation_slot(
          signal.slot(), [&](const std::exception_ptr&, lp::ExecutorLease lease) { leased = lease.active(); }));
  bench.lease.release();
  bench.until([&] { return leased; });
  signal.emit(type);  // of nothing any more
}

TEST_CASE("a coroutine of asio's that is cancelled takes its call back", "[asio]") {
  Bench bench(both_backends(), 1);
  net::cancellation_signal signal;
  lp::asio::async_run(bench.lease, pass_gate, 1, [](const std::exception_ptr&, int) {});
  auto app = [](Bench& own) -> net::awaitable<void> {
    co_await lp::asio::async_run(own.lease, square, 2U, net::use_awaitable);
  };
  std::optional<Errc> code;
  net::co_spawn(
      bench.context, app(bench),
      net::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr& thrown) { code = code_of(thrown); }));
  bench.until_entered(1);
  bench.context.poll();
  CHECK_FALSE(code);
  signal.emit(net::cancellation_type::terminal);
  bench.until([&] { return code.has_value(); });
  CHECK(code == Errc::cancelled);
}
#else
TEST_CASE("cancellation slots", "[asio]") { leasepool::test::skip("this asio has none"); }
#endif

TEST_CASE("an io_context that ends destroys the handlers of its operations, and their calls go on", "[asio]") {
  const Watchdog watchdog("an io_context that ends leaves its operations");
  close_gate();
  lp::Loop loop;
  {
    const auto backend = both_backends();
    const auto alive = std::make_shared<int>(0);
    auto context = std::make_unique<net::io_context>(1);
    lp::LeasedExecutorManager manager(loop, options_for(backend, 1, 1));
    lp::ExecutorLease lease;
    loop.block_on([](lp::LeasedExecutorManager& own, lp::ExecutorLease& lent) -> lp::Task<> {
      co_await own.start();
      lent = co_await own.acquire();
    }(manager, lease));
    const auto attached = lp::asio::attach(loop, *context);
    const auto app = [](lp::LeasedExecutorManager& own, const lp::ExecutorLease& lent,
                        std::shared_ptr<int> kept) -> net::awaitable<void> {
      (void)own;
      co_await lp::asio::async_run(lent, pass_gate, 1, net::use_awaitable);
      FAIL("resumed after " << *kept);
    };
    net::co_spawn(*context, app(manager, lease, alive), net::detached);
    lp::asio::async_run(lease, pass_gate, 2,
                        net::bind_executor(*context, [alive](const std::exception_ptr&, int) { FAIL("called"); }));
    lp::asio::async_acquire(manager, {},
                            net::bind_executor(net::make_strand(*context),
                                               [alive](const std::exception_ptr&, const auto&) { FAIL("called"); }));
    context->poll();
    CHECK(alive.use_count() > 1);
    context.reset();
    CHECK(alive.use_count() == 1);
    open_gate();
    loop.block_on([](lp::LeasedExecutorManager& own, lp::Loop& driven, lp::ExecutorLease& lent) -> lp::Task<> {
      co_await until(driven, [] { return shared().left >= 2; });
      const auto squared = co_await lent.run(square, 3U);
      CHECK(squared == 9);
      co_await own.stop();
    }(manager, loop, lease));
  }
}

TEST_CASE("a loop that ends destroys the handlers of its operations", "[asio]") {
  const Watchdog watchdog("a loop that ends leaves asio's operations");
  close_gate();
  const auto alive = std::make_shared<int>(0);
  net::io_context context(1);
  {
    auto loop = std::make_unique<lp::Loop>();
    lp::LeasedExecutorManager manager(*loop, options_for(both_backends(), 1, 1));
    lp::ExecutorLease lease;
    loop->block_on([](lp::LeasedExecutorManager& own, lp::ExecutorLease& lent) -> lp::Task<> {
      co_await own.start();
      lent = co_await own.acquire();
    }(manager, lease));
    auto attached = lp::asio::attach(*loop, context);
    lp::asio::async_run(lease, pass_gate, 2,
                        net::bind_executor(context, [alive](const std::exception_ptr&, int) { FAIL("called"); }));
    context.poll();
    CHECK(alive.use_count() == 2);
    attached.detach();
    open_gate();
    loop.reset();
    CHECK(alive.use_count() == 1);
  }
  context.run();  // which nothing keeps at work any more
}

namespace {

// A standard allocator that counts.
template <class T>
struct Counting {
  using value_type = T;

  explicit Counting(int& count) noexcept : taken(&count) {}
  template <class U>
  explicit(false) Counting(const Counting<U>& other) noexcept : taken(other.taken) {}
  T* allocate(std::size_t count) {
    ++*taken;
    return std::allocator<T>().allocate(count);
  }
  void deallocate(T* block, std::size_t count) noexcept { std::allocator<T>().deallocate(block, count); }
  friend bool operator==(const Counting& /*left*/, const Counting& /*right*/) = default;

  int* taken;
};

struct CountingHandler {
  using allocator_type = Counting<void>;
  using executor_type = net::io_context::executor_type;
  [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type(*taken); }
  [[nodiscard]] executor_type get_executor() const noexcept { return executor; }
  void operator()(const std::exception_ptr& /*thrown*/, std::uint64_t squared) const { *result = squared; }

  executor_type executor;
  int* taken;
  std::uint64_t* result;
};

}  // namespace

TEST_CASE("a handler's allocator serves it on its way to its executor", "[asio]") {
  Bench bench(both_backends());
  net::io_context other(1);
  int taken = 0;
  std::uint64_t result = 0;
  lp::asio::async_run(bench.lease, square, 9U,
                      CountingHandler{.executor = other.get_executor(), .taken = &taken, .result = &result});
  while (result == 0) {
    bench.context.run_one_for(1ms);
    other.poll();
    other.restart();
  }
  CHECK(result == 81);
  CHECK(taken > 0);
}

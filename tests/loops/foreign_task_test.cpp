// leasepool's awaitables in a coroutine type of somebody else's, whose promise knows nothing of them.
#include <coroutine>
#include <exception>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "loops/traffic.hpp"

using leasepool::test::Watchdog;

namespace {

// Starts at once, and is kept by whoever called it.
template <class T>
class Foreign {
 public:
  struct promise_type {
    Foreign get_return_object() noexcept { return Foreign(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct Resume {
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
          return ended.promise().waiter;
        }
        void await_resume() const noexcept {}
      };
      return Resume{};
    }
    void return_value(T returned) { value = std::move(returned); }
    void unhandled_exception() noexcept { thrown = std::current_exception(); }

    std::coroutine_handle<> waiter = std::noop_coroutine();
    std::exception_ptr thrown;
    T value{};
  };

  explicit Foreign(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  Foreign(Foreign&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  Foreign& operator=(Foreign&&) = delete;
  ~Foreign() {
    if (coroutine_) coroutine_.destroy();
  }

  [[nodiscard]] bool done() const noexcept { return coroutine_.done(); }
  [[nodiscard]] bool await_ready() const noexcept { return done(); }
  void await_suspend(std::coroutine_handle<> waiter) const noexcept { coroutine_.promise().waiter = waiter; }
  T await_resume() const {
    if (coroutine_.promise().thrown) std::rethrow_exception(coroutine_.promise().thrown);
    return std::move(coroutine_.promise().value);
  }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

lp::Task<std::uint64_t> square_of(const lp::ExecutorLease& lease, std::uint64_t number) {
  auto call = lease.run(square, number);
  co_return co_await call;
}

// Runs the loop until a coroutine that is not the loop's has ended.
template <class Body>
void run(const Body& body) {
  const Watchdog watchdog("a coroutine of another type is not resumed");
  lp::Loop loop;
  auto app = [](lp::Loop& own, const Body& main) -> Foreign<bool> {
    bool stopped = false;
    {
      lp::LeasedExecutorManager manager(own, options_for(both_backends()));
      co_await manager.start();
      auto rest = main(own, manager);
      co_await rest;
      co_await manager.stop();
      stopped = true;
    }
    own.stop();
    co_return stopped;
  }(loop, body);
  loop.run();
  REQUIRE(app.done());
  CHECK(app.await_resume());
}

}  // namespace

TEST_CASE("100,000 calls and rests from a foreign coroutine type", "[loops][foreign]") {
  run([](lp::Loop& /*loop*/, lp::LeasedExecutorManager& manager) -> Foreign<bool> {
    auto lease = co_await manager.acquire({.owner = "foreign"});
    for (std::uint64_t number = 0; number < Traffic::kCalls; ++number) {
      if (number % (Traffic::kCalls / 5) == 0) {
        auto resting = lease.run(ran_at_rest, ::getpid());
        const std::string ran = co_await resting;
        CHECK(ran == "");
      }
      const std::uint64_t squared = co_await lease.run(square, number);
      if (squared != number * number) FAIL("a wrong result");
    }
    co_return true;
  });
}

TEST_CASE("every awaitable can be awaited in a foreign coroutine type", "[loops][foreign]") {
  run([](lp::Loop& loop, lp::LeasedExecutorManager& manager) -> Foreign<bool> {
    auto nap = loop.sleep(1ms);
    co_await nap;
    auto acquire = manager.acquire({.owner = "foreign"});
    const lp::ExecutorLease lease = co_await acquire;

    auto fails = lease.run(throw_out_of_range, std::string("7 of 5"));
    bool thrown = false;
    try {
      (void)co_await fails;
    } catch (const std::out_of_range&) {
      thrown = true;
    }
    CHECK(thrown);

    auto both = lp::when_all(lease.run(square, 3U), lease.run(square, 4U));
    const std::tuple<std::uint64_t, std::uint64_t> squares = co_await both;
    CHECK(squares == std::tuple<std::uint64_t, std::uint64_t>(9, 16));
    auto first = lp::when_any(loop.sleep(1h), lease.run(square, 5U));
    const auto winner = co_await first;
    CHECK(std::get<1>(winner) == 25);

    auto task = square_of(lease, 6);
    const std::uint64_t of_task = co_await task;
    CHECK(of_task == 36);

    lp::TaskGroup group(loop);
    group.spawn([](lp::Loop& own) -> lp::Task<> { co_await own.sleep(1ms); }(loop));
    auto join = group.join();
    co_await join;
    co_return true;
  });
}

TEST_CASE("a grinder's items can be awaited in a foreign coroutine type", "[loops][foreign]") {
  run([](lp::Loop& /*loop*/, lp::LeasedExecutorManager& manager) -> Foreign<bool> {
    lp::WorkGrinder grinder(manager, {.batch_size_threshold = 2});
    co_await grinder.start();
    auto first = grinder.enqueue(square, 7U);
    auto second = grinder.submit(square, 8U);
    const std::uint64_t of_second = co_await second;
    CHECK(of_second == 64);
    const std::uint64_t of_first = co_await first;
    CHECK(of_first == 49);
    co_await grinder.stop();
    co_return true;
  });
}

TEST_CASE("a foreign coroutine can be awaited in a task", "[loops][foreign]") {
  const Watchdog watchdog("a coroutine of another type does not resume a task");
  lp::Loop loop;
  const auto nap = [](lp::Loop& own) -> Foreign<int> {
    auto sleep = own.sleep(1ms);
    co_await sleep;
    co_return 5;
  };
  const int number = loop.block_on([](lp::Loop& own, const auto& asleep) -> lp::Task<int> {
    const Foreign<int> foreign = asleep(own);
    co_return co_await foreign;
  }(loop, nap));
  CHECK(number == 5);
}

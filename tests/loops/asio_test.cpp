// A loop in an io_context: it progresses, rests, lets exceptions through, and is attached and detached at any moment.
#include <leasepool/asio.hpp>

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "loops/asio_names.hpp"
#include "loops/traffic.hpp"
#include "support/process_state.hpp"

using leasepool::test::open_descriptors;
using leasepool::test::Watchdog;

namespace {

net::awaitable<void> calls_and_rests(lp::LeasedExecutorManager& manager, lp::asio::Attachment& attached) {
  co_await lp::asio::async_start(manager, net::use_awaitable);
  {
    const auto lease = co_await lp::asio::async_acquire(manager, {.owner = "asio"}, net::use_awaitable);
    for (std::uint64_t number = 0; number < Traffic::kCalls; ++number) {
      if (number % (Traffic::kCalls / 5) == 0) {
        const std::string ran = co_await lp::asio::async_run(lease, ran_at_rest, ::getpid(), net::use_awaitable);
        CHECK(ran == "");
      }
      const std::uint64_t squared = co_await lp::asio::async_run(lease, square, number, net::use_awaitable);
      if (squared != number * number) FAIL("a wrong result");
    }
  }
  co_await lp::asio::async_stop(manager, net::use_awaitable);
  attached.detach();
}

}  // namespace

TEST_CASE("100,000 calls and rests from an io_context", "[asio]") {
  const Watchdog watchdog("a loop that asio drives stalls");
  net::io_context context(1);
  lp::Loop loop;
  auto attached = lp::asio::attach(loop, context);
  const auto backend = both_backends();

  SECTION("with the loop's own callbacks") {
    const Traffic traffic(loop, backend, [&] { attached.detach(); });
    context.run();  // until nothing is left to do
  }
  SECTION("with handlers") {
    const auto call = [&](const lp::ExecutorLease& lease, std::uint64_t number, auto squared) {
      lp::asio::async_run(lease, square, number,
                          net::bind_executor(context, [squared = std::move(squared)](std::exception_ptr thrown,
                                                                                     std::uint64_t result) mutable {
                            CHECK(thrown == nullptr);
                            squared(result);
                          }));
    };
    const Traffic traffic(loop, backend, [&] { attached.detach(); }, call);
    context.run();
  }
  SECTION("with coroutines") {
    lp::LeasedExecutorManager manager(loop, options_for(backend));
    std::exception_ptr failure;
    net::co_spawn(context, calls_and_rests(manager, attached), [&](std::exception_ptr thrown) { failure = thrown; });
    context.run();
    CHECK(failure == nullptr);
  }
  SECTION("with futures") {
    // A future is waited for on another thread than the loop's, which starts each call there.
    lp::LeasedExecutorManager manager(loop, options_for(backend));
    std::jthread caller([&] {
      const auto on_loop = [&](auto start) { return net::post(context, net::use_future(start)).get(); };
      on_loop([&] { return lp::asio::async_start(manager, net::use_future); }).get();
      auto lease = on_loop([&] { return lp::asio::async_acquire(manager, {}, net::use_future); }).get();
      std::uint64_t wrong = 0;
      for (std::uint64_t number = 0; number < Traffic::kCalls; number += 100) {
        auto calls = on_loop([&] {
          std::vector<std::future<std::uint64_t>> begun;
          for (std::uint64_t i = 0; i < 100; ++i) {
            begun.push_back(lp::asio::async_run(lease, square, number + i, net::use_future));
          }
          return begun;
        });
        for (std::uint64_t i = 0; i < 100; ++i) {
          if (calls.at(i).get() != (number + i) * (number + i)) ++wrong;
        }
      }
      CHECK(wrong == 0);
      on_loop([&] { return lp::asio::async_stop(manager, net::use_future); }).get();
      on_loop([&] {
        lease.release();
        attached.detach();
      });
    });
    context.run();
  }
}

TEST_CASE("an attached loop runs timers, tasks and other threads' posts", "[asio]") {
  const Watchdog watchdog("a loop that asio drives stalls");
  net::io_context context(1);
  lp::Loop loop;
  auto attached = lp::asio::attach(loop, context);
  constexpr int kPosts = 10'000;
  int posts = 0;
  bool napped = false;
  loop.spawn([](lp::Loop& own, bool& done) -> lp::Task<> {
    auto nap = own.sleep(5ms);
    co_await nap;
    done = true;
  }(loop, napped));
  const std::jthread poster([&] {
    for (int i = 0; i < kPosts; ++i) loop.post([&] { ++posts; });
  });
  while (posts < kPosts || !napped) context.run_one();
  CHECK(posts == kPosts);
}

TEST_CASE("what was there before the loop was attached is seen", "[asio]") {
  const Watchdog watchdog("a loop with something to do is not dispatched");
  net::io_context context(1);
  lp::Loop loop;
  bool ran = false;
  loop.post([&] { ran = true; });
  const auto attached = lp::asio::attach(loop, context);
  while (!ran) context.run_one();
}

TEST_CASE("an exception of the loop's leaves io_context::run(), which goes on when it is called again", "[asio]") {
  const Watchdog watchdog("a loop that threw is not dispatched again");
  net::io_context context(1);
  lp::Loop loop;
  auto attached = lp::asio::attach(loop, context);
  for (int round = 0; round < 3; ++round) {
    loop.post([] { throw std::runtime_error("thrown in the loop"); });
    CHECK_THROWS_WITH(context.run(), "thrown in the loop");
  }
  loop.post([&] {
    attached.detach();
    throw std::runtime_error("thrown at the end");
  });
  CHECK_THROWS_WITH(context.run(), "thrown at the end");
  context.run();  // nothing is attached that it would wait for
}

TEST_CASE("a loop that is detached can be driven otherwise, and be attached again", "[asio]") {
  const Watchdog watchdog("a loop that was attached before is not driven");
  const auto before = open_descriptors();
  {
    lp::Loop loop;
    for (int round = 0; round < 3; ++round) {
      net::io_context context(1);
      int ran = 0;
      {
        auto attached = lp::asio::attach(loop, context);
        auto moved = std::move(attached);
        loop.post([&] { ++ran; });
        while (ran == 0) context.run_one();
      }
      loop.post([&] {
        ++ran;
        loop.stop();
      });
      context.run();
      CHECK(ran == 1);
      loop.run();
      CHECK(ran == 2);
    }
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("loop, io_context and attachment end in any order that leaves the attachment its loop", "[asio]") {
  const Watchdog watchdog("an attached loop does not end");
  const auto before = open_descriptors();
  auto context = std::make_unique<net::io_context>(1);
  auto loop = std::make_unique<lp::Loop>();
  auto attached = lp::asio::attach(*loop, *context);
  context->poll();
  loop->post([] {});  // something is on its way
  SECTION("the io_context first") {
    context.reset();
    attached.detach();
    loop.reset();
  }
  SECTION("the io_context last") {
    attached.detach();
    loop.reset();
    context->run();
    context.reset();
  }
  SECTION("from one of the loop's callbacks") {
    loop->post([&] {
      attached.detach();
      loop.reset();
    });
    context->run();
    CHECK(loop == nullptr);
    context.reset();
  }
  CHECK(open_descriptors() == before);
}

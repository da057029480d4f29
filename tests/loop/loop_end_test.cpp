// Tests of a loop's end: whatever is pending is destroyed, never run, and nothing is left behind.
#include <poll.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_core.hpp"
#include "support/event_fd.hpp"
#include "support/process_state.hpp"
#include "support/watchdog.hpp"

using leasepool::Loop;
using leasepool::Task;
using leasepool::Timer;
using leasepool::detail::Completion;
using leasepool::detail::LoopClient;
using leasepool::detail::LoopCore;
using leasepool::test::EventFd;
using leasepool::test::open_descriptors;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

Task<> sleep_long(Loop& loop, std::shared_ptr<int> token) {
  co_await loop.sleep(1h);
  ++*token;
}

// Does something when it is destroyed.
class OnEnd {
 public:
  explicit OnEnd(std::function<void()> action) : action_(std::move(action)) {}
  OnEnd(OnEnd&& other) noexcept : action_(std::exchange(other.action_, {})) {}
  OnEnd(const OnEnd&) = delete;
  OnEnd& operator=(const OnEnd&) = delete;
  OnEnd& operator=(OnEnd&&) = delete;
  ~OnEnd() {
    if (action_) action_();
  }

 private:
  std::function<void()> action_;
};

}  // namespace

TEST_CASE("a loop that is destroyed with everything pending leaks nothing and runs none of it", "[loop][end]") {
  const Watchdog watchdog("the destructor of a loop did not end");
  const auto before = open_descriptors();
  const auto token = std::make_shared<int>(0);
  for (int round = 0; round < 20; ++round) {
    Timer timer;
    {
      Loop loop;
      for (int i = 0; i < 10; ++i) loop.spawn(sleep_long(loop, token));
      if (round % 2 == 0) {  // half of the time the tasks have begun
        loop.stop();
        loop.run();
        loop.stop();
        loop.run();
      }
      timer = loop.call_after(0s, [token] { ++*token; });
      const Timer dead = loop.call_after(1h, [token] { ++*token; });
      for (int i = 0; i < 10; ++i) loop.post([token] { ++*token; });
      leasepool::detail::Access::core(loop)->defer([token] { ++*token; });
      loop.spawn(sleep_long(loop, token));
      CHECK(token.use_count() >= 22);
    }
    CHECK(token.use_count() == 1);
  }
  CHECK(*token == 0);
  CHECK(open_descriptors() == before);
}

TEST_CASE("a loop that never ran is destroyed without a trace", "[loop][end]") {
  const auto before = open_descriptors();
  for (int round = 0; round < 100; ++round) const Loop loop;
  CHECK(open_descriptors() == before);
}

TEST_CASE("what is destroyed with a loop may still use it: nothing that it adds runs", "[loop][end]") {
  const Watchdog watchdog("the destructor of a loop did not end");
  int ran = 0;
  Timer late;
  {
    Loop loop;
    const auto use = [&] {
      loop.post([&] { ++ran; });
      late = loop.call_after(0s, [&] { ++ran; });
      leasepool::detail::Access::core(loop)->defer([&] { ++ran; });
      loop.stop();
    };
    const auto body = [](Loop& home, OnEnd) -> Task<> { co_await home.sleep(1h); };
    loop.spawn(body(loop, OnEnd(use)));
    loop.spawn(body(loop, OnEnd([&loop, &body, use] { loop.spawn(body(loop, OnEnd(use))); })));
    loop.stop();
    loop.run();
    loop.post([end = OnEnd(use)] {});
    leasepool::detail::Access::core(loop)->defer([end = OnEnd(use)] {});
    Timer held = loop.call_after(1h, [end = OnEnd(use)] {});
    late = std::move(held);
  }
  late.cancel();
  CHECK(ran == 0);
}

TEST_CASE("tasks that are destroyed with a loop may hold each other's timers", "[loop][end]") {
  const Watchdog watchdog("the destructor of a loop did not end");
  std::weak_ptr<Timer> of_the_circle;
  {
    Loop loop;
    auto first = std::make_shared<Timer>();
    auto second = std::make_shared<Timer>();
    *first = loop.call_after(1h, [second] {});
    *second = loop.call_after(1h, [first] {});
    of_the_circle = first;
  }
  CHECK(of_the_circle.expired());
}

TEST_CASE("clients are told of the end, the last to come first, and may end operations in it", "[loop][end]") {
  const Watchdog watchdog("the destructor of a loop did not end");
  struct Client final : LoopClient {
    Client(LoopCore& owner, std::vector<int>& order, int own_number) : loop(owner), ended(order), number(own_number) {
      loop.attach(*this);
      poll = loop.engine().poll(quiet.get(), POLLIN, [this](Completion completion) { result = completion.result; });
    }
    void loop_closing() noexcept override {
      ended.push_back(number);
      CHECK_FALSE(loop.closed());
      loop.engine().cancel(poll);
      CHECK(loop.run_completions_until([this] { return result != 0; }, leasepool::detail::kNever));
    }
    LoopCore& loop;
    std::vector<int>& ended;
    int number;
    EventFd quiet;
    leasepool::detail::OperationId poll = 0;
    int result = 0;
  };
  std::vector<int> ended;
  std::vector<std::unique_ptr<Client>> clients;
  {
    Loop loop;
    for (const int number : {1, 2, 3})
      clients.push_back(std::make_unique<Client>(*leasepool::detail::Access::core(loop), ended, number));
    const auto gone = std::make_unique<Client>(*leasepool::detail::Access::core(loop), ended, 4);
    leasepool::detail::Access::core(loop)->engine().cancel(gone->poll);
    CHECK(leasepool::detail::Access::core(loop)->run_completions_until([&] { return gone->result != 0; },
                                                                       leasepool::detail::kNever));
    leasepool::detail::Access::core(loop)->detach(*gone);
  }
  CHECK(ended == std::vector<int>{3, 2, 1});
  for (const auto& client : clients) CHECK(client->result == -ECANCELED);
}

TEST_CASE("settling ends at its deadline when nothing comes, and runs nothing of the caller's", "[loop][end]") {
  const Watchdog watchdog("run_completions_until() did not end at its deadline");
  Loop loop;
  int ran = 0;
  const Timer timer = loop.call_after(0s, [&] { ++ran; });
  loop.post([&] { ++ran; });
  LoopCore& core = *leasepool::detail::Access::core(loop);
  const auto deadline = core.now() + 10ms;
  CHECK_FALSE(core.run_completions_until([] { return false; }, deadline));
  CHECK(core.now() >= deadline);
  CHECK(ran == 0);
  loop.stop();
  loop.run();
  CHECK(ran == 2);
}

TEST_CASE("a core that outlives its loop is inert", "[loop][end]") {
  const auto token = std::make_shared<int>(0);
  std::shared_ptr<LoopCore> core;
  {
    Loop loop;
    core = leasepool::detail::Access::core(loop);
  }
  CHECK(core->closed());
  const auto handler = [token] { ++*token; };
  CHECK(core->call_at(core->now(), handler) == 0);
  core->defer(handler);
  core->post(handler);
  CHECK(token.use_count() == 2);  // here and in `handler`
  CHECK_FALSE(core->cancel_timer(1));
  CHECK(core->engine().in_flight() == 0);
}

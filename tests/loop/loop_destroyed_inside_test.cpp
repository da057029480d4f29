// Tests of a Loop that one of its own callbacks destroys: it ends when that callback has returned, runs nothing more,
// and leaves nothing behind.
#include <memory>
#include <optional>
#include <utility>

#include "catch.hpp"
#include "leasepool/error.hpp"
#include "leasepool/loop.hpp"
#include "support/process_state.hpp"
#include "support/watchdog.hpp"

using leasepool::Errc;
using leasepool::LeasePoolError;
using leasepool::Loop;
using leasepool::Task;
using leasepool::Timer;
using leasepool::test::open_descriptors;
using leasepool::test::Watchdog;
using namespace std::chrono_literals;

namespace {

struct Stage {
  std::unique_ptr<Loop> loop = std::make_unique<Loop>();
  std::shared_ptr<int> token = std::make_shared<int>(0);
  int after = 0;  // callbacks that ran after the loop was destroyed
};

Task<> sleep_then_end(Stage& stage, std::shared_ptr<int> held) {
  co_await stage.loop->sleep(1ms);
  stage.loop.reset();
  ++*held;  // its frame is still there
}

Task<> sleep_long(Loop& loop, std::shared_ptr<int> held) {
  co_await loop.sleep(1h);
  ++*held;
}

}  // namespace

TEST_CASE("a loop destroyed by a post, a timer or a task ends run() once that has returned", "[loop][end][L6]") {
  const Watchdog watchdog("run() did not end");
  const auto before = open_descriptors();
  Stage stage;
  stage.loop->spawn(sleep_long(*stage.loop, stage.token));
  Timer timer;
  SECTION("by a post") {
    stage.loop->post([&] { stage.loop.reset(); });
    stage.loop->post([&] { ++stage.after; });
    stage.loop->run();
  }
  SECTION("by a timer") {
    timer = stage.loop->call_after(0s, [&] { stage.loop.reset(); });
    const Timer second = stage.loop->call_after(0s, [&] { ++stage.after; });
    stage.loop->run();
  }
  SECTION("by a task") {
    stage.loop->spawn(sleep_then_end(stage, stage.token));
    stage.loop->run();
    CHECK(*stage.token == 1);
  }
  SECTION("by a post, driven from outside") {
    (void)stage.loop->poll_fd();
    stage.loop->post([&] { stage.loop.reset(); });
    while (stage.loop) stage.loop->dispatch();
  }
  CHECK(stage.loop == nullptr);
  CHECK(stage.after == 0);
  CHECK(stage.token.use_count() == 1);
  CHECK(open_descriptors() == before);
}

TEST_CASE("block_on() says that its loop was destroyed before the task ended, and not if the task did",
          "[loop][end][L6]") {
  const Watchdog watchdog("block_on() did not end");
  Stage stage;
  SECTION("the task goes on") {
    stage.loop->post([&] { stage.loop.reset(); });
    std::optional<Errc> code;
    try {
      stage.loop->block_on(sleep_long(*stage.loop, stage.token));
    } catch (const LeasePoolError& error) {
      code = static_cast<Errc>(error.code().value());
      CHECK_THAT(error.what(), ContainsSubstring("destroyed the Loop"));
    }
    CHECK(code == Errc::cancelled);
    CHECK(*stage.token == 0);
  }
  SECTION("the task did it, and ended") {
    stage.loop->block_on(sleep_then_end(stage, stage.token));
    CHECK(*stage.token == 1);
  }
  CHECK(stage.token.use_count() == 1);
}

TEST_CASE("a callback that destroys its loop and throws has its exception leave run()", "[loop][end][L6]") {
  const Watchdog watchdog("run() did not end");
  Stage stage;
  stage.loop->post([&] {
    stage.loop.reset();
    throw std::runtime_error("after the end");
  });
  CHECK_THROWS_AS(stage.loop->run(), std::runtime_error);
  CHECK(stage.loop == nullptr);
}

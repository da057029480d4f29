// Tests of the inbox and its doorbell: who rings when, and what becomes of posts on either side of close().
#include "loop/inbox.hpp"

#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <memory>

#include "catch.hpp"

using leasepool::detail::Inbox;

namespace {

// How often the doorbell was rung since it was last asked.
std::uint64_t rings(const Inbox& inbox) {
  std::uint64_t count = 0;
  return ::read(inbox.doorbell_fd(), &count, sizeof count) == sizeof count ? count : 0;
}

void run_all(Inbox& inbox) {
  for (auto posted = inbox.take_posted(); !posted.empty();) posted.pop_front()->run();
}

}  // namespace

TEST_CASE("posts run in the order in which they came", "[inbox]") {
  Inbox inbox;
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) inbox.post([&ran, i] { ran.push_back(i); });
  CHECK_FALSE(inbox.empty());
  run_all(inbox);
  CHECK(inbox.empty());
  CHECK(ran == std::vector<int>{0, 1, 2});
}

TEST_CASE("a sleeping loop is rung for once, whatever the number of posts", "[inbox]") {
  Inbox inbox;  // sleeps from the start
  CHECK(rings(inbox) == 0);
  for (int i = 0; i < 5; ++i) inbox.post([] {});
  CHECK(rings(inbox) == 1);
  inbox.ring_doorbell();
  CHECK(rings(inbox) == 0);
  inbox.asleep();
  inbox.ring_doorbell();
  CHECK(rings(inbox) == 1);
}

TEST_CASE("a loop that is awake is not rung for", "[inbox]") {
  Inbox inbox;
  inbox.exit_interrupt_mode();
  inbox.post([] {});
  CHECK(rings(inbox) == 0);
}

TEST_CASE("a loop may sleep only with an empty inbox", "[inbox]") {
  Inbox inbox;
  inbox.exit_interrupt_mode();
  inbox.post([] {});
  CHECK_FALSE(inbox.try_enter_interrupt_mode());
  inbox.post([] {});
  CHECK(rings(inbox) == 0);  // still awake
  run_all(inbox);
  CHECK(inbox.try_enter_interrupt_mode());
  inbox.post([] {});
  CHECK(rings(inbox) == 1);
}

TEST_CASE("a stop is asked for once, wakes who sleeps, and takes no memory to ask", "[inbox]") {
  Inbox inbox;
  CHECK_FALSE(inbox.take_stop());
  inbox.request_stop();
  inbox.request_stop();
  CHECK(rings(inbox) == 1);
  CHECK_FALSE(inbox.empty());
  CHECK(inbox.take_stop());
  CHECK_FALSE(inbox.take_stop());
  CHECK(inbox.empty());
}

TEST_CASE("a closed inbox destroys what it holds and what comes later, and runs none of it", "[inbox]") {
  Inbox inbox;
  const auto token = std::make_shared<int>(0);
  inbox.post([token] { ++*token; });
  CHECK(token.use_count() == 2);
  inbox.close();
  CHECK(token.use_count() == 1);
  rings(inbox);
  inbox.asleep();
  inbox.post([token] { ++*token; });
  CHECK(token.use_count() == 1);
  CHECK(rings(inbox) == 0);
  run_all(inbox);
  CHECK(*token == 0);
}

// Tests of a ring of which the kernel takes no more, for a while or for good: nothing is lost, nothing hangs, and
// whoever runs the loop hears of it. Each runs in a child process, behind a seccomp filter.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <vector>

#include "base/check.hpp"
#include "catch.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/loop.hpp"
#include "loop/ring.hpp"
#include "support/child.hpp"
#include "support/event_fd.hpp"
#include "support/refuse.hpp"

using leasepool::Loop;
using leasepool::Task;
using leasepool::detail::check;
using leasepool::detail::Completion;
using leasepool::detail::OperationId;
using leasepool::detail::Ring;
using leasepool::test::EventFd;
using leasepool::test::refuse;
using leasepool::test::run_in_child;
using namespace std::chrono_literals;

TEST_CASE("what passes is told apart from what is refused", "[ring][refused]") {
  for (const int error : {EAGAIN, EBUSY, EINTR, ETIME, ENOMEM}) CHECK(Ring::passes(error));
  for (const int error : {EPERM, EACCES, ENOSYS, EINVAL, EBADF, EBADR}) CHECK_FALSE(Ring::passes(error));
}

TEST_CASE("operations beyond a full queue wait in their slots while the kernel takes nothing", "[ring][refused]") {
  const auto end = run_in_child([] {
    const EventFd event;
    Ring ring({.submissions = 4, .completions = 64});
    refuse(SYS_io_uring_enter, EAGAIN);
    std::vector<OperationId> polls;
    for (int i = 0; i < 20; ++i) polls.push_back(ring.poll(event.get(), POLLIN, [](Completion) {}));
    for (const OperationId poll : polls) ring.cancel(poll);
    ring.set_wakeup(leasepool::TimePoint(1s));
    check(ring.in_flight() == 20, "each is in flight");
    check(ring.operations() == 4, "the queue has taken as many as it has room for");
    check(ring.submit_and_wait() == EAGAIN, "it says why nothing went on");
    check(ring.submit_and_reap() == EAGAIN, "and says it again");
    check(ring.has_unsubmitted(), "nothing is forgotten");
    ring.give_up();
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("a ring that is given up leaves nothing behind, once the kernel has ended it", "[ring][refused]") {
  const auto end = run_in_child([] {
    const EventFd event;
    const auto token = std::make_shared<int>(0);
    int ends[2] = {-1, -1};
    check(::pipe2(ends, O_CLOEXEC) == 0, "a pipe");
    leasepool::Fd kept(ends[1]);
    {
      Ring ring;
      (void)ring.poll(event.get(), POLLIN, [token](Completion) {});
      check(ring.submit_and_reap() == 0, "the kernel has one operation");
      refuse(SYS_io_uring_enter, EPERM);
      (void)ring.poll(event.get(), POLLIN, [token, kept = std::move(kept)](Completion) {});
      ring.give_up();
      check(ring.in_flight() == 0, "nothing is in flight any more");
    }
    check(token.use_count() == 1, "what the handlers owned is destroyed");
    char byte = 0;
    check(::read(ends[0], &byte, 1) == 0, "and so are their descriptors");
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("a ring that cannot cancel ends all, says why from then on, and takes nothing more", "[ring][refused]") {
  const auto end = run_in_child([] {
    const EventFd event;
    const EventFd silent;
    const auto token = std::make_shared<int>(0);
    {
      Ring ring;
      OperationId other = 0;
      // As a stream does that is destroyed by a handler: others' completions are there, and its own handler runs.
      const OperationId rung = ring.poll_multishot(event.get(), POLLIN, [&, token](Completion) {
        refuse(SYS_io_uring_enter, EPERM);
        check(ring.cancel_and_reap(other) == -ECANCELED, "nothing uses the operation's memory any more");
        check(token.use_count() >= 2, "a handler that runs is not destroyed");
      });
      other = ring.poll(silent.get(), POLLIN, [](Completion) {});
      event.signal();
      while (!ring.has_reaped()) check(ring.submit_and_wait() == 0, "the kernel takes both");
      ring.run_handlers();
      check(rung != 0 && !ring.has_reaped() && !ring.has_unreaped() && !ring.has_unsubmitted(),
            "there is nothing more");
      check(ring.submit_and_reap() == EPERM && ring.submit_and_wait() == EPERM, "the errno is the kernel's");
      ring.set_wakeup(leasepool::TimePoint(1s));
      ring.cancel(rung);
      try {
        (void)ring.poll(event.get(), POLLIN, [](Completion) {});
        check(false, "nothing is started");
      } catch (const std::system_error& error) {
        check(error.code() == std::errc::operation_not_permitted, "and why is said");
      }
      ring.give_up();
      check(ring.in_flight() == 0, "nothing is in flight any more");
    }
    check(token.use_count() == 1, "what the handlers owned is destroyed");
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

TEST_CASE("a loop that the kernel stops serving says so from run(), and can be destroyed", "[loop][refused]") {
  const auto end = run_in_child([] {
    auto loop = std::make_unique<Loop>(leasepool::LoopOptions{.engine = leasepool::LoopEngine::io_uring});
    const auto token = std::make_shared<int>(0);
    auto timer = loop->call_after(1ms, [token] {});
    refuse(SYS_io_uring_enter, EPERM);
    int refused = 0;
    for (int i = 0; i < 3; ++i) {
      try {
        loop->run();
      } catch (const std::system_error& error) {
        check(error.code() == std::errc::operation_not_permitted, "the errno is the kernel's");
        check(std::string_view(error.what()).contains("io_uring_enter"), "the call is named");
        ++refused;
      }
    }
    check(refused == 3, "each run says so");
    loop.reset();
    check(token.use_count() == 1, "what was pending is destroyed");
  });
  INFO(end.output);
  CHECK(end.exited_with(0));
}

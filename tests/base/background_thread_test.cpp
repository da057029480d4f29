// A background thread in a process that was forked while it worked, and one that has ended.
#include "base/background_thread.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>

#include "catch.hpp"
#include "support/waitable_children.hpp"

using leasepool::detail::BackgroundTask;
using leasepool::detail::BackgroundThread;

namespace {

class Waits final : public BackgroundTask {
 public:
  void run() noexcept override {
    begun.set_value();
    over.get_future().wait();
  }
  std::promise<void> begun, over;
};

// What a thread still does when its function has returned.
struct Leaving {
  Leaving() = default;
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;
  ~Leaving() {
    if (!gone) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    *gone = true;
  }
  std::shared_ptr<std::atomic<bool>> gone;
};
thread_local Leaving leaving;

class LeavesSlowly final : public BackgroundTask {
 public:
  void run() noexcept override { leaving.gone = gone; }
  const std::shared_ptr<std::atomic<bool>> gone = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

// A sanitizer dies of a thread that is started behind a fork, where another was not quite gone.
TEST_CASE("a background thread that is idle is gone when its destructor returns") {
  const auto task = std::make_shared<LeavesSlowly>();
  {
    BackgroundThread thread("background", std::chrono::seconds(10));
    REQUIRE(thread.add(task));
    while (task.use_count() > 1) std::this_thread::yield();  // it has run, and the thread lets go of it
    thread.wait_for_task(std::chrono::seconds(10));
  }
  CHECK(*task->gone);
}

TEST_CASE("a forked copy takes no task for a thread that it does not have") {
  BackgroundThread thread("background", std::chrono::seconds(1));
  const auto task = std::make_shared<Waits>();
  REQUIRE(thread.add(task));
  task->begun.get_future().wait();
  const leasepool::test::WaitableChildren waitable;
  const pid_t copy = ::fork();
  if (copy == 0) ::_exit(thread.add(nullptr) ? 1 : 0);
  int status = -1;
  REQUIRE(::waitpid(copy, &status, 0) == copy);
  CHECK(status == 0);
  task->over.set_value();
}

// A background thread in a process that was forked while it worked, and one that has ended.
#include "base/background_thread.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <iterator>
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

class DoesNothing final : public BackgroundTask {
 public:
  void run() noexcept override {}
};

auto threads_here() { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); }

}  // namespace

// A sanitizer dies of a thread that is started behind a fork, where another was not quite gone.
TEST_CASE("a background thread that is idle is gone when its destructor returns") {
  std::thread([] {}).join();  // a sanitizer has made its own
  const auto before = threads_here();
  for (int i = 0; i < 1000; ++i) {
    {
      BackgroundThread thread("background", std::chrono::seconds(1));
      REQUIRE(thread.add(std::make_shared<DoesNothing>()));
      thread.wait_for_task(std::chrono::seconds(10));
    }
    REQUIRE(threads_here() <= before);
  }
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

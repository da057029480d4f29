// A background thread in a process that was forked while it worked.
#include "base/background_thread.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <memory>

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

}  // namespace

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

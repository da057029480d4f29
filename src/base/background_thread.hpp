// BackgroundThread: does one thing after another that would keep the loop's thread.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "leasepool/duration.hpp"

namespace leasepool::detail {

// Carries its own link, so that to hand it over needs no memory.
class BackgroundTask {
 public:
  BackgroundTask() = default;
  BackgroundTask(const BackgroundTask&) = delete;
  BackgroundTask& operator=(const BackgroundTask&) = delete;
  virtual ~BackgroundTask() = default;

  virtual void run() noexcept = 0;

 private:
  friend class BackgroundThread;
  std::shared_ptr<BackgroundTask> next_;
};

// The thread is made when there is something to do, and ends when there has been nothing for a while.
class BackgroundThread {
 public:
  // `niceness` is the thread's, as of nice(1), where the program has not more of its own.
  BackgroundThread(const char* name, Duration kept_for, int niceness = 0);
  BackgroundThread(const BackgroundThread&) = delete;
  BackgroundThread& operator=(const BackgroundThread&) = delete;
  // Drops what has not begun. Does not wait for what has: the thread ends behind it. One that is idle is gone for good
  // when this returns, so that the program may fork.
  ~BackgroundThread();

  // Waits for what has begun, for so long at most.
  void wait_for_task(Duration most) noexcept;

  // Any thread. False, and then it is not run, where no thread can be made. A task is added once.
  [[nodiscard]] bool add(std::shared_ptr<BackgroundTask> task) noexcept;

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::shared_ptr<BackgroundTask> first;
    BackgroundTask* last = nullptr;
    std::thread thread;    // joined by the destructor; one that ends by itself, or behind it, is detached
    bool running = false;  // the thread is there
    bool busy = false;     // with a task
    bool ending = false;
  };
  static void thread_main(const std::shared_ptr<Shared>& shared, Duration kept_for, int niceness) noexcept;

  const char* const name_;
  const Duration kept_for_;
  const int niceness_;
  const pid_t process_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace leasepool::detail

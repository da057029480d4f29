// A queue, and a thread that comes and goes with what is in it.
#include "base/background_thread.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

#include "base/block_signals.hpp"

namespace leasepool::detail {

namespace {

// A thread that is not busy ends within microseconds.
constexpr Duration kEndPatience = std::chrono::seconds(1);

}  // namespace

BackgroundThread::BackgroundThread(const char* name, Duration kept_for, int niceness)
    : name_(name), kept_for_(kept_for), niceness_(niceness), process_(::getpid()) {}

BackgroundThread::~BackgroundThread() {
  if (::getpid() != process_) return;  // a forked copy has no such thread, and who knows who held the mutex
  std::shared_ptr<BackgroundTask> dropped;
  std::unique_lock lock(shared_->mutex);
  shared_->ending = true;
  dropped = std::exchange(shared_->first, nullptr);
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, kEndPatience, [this] { return !shared_->running || shared_->busy; });
  std::thread thread = std::exchange(shared_->thread, {});
  const bool ended = !shared_->running;
  lock.unlock();
  if (thread.joinable()) ended ? thread.join() : thread.detach();
  while (dropped) dropped = std::exchange(dropped->next_, nullptr);
}

void BackgroundThread::wait_for_task(Duration most) noexcept {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, most, [this] { return !shared_->busy; });
}

bool BackgroundThread::add(std::shared_ptr<BackgroundTask> task) noexcept {
  if (::getpid() != process_) return false;  // as above
  BackgroundTask* const added = task.get();
  const std::lock_guard lock(shared_->mutex);
  if (!shared_->running) {
    try {
      const BlockSignals blocked;
      std::thread thread(thread_main, shared_, kept_for_, niceness_);
      pthread_setname_np(thread.native_handle(), name_);
      shared_->thread = std::move(thread);
    } catch (...) {
      return false;
    }
    shared_->running = true;
  }
  (shared_->first == nullptr ? shared_->first : shared_->last->next_) = std::move(task);
  shared_->last = added;
  shared_->changed.notify_all();
  return true;
}

void BackgroundThread::thread_main(const std::shared_ptr<Shared>& shared, Duration kept_for, int niceness) noexcept {
  // Of this thread alone, as Linux has it. One that may not is as the others are.
  if (niceness > 0 && ::getpriority(PRIO_PROCESS, 0) < niceness) (void)::setpriority(PRIO_PROCESS, 0, niceness);
  std::unique_lock lock(shared->mutex);
  for (;;) {
    const auto has_news = [&] { return shared->first != nullptr || shared->ending; };
    if (!shared->changed.wait_for(lock, kept_for, has_news) || shared->first == nullptr) break;
    auto task = std::exchange(shared->first, nullptr);
    shared->first = std::exchange(task->next_, nullptr);
    shared->busy = true;
    lock.unlock();
    task->run();
    task.reset();  // may be its last owner
    lock.lock();
    shared->busy = false;
    if (shared->ending || shared->first == nullptr) shared->changed.notify_all();
  }
  shared->running = false;
  if (!shared->ending) shared->thread.detach();  // nobody waits for it
  shared->changed.notify_all();
}

}  // namespace leasepool::detail

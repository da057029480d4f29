// A queue, the threads that come for what is in it, and the list of what they have done.
#include "loop/blocking_threads.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "base/block_signals.hpp"
#include "base/check.hpp"
#include "base/process_identity.hpp"
#include "loop/try_operation.hpp"

namespace leasepool::detail {

BlockingThreads::BlockingThreads() : process_(process_generation()) {
  shared_->done_fd = try_above_standard_streams(UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  if (!shared_->done_fd) throw std::system_error(errno, std::generic_category(), "leasepool: eventfd for a loop");
}

BlockingThreads::~BlockingThreads() {
  if (process_ != process_generation()) {  // a forked copy has no such threads, and who knows who held the mutex
    (void)threads_.release();              // NOLINT(bugprone-unused-return-value): leaked
    return;
  }
  {
    std::unique_lock lock(shared_->mutex);
    check(shared_->ending || (shared_->running == 0 && shared_->waiting == 0), "nothing runs when its threads end");
    end(lock);
  }
  for (std::thread& thread : *threads_) {
    if (thread.joinable()) thread.join();
  }
}

void BlockingThreads::end(std::unique_lock<std::mutex>& /*locked*/) noexcept {
  shared_->ending = true;
  shared_->queued = {};
  shared_->waiting = 0;
  shared_->changed.notify_all();
}

bool BlockingThreads::abandon(Duration patience) noexcept {
  std::unique_lock lock(shared_->mutex);
  end(lock);
  const bool ended = shared_->done_one.wait_for(lock, patience, [this] { return shared_->running == 0; });
  if (!ended) {
    for (std::thread& thread : *threads_) {
      if (thread.joinable()) thread.detach();
    }
  }
  return ended;
}

void BlockingThreads::append(List& list, Job& job) noexcept {
  job.next = nullptr;
  (list.first == nullptr ? list.first : list.last->next) = &job;
  list.last = &job;
}

int BlockingThreads::add(Job& job) noexcept {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->ending) return ECANCELED;
  if (shared_->waiting >= shared_->idle && thread_count_ < kMost) {
    const int error = start_thread();
    if (error != 0 && thread_count_ == 0) return error;
  }
  check(job.state == Job::State::idle, "an operation is on one thread at a time");
  job.state = Job::State::queued;
  append(shared_->queued, job);
  ++shared_->waiting;
  shared_->changed.notify_one();
  return 0;
}

int BlockingThreads::start_thread() noexcept {
  try {
    const BlockSignals blocked;
    std::thread thread(&thread_main, shared_);
    pthread_setname_np(thread.native_handle(), "lp-file");
    (*threads_)[thread_count_] = std::move(thread);
    ++thread_count_;
    return 0;
  } catch (const std::system_error& error) {
    return error.code().value();
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

bool BlockingThreads::withdraw(Job& job) noexcept {
  const std::lock_guard lock(shared_->mutex);
  if (job.state != Job::State::queued) return false;
  Job* before = nullptr;
  for (Job* at = shared_->queued.first; at != &job; at = at->next) {
    check(at != nullptr, "what waits for a thread is in its queue");
    before = at;
  }
  (before == nullptr ? shared_->queued.first : before->next) = job.next;
  if (shared_->queued.last == &job) shared_->queued.last = before;
  --shared_->waiting;
  job.state = Job::State::idle;
  return true;
}

BlockingThreads::Job* BlockingThreads::take_done() noexcept {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->done, {}).first;
}

void BlockingThreads::wait_for(const Job& job) noexcept {
  std::unique_lock lock(shared_->mutex);
  shared_->done_one.wait(lock, [&] { return job.state == Job::State::done; });
}

void BlockingThreads::thread_main(const std::shared_ptr<Shared>& shared) noexcept {
  std::unique_lock lock(shared->mutex);
  for (;;) {
    ++shared->idle;
    shared->changed.wait(lock, [&] { return shared->ending || shared->queued.first != nullptr; });
    --shared->idle;
    if (shared->ending) return;
    Job& job = *shared->queued.first;
    shared->queued.first = job.next;
    if (shared->queued.first == nullptr) shared->queued.last = nullptr;
    --shared->waiting;
    ++shared->running;
    job.state = Job::State::running;
    const Operation operation = job.operation;
    lock.unlock();
    const int result = run_blocking(operation);
    lock.lock();
    job.result = result;
    job.state = Job::State::done;
    --shared->running;
    const bool first = shared->done.first == nullptr;
    append(shared->done, job);
    shared->done_one.notify_all();
    if (!first) continue;
    const std::uint64_t one = 1;
    while (::write(shared->done_fd.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }
}

}  // namespace leasepool::detail

// Every way a thread pool ends: drained, closed, killed, or at once.
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "leasepool/detail/access.hpp"
#include "threads/thread_pool.hpp"

namespace leasepool::detail {

// What no thread has taken.
void ThreadPool::end_waiting(const Error& error) {
  const Error not_run = Access::not_run(error);
  const auto end = [&](std::unique_ptr<Job> job) {
    loop_.end_busy_poll(options_.spin);
    end_at_lease(std::move(job), not_run);
  };
  while (auto job = shared_->ready.pop()) {
    came_back();
    end(std::move(job));
  }
  while (!queue_.empty()) end(queue_.pop_front());
  shared_->waiting.store(0, std::memory_order_relaxed);
}

void ThreadPool::abort(const Error& error, Ended /*ended*/) {
  end_waiting(error);
  shared_->aborted_through.store(last_id_);
  for (const PoolThreads::Own& thread : shared_->each) {
    if (Job* const job = thread.running.load(); job != nullptr) job->state.stop.request_stop();
  }
}

void ThreadPool::drain(const Error& error) noexcept {
  closing_ = true;
  ready_ = {};
  end_waiting(error);
  announce_end();
}

void ThreadPool::close(std::move_only_function<void()> closed) noexcept {
  check(tells_of_close_ != nullptr, "a pool that is closed has started, and has not closed");
  check(!closed_, "a pool is closed once");
  closed_ = std::move(closed);
  self_ = shared_from_this();
  drain(closed_before_begun(options_.name));
  if (finished_threads_ == threads_.size()) finish_close();
}

void ThreadPool::thread_finished() {
  check(finished_threads_ < shared_->each.size(), "a thread ends once");
  collect();
  ++finished_threads_;
  if (closed_ && finished_threads_ == threads_.size()) finish_close();
}

void ThreadPool::finish_close() {
  for (std::thread& thread : threads_) thread.join();  // each has left its loop
  look_no_more();
  say_closed();
}

void ThreadPool::say_closed() {
  check(tells_of_close_ != nullptr, "a pool says once that it has closed");
  if (options_.trace) trace_close();
  threads_.clear();
  shared_->log->fetch();  // in a report, as the sink may do anything
  loop_.defer(std::move(tells_of_close_));
}

void ThreadPool::kill() {
  if (!closed_ || !tells_of_close_) return;  // it has closed already
  for (std::thread& thread : threads_) thread.detach();
  look_no_more();
  say_closed();
}

void ThreadPool::close_now(TimePoint deadline) noexcept {
  drain(closed_before_begun(options_.name));
  bool all_finished = false;
  {
    std::unique_lock lock(shared_->mutex);
    const auto none_running = [this] { return shared_->running == 0; };
    if (deadline == kNever) {
      shared_->finished.wait(lock, none_running);
      all_finished = true;
    } else {
      all_finished = shared_->finished.wait_until(lock, deadline, none_running);
    }
  }
  for (std::thread& thread : threads_) all_finished ? thread.join() : thread.detach();
  look_no_more();
  if (options_.trace) trace_close();
  threads_.clear();
  closed_ = {};
  const std::shared_ptr<ThreadPool> self = std::move(self_);
  shared_->log->fetch();
  log_->deliver();  // what its user has may be gone when the next turn comes
}

}  // namespace leasepool::detail

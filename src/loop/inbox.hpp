// Inbox: how other threads reach the loop. Posted functions go into a lock-free mailbox, finished jobs into a ring of
// each thread that the inbox is told of; an eventfd wakes the loop, and only when it sleeps.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/intrusive_queue.hpp"
#include "base/return_ring.hpp"
#include "base/unique_fd.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/detail/job_memory.hpp"

namespace leasepool::detail {

struct PostedFunction {
  std::move_only_function<void()> function;
  PostedFunction* next = nullptr;
  PostedFunction* previous = nullptr;

  static void* operator new(std::size_t size) { return allocate_job(size); }
  static void operator delete(void* posted, std::size_t size) noexcept { free_job(posted, size); }
};

// The jobs that one thread has finished and the loop has not fetched.
struct FinishedJobs {
  ReturnRing<Job, 512> ring;
  std::shared_ptr<FinishedJobs> self{};  // while the loop is called
  FinishedJobs* next = nullptr;
};

// Shared by the loop and by every thread that may outlive it.
class Inbox {
 public:
  Inbox();

  // Any thread. What arrives after close() is destroyed here.
  void post(std::move_only_function<void()> function);
  // With the ring of the thread that calls.
  void job_done(const std::shared_ptr<FinishedJobs>& of_thread, std::unique_ptr<Job> job);

  // Any thread: wakes the loop if it sleeps.
  void ring_doorbell() noexcept;

  // The loop's thread, from here on.

  // Readable after a ring. It is never read: a poll reports each write, whatever the counter says.
  [[nodiscard]] int doorbell_fd() const noexcept { return doorbell_.get(); }

  // True when the loop may sleep: nothing is here, and what comes will ring. The order (flag, then look) meets the
  // producers' (push, then flag) in the single order of seq_cst operations, so that one of the two sees the other.
  [[nodiscard]] bool prepare_sleep() noexcept;
  void asleep() noexcept { sleeping_.store(true); }
  void awake() noexcept { sleeping_.store(false); }

  [[nodiscard]] bool empty() const noexcept { return functions_.empty() && !has_jobs(); }
  [[nodiscard]] IntrusiveQueue<PostedFunction> take_functions() noexcept { return functions_.take_all(); }
  // Appends them, those of each thread in their order.
  void take_jobs(IntrusiveQueue<Job>& into) noexcept;

  // Refuses everything from now on and destroys what is left.
  void close() noexcept;

 private:
  [[nodiscard]] bool has_jobs() const noexcept {
    const FinishedJobs* const first = finished_.load();
    return first != nullptr && first != closed_;
  }
  [[nodiscard]] static std::shared_ptr<FinishedJobs> next_of(FinishedJobs*& first) noexcept;

  IntrusiveMailbox<PostedFunction> functions_;
  FinishedJobs* const closed_ = reinterpret_cast<FinishedJobs*>(this);  // stands for callers once nobody is let in
  std::atomic<FinishedJobs*> finished_ = nullptr;  // of threads that have called, the last one first
  std::atomic<bool> sleeping_ = true;  // a loop that does not run yet sleeps: a ring makes its poll_fd() readable
  UniqueFd doorbell_;
};

}  // namespace leasepool::detail

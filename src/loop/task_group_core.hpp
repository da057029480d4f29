// TaskGroupCore: the tasks of a TaskGroup, from spawn to end.
#pragma once

#include <cstddef>
#include <exception>
#include <list>
#include <memory>

#include "leasepool/task_group.hpp"
#include "loop/deferred.hpp"
#include "loop/loop_client.hpp"

namespace leasepool::detail {

// A task waits, runs and has ended, each in a list of its own; it is destroyed where no coroutine of the group runs: in
// a callback of the loop, once it has ended or was cancelled. Loop thread only. Shared with the callbacks that are on
// their way to it.
class TaskGroupCore final : public LoopClient, public std::enable_shared_from_this<TaskGroupCore> {
 public:
  TaskGroupCore(std::shared_ptr<LoopCore> loop, TaskGroupOptions options);
  TaskGroupCore(const TaskGroupCore&) = delete;
  TaskGroupCore& operator=(const TaskGroupCore&) = delete;
  ~TaskGroupCore() override;

  void spawn(Task<> task);
  void cancel() noexcept;
  // Throws std::bad_alloc, and then the callback is not called.
  void when_empty(std::move_only_function<void(Result<void>)> done);
  [[nodiscard]] std::exception_ptr take_first_exception() noexcept { return std::exchange(first_exception_, {}); }
  [[nodiscard]] std::size_t size() const noexcept { return waiting_.size() + running_.size() + ended_.size(); }
  [[nodiscard]] const LoopCore& loop() const noexcept { return *loop_; }

  // The handle is destroyed, or the loop closes.
  void close() noexcept;

 private:
  struct Member;
  using Members = std::list<Member>;

  void loop_closing() noexcept override { close(); }
  void member_ended(Members::iterator member) noexcept;
  void go_on_later() noexcept;
  void go_on();
  void destroy_cancelled() noexcept;
  void report_ended();
  void start_waiting();

  const std::shared_ptr<LoopCore> loop_;
  TaskGroupOptions options_;
  Members waiting_;
  Members running_;
  Members ended_;
  DoneNotices joins_;
  std::exception_ptr first_exception_;
  DeferredMember<TaskGroupCore, &TaskGroupCore::go_on> go_on_;
  bool closed_ = false;
};

}  // namespace leasepool::detail

// TaskGroup: tasks that belong together, such as the connections of a server.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

#include "leasepool/detail/export.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/task.hpp"

namespace leasepool {

namespace detail {

class TaskGroupCore;

}  // namespace detail

struct TaskGroupOptions {
  /// How many run at once; more wait and are started in order as others end. 0: no limit.
  std::size_t limit = 0;
  /// Called from the loop for each exception that leaves a task, the others going on. May spawn and cancel. Empty:
  /// join() throws the first of them.
  std::move_only_function<void(std::exception_ptr)> on_error = {};
};

/// Runs tasks side by side on a loop; an exception of one does not end the others. Loop thread only. Its destructor
/// destroys the tasks that have not ended, as the loop's does; neither may be called by a task of the group itself,
/// which cancels them with cancel().
class LEASEPOOL_EXPORT TaskGroup {
 public:
  /// Throws LeasePoolError (wrong_thread).
  explicit TaskGroup(Loop& loop, TaskGroupOptions options = {});
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  /// Starts a task on the next turn, or when there is room below the limit. Throws std::invalid_argument for an empty
  /// one, LeasePoolError (wrong_thread; cancelled, once the loop has closed).
  void spawn(Task<> task);

  /// Waits until no task is left; then throws the first exception that left a task since the last join(), unless
  /// on_error has had it. Destroying the coroutine that waits leaves the tasks. Throws LeasePoolError (cancelled) once
  /// the loop has closed.
  Task<> join();

  /// Destroys all tasks that were spawned before, wherever they stand, on the next turn: a task of the group may call
  /// it, and is among them.
  void cancel();

  /// How many tasks have not ended, those that wait for room included.
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  std::shared_ptr<detail::TaskGroupCore> core_;
};

}  // namespace leasepool

#endif

// Spawning, ending and cancelling the tasks of a group.
#include "leasepool/task_group.hpp"

#include <optional>
#include <stdexcept>
#include <utility>

#include "base/leak.hpp"
#include "leasepool/awaitable.hpp"
#include "leasepool/detail/access.hpp"
#include "loop/loop_core.hpp"
#include "loop/task_group_core.hpp"

namespace leasepool {

namespace detail {

struct TaskGroupCore::Member final : RootTask::Observer {
  explicit Member(TaskGroupCore& owner) : group(owner) {}
  void root_ended() noexcept override { group.member_ended(place); }

  TaskGroupCore& group;
  Members::iterator place;
  Outcome<void> outcome;
  std::optional<RootTask> root;
  bool cancelled = false;
};

TaskGroupCore::TaskGroupCore(std::shared_ptr<LoopCore> loop, TaskGroupOptions options)
    : loop_(std::move(loop)), options_(std::move(options)) {
  loop_->attach(*this);
}

TaskGroupCore::~TaskGroupCore() = default;

void TaskGroupCore::spawn(Task<> task) {
  Members made;
  const auto member = made.emplace(made.end(), *this);
  member->place = member;
  member->root.emplace(keep_outcome(std::move(task), member->outcome));
  waiting_.splice(waiting_.end(), made);
  go_on_later();
}

void TaskGroupCore::cancel() noexcept {
  for (Members* const members : {&waiting_, &running_}) {
    for (Member& member : *members) member.cancelled = true;
  }
  go_on_later();
}

void TaskGroupCore::when_empty(std::move_only_function<void(Result<void>)> done) {
  joins_.add(std::make_unique<Notice<void>>(std::move(done)));
  if (size() == 0) joins_.tell(*loop_, {});
}

void TaskGroupCore::close() noexcept {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  loop_->detach(*this);
  for (Members* const members : {&running_, &waiting_, &ended_}) {
    while (!members->empty()) members->pop_front();
  }
  joins_.tell(*loop_, {});
}

// In the task's last step: it is destroyed later.
void TaskGroupCore::member_ended(Members::iterator member) noexcept {
  ended_.splice(ended_.end(), running_, member);
  go_on_later();
}

void TaskGroupCore::go_on_later() noexcept {
  if (auto queued = go_on_.to_queue(shared_from_this())) loop_->defer(std::move(queued));
}

void TaskGroupCore::go_on() {
  try {
    destroy_cancelled();
    report_ended();
    start_waiting();
  } catch (...) {  // of on_error
    go_on_later();
    throw;
  }
  if (size() == 0) joins_.tell(*loop_, {});
}

void TaskGroupCore::destroy_cancelled() noexcept {
  Members cancelled;
  for (Members* const members : {&running_, &waiting_}) {
    for (auto member = members->begin(); member != members->end();) {
      const auto next = std::next(member);
      if (member->cancelled) cancelled.splice(cancelled.end(), *members, member);
      member = next;
    }
  }
}

void TaskGroupCore::report_ended() {
  while (!ended_.empty()) {
    const std::exception_ptr thrown = ended_.front().outcome.thrown();
    ended_.pop_front();
    if (!thrown) continue;
    if (options_.on_error) {
      options_.on_error(thrown);
    } else if (!first_exception_) {
      first_exception_ = thrown;
    }
  }
}

// Those that are there by now: one that ends at once and spawns another does not keep the turn from ending.
void TaskGroupCore::start_waiting() {
  for (std::size_t left = waiting_.size(); left > 0 && !waiting_.empty(); --left) {
    if (options_.limit != 0 && running_.size() >= options_.limit) return;
    running_.splice(running_.end(), waiting_, waiting_.begin());
    Member& member = running_.back();
    member.root->start(member);
  }
}

}  // namespace detail

TaskGroup::TaskGroup(Loop& loop, TaskGroupOptions options) {
  const auto& core = detail::Access::core(loop);
  core->check_thread("TaskGroup");
  core_ = std::make_shared<detail::TaskGroupCore>(core, std::move(options));
}

TaskGroup::~TaskGroup() { core_->loop().is_copy() ? detail::leak(std::move(core_)) : core_->close(); }

void TaskGroup::spawn(Task<> task) {
  core_->loop().check_thread("spawn");
  if (task.empty()) throw std::invalid_argument("leasepool: spawn() needs a Task, and this one was moved from");
  if (core_->loop().closed())
    throw LeasePoolError(Errc::cancelled, "spawn(): the Loop of this TaskGroup was destroyed");
  core_->spawn(std::move(task));
}

void TaskGroup::cancel() {
  core_->loop().check_thread("cancel");
  core_->cancel();
}

std::size_t TaskGroup::size() const noexcept { return core_->size(); }

Task<> TaskGroup::join() {
  const auto core = core_;
  core->loop().check_thread("join");
  if (core->loop().closed()) throw LeasePoolError(Errc::cancelled, "join(): the Loop of this TaskGroup was destroyed");
  auto start = [&core](detail::AwaitReceiver<void> receiver) { core->when_empty(std::move(receiver)); };
  Awaitable<void, decltype(start)> empty(std::move(start));
  co_await empty;
  if (const auto thrown = core->take_first_exception()) std::rethrow_exception(thrown);
}

}  // namespace leasepool

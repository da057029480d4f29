// Links kept, and what must hold of them.
#include "lease/call_table.hpp"

#include "base/check.hpp"

namespace leasepool::detail {

CallTable::Walk::Walk(const CallTable& table) noexcept : table_(table), outer_(table.innermost_), next_(table.first_) {
  table.innermost_ = this;
}

void CallTable::add(Job& job) noexcept {
  JobState& state = job.state;
  check(state.in_flight_next == nullptr && state.in_flight_previous == nullptr && first_ != &job,
        "a call is added once");
  check(last_ == nullptr || last_->state.id < state.id, "calls are added in the order of their ids");
  state.in_flight_previous = last_;
  (last_ == nullptr ? first_ : last_->state.in_flight_next) = &job;
  last_ = &job;
  ++size_;
}

void CallTable::remove(Job& job) noexcept {
  JobState& state = job.state;
  Job*& from_before = state.in_flight_previous == nullptr ? first_ : state.in_flight_previous->state.in_flight_next;
  Job*& from_behind = state.in_flight_next == nullptr ? last_ : state.in_flight_next->state.in_flight_previous;
  check(from_before == &job, "a call ends once");
  check(from_behind == &job, "the calls of a lease are linked both ways");
  if (innermost_ != nullptr) innermost_->passes(job);
  from_before = state.in_flight_next;
  from_behind = state.in_flight_previous;
  state.in_flight_next = state.in_flight_previous = nullptr;
  --size_;
  unwatch(job);
}

void CallTable::watch(Job& job) {
  const bool is_new = watched_.emplace(job.state.id, &job).second;
  check(is_new, "a call is watched once");
}

void CallTable::unwatch(const Job& job) noexcept {
  if (!watched_.empty()) watched_.erase(job.state.id);
}

Job* CallTable::watched(std::uint64_t job_id) const noexcept {
  const auto found = watched_.find(job_id);
  return found == watched_.end() ? nullptr : found->second;
}

Job* CallTable::find(std::uint64_t job_id) const noexcept {
  Job* older = first_;
  Job* newer = last_;
  while (older != nullptr && older->state.id <= job_id && newer->state.id >= job_id) {
    if (older->state.id == job_id) return older;
    if (newer->state.id == job_id) return newer;
    older = older->state.in_flight_next;
    newer = newer->state.in_flight_previous;
  }
  return nullptr;
}

}  // namespace leasepool::detail

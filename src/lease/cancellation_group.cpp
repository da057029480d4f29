// Who is in a group, and the one way from a stop to all of them.
#include "lease/cancellation_group.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "lease/lease_record.hpp"

namespace leasepool::detail {

namespace {

// So many calls ahead of the one that is cancelled, the processor loads the next, and nearer to it those from which
// that is unlinked: of a million that wait, none is in a cache any more.
constexpr std::size_t kAhead = 8;
constexpr std::size_t kNeighboursAhead = 4;
constexpr std::size_t kCacheLine = 64;

// With the line behind it, where the receiver and the outcome are.
void prefetch_call(const Job* job) noexcept {
  if (job == nullptr) return;
  const auto* const bytes = reinterpret_cast<const std::byte*>(job);
  for (std::size_t line = 0; line < sizeof(Job) + kCacheLine; line += kCacheLine) __builtin_prefetch(bytes + line, 1);
}

// In the pool's queue and in the lease's table. A hint: any address will do.
void prefetch_neighbours(const Job* job) noexcept {
  if (job == nullptr) return;
  __builtin_prefetch(job->next, 1);
  __builtin_prefetch(job->previous, 1);
  for (const Job* const beside : {job->state.in_flight_next, job->state.in_flight_previous}) {
    if (beside != nullptr) __builtin_prefetch(static_cast<const void*>(&beside->state.in_flight_next), 1);
  }
}

}  // namespace

void CancellationGroups::add(std::shared_ptr<CancellationGroup> group) {
  group->place_ = groups_.size();
  groups_.push_back(std::move(group));
}

std::shared_ptr<CancellationGroup> CancellationGroups::remove(CancellationGroup& group) noexcept {
  const std::size_t place = group.place_;
  check(place < groups_.size() && groups_[place].get() == &group, "a group leaves the lease whose calls it has, once");
  std::swap(groups_[place], groups_.back());
  groups_[place]->place_ = place;
  std::shared_ptr<CancellationGroup> removed = std::move(groups_.back());
  groups_.pop_back();
  return removed;
}

std::shared_ptr<CancellationGroup> CancellationGroup::make(LeaseRecord& lease, std::shared_ptr<Scheduler> loop,
                                                           const std::stop_token& token) {
  auto group = std::make_shared<CancellationGroup>(lease, std::move(loop));
  group->token_ = token;
  group->callback_.emplace(token, Post{*group});
  return group;
}

void CancellationGroup::add(Job& job) {
  check(entries_.empty() || entries_.back().id < job.state.id, "the calls of a group come in the order of their ids");
  entries_.push_back({.id = job.state.id, .job = &job});
  if (left_ == 0) {
    try {
      lease_.cancellation_groups.add(shared_from_this());
    } catch (const std::bad_alloc&) {
      entries_.pop_back();
      throw;
    }
  }
  ++left_;
  job.state.cancellation = this;
}

void CancellationGroup::remove(Job& job) noexcept {
  CancellationGroup* const group = std::exchange(job.state.cancellation, nullptr);
  if (group != nullptr) group->left(group->entry_of(job));
}

// The oldest call mostly leaves first.
CancellationGroup::Entry& CancellationGroup::entry_of(const Job& job) noexcept {
  const std::uint64_t id = job.state.id;
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first_);
  const auto found = begin->id == id ? begin : std::ranges::lower_bound(begin, entries_.end(), id, {}, &Entry::id);
  check(found != entries_.end() && found->job == &job, "a call leaves the group that it is in, once");
  return *found;
}

// This may be the end of the group.
void CancellationGroup::left(Entry& entry) noexcept {
  entry.job = nullptr;
  --left_;
  if (cancelling_) return;
  if (left_ == 0) {
    entries_.clear();
    first_ = 0;
    const auto last_hold = lease_.cancellation_groups.remove(*this);
    return;
  }
  while (entries_[first_].job == nullptr) ++first_;
  if (left_ >= entries_.size() / 2) return;  // each entry is moved once, on average
  std::erase_if(entries_, [](const Entry& one) { return one.job == nullptr; });
  first_ = 0;
}

// Any thread. Where the last call has left meanwhile, nobody is to be cancelled.
void CancellationGroup::stop_requested() noexcept {
  auto self = weak_from_this().lock();
  if (!self) return;
  const auto loop = loop_;  // the group may go before the post has returned
  if (auto queued = cancels_.to_queue(std::move(self))) loop->post(std::move(queued));
}

// First those that wait: what runs makes room when it ends, and none of the others is to begin in that.
void CancellationGroup::cancel() {
  if (empty()) return;
  const auto lease = lease_.shared_from_this();  // which its calls keep
  const auto self = lease_.cancellation_groups.remove(*this);
  cancelling_ = true;
  for_each([&](Job& job) { lease->cancel_waiting(job); });
  for_each([&](Job& job) { lease->cancel_any(job); });
  // What is left was asked to stop, and ends by itself.
  for (const Entry& entry : entries_) {
    if (entry.job != nullptr) entry.job->state.cancellation = nullptr;
  }
  entries_.clear();
  first_ = left_ = 0;
  cancelling_ = false;
}

// The oldest first. Each may leave, and others with it.
template <class Action>
void CancellationGroup::for_each(const Action& action) {
  for (std::size_t i = first_; i < entries_.size(); ++i) {
    if (i + kAhead < entries_.size()) prefetch_call(entries_[i + kAhead].job);
    if (i + kNeighboursAhead < entries_.size()) prefetch_neighbours(entries_[i + kNeighboursAhead].job);
    if (entries_[i].job != nullptr) action(*entries_[i].job);
  }
}

}  // namespace leasepool::detail

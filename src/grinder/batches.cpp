// A grinder's batches: asked for when due, formed when their lease is there, and ended with their last item.
#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "grinder/grinder_core.hpp"
#include "grinder/item_phase.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/detail/keep_result.hpp"

namespace leasepool::detail {

namespace {

// How often an item whose node was lost before it ran is tried again.
constexpr std::uint8_t kMostTimesBack = 3;

}  // namespace

// After every change: as many leases are asked for as batches are due and may be in flight.
void GrinderCore::pump() {
  if (phase_ == Phase::stopped) return;
  while (!ask_for_what_is_due()) fail_batch(Error::out_of_memory());
  finish_stop_if_empty();
}

// False if there was no memory to ask.
bool GrinderCore::ask_for_what_is_due() {
  admit_who_waits_for_room();
  const std::size_t free = options_.max_inflight_batches - std::min(options_.max_inflight_batches, batches_.size());
  const bool by_age = items_.size() < options_.batch_size_threshold;  // else the time does not matter
  const TimePoint now = by_age && !items_.empty() ? scheduler_->now() : TimePoint();
  const std::size_t due = items_.due(now, phase_ == Phase::stopping);
  const std::size_t wanted = std::min(due, free);
  while (requests_.size() > wanted) withdraw_request();
  while (requests_.size() < wanted) {
    if (!ask_for_lease()) return false;
  }
  by_age ? arm_age_limit(now) : age_limit_->disarm();  // what comes of a full batch brings the next pump
  return true;
}

// False if there is no memory for it.
bool GrinderCore::ask_for_lease() {
  check(batches_.size() + requests_.size() < options_.max_inflight_batches, "a batch that is asked for may be");
  const std::uint64_t batch_id = ++last_batch_;
  auto come = [weak = weak_from_this(), batch_id](Result<ExecutorLease> lease) {
    if (const auto self = weak.lock()) self->lease_granted(batch_id, std::move(lease));
  };
  try {
    std::uint64_t& waiter = requests_[batch_id];
    if (const auto manager = manager_.lock()) {
      waiter = manager->acquire({.owner = options_.owner_prefix + "-" + std::to_string(batch_id),
                                 .lease_duration = options_.lease_duration,
                                 .wait = true,
                                 .timeout = std::nullopt,
                                 .where = where_},
                                std::move(come));
    } else {
      auto notice = std::make_unique<Notice<ExecutorLease>>(std::move(come));
      notice->set(failure(Errc::not_started, options_.owner_prefix + ": the manager was destroyed"));
      scheduler_->defer(std::move(notice));
    }
    return true;
  } catch (const std::bad_alloc&) {
    requests_.erase(batch_id);
    return false;
  }
}

// The last to come, whose lease is the furthest.
void GrinderCore::withdraw_request() {
  check(!requests_.empty(), "a request that is taken back was made");
  const auto last = std::prev(requests_.end());
  const std::uint64_t waiter = last->second;
  requests_.erase(last);  // a lease that is on its way goes back when it comes
  const auto manager = manager_.lock();
  if (manager && waiter != 0) manager->leave_queue(waiter);
}

void GrinderCore::lease_granted(std::uint64_t batch_id, Result<ExecutorLease> lease) {
  if (requests_.erase(batch_id) == 0) return;  // taken back meanwhile
  lease ? begin_batch(batch_id, std::move(*lease)) : fail_batch(lease.error());
  pump();
}

void GrinderCore::fail_batch(const Error& error) noexcept {
  ++totals_.without_lease;
  for (std::size_t left = items_.next_size(); left > 0; --left) {
    auto item = items_.take_first();
    const Error of_item = with_owner(*item->state, error);
    fail_waiting(std::move(item), of_item);
  }
}

// Its size has a place among those that are counted.
std::string_view GrinderCore::count_flush(std::size_t size) {
  ++totals_.batch_sizes[size];
  if (size == options_.batch_size_threshold) {
    ++totals_.flushed_by_size;
    return "size";
  }
  const bool stops = phase_ == Phase::stopping;
  ++(stops ? totals_.flushed_by_stop : totals_.flushed_by_age);
  return stops ? "stop" : "age";
}

void GrinderCore::trace_begin(Batch& batch, std::uint64_t batch_id, std::string_view why) noexcept {
  const LeaseRecord& lease = *Access::record(batch.lease);
  if (!trace_) {
    trace_ = lease.trace();
    trace_row_ = trace_->add_group(options_.owner_prefix);
  }
  batch.trace_id = trace_->new_id();
  trace_->begin({.category = "batch", .id = batch.trace_id}, trace_row_, "batch", scheduler_->now(),
                {{"items", batch.items}, {"flushed_by", why}, {"batch", batch_id}, {"lease", lease.id}});
}

void GrinderCore::trace_end(const Batch& batch) const noexcept {
  if (batch.trace_id == 0) return;
  trace_->end({.category = "batch", .id = batch.trace_id}, trace_row_, "batch", scheduler_->now(), {});
}

// Where there is no memory for the batch, its items fail and the lease goes back.
void GrinderCore::begin_batch(std::uint64_t batch_id, ExecutorLease lease) {
  check(!items_.empty(), "a batch that has a lease has items");
  WorkItems items;
  Batch* batch = nullptr;
  try {
    const auto [place, is_new] = batches_.try_emplace(batch_id);
    check(is_new, "a batch begins once");
    batch = &place->second;
    totals_.batch_sizes.try_emplace(items_.next_size());
    items = items_.take();
  } catch (const std::bad_alloc&) {
    batches_.erase(batch_id);
    return fail_batch(Error::out_of_memory());
  }
  const TimePoint now = scheduler_->now();
  const std::string_view why = count_flush(items.size());
  totals_.in_flight += items.size();
  for (const auto& item : items) {
    ItemState& state = *item->state;
    change_phase(state, ItemPhase::in_flight);
    state.batch = batch_id;
    totals_.wait.record(now - state.submitted);
  }
  Access::record(lease)->gives_up_at_expiry = true;
  batch->items = items.size();
  batch->lease = std::move(lease);
  if (Access::record(batch->lease)->trace()) trace_begin(*batch, batch_id, why);
  run_on(*batch, batch_id, std::move(items));
}

// Items with a job of their own, and one call for all items of the same batch function. What cannot be made of them
// fails, and the rest runs.
void GrinderCore::run_on(Batch& batch, std::uint64_t batch_id, WorkItems items) {
  LeaseRecord& lease = *Access::record(batch.lease);
  IntrusiveQueue<Job> jobs;
  IntrusiveQueue<Job> batch_calls;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i]) continue;  // in a group already
    if (items[i]->batch_function() != nullptr) {
      if (auto job = bind_group(batch_id, items, i)) batch_calls.push_back(std::move(job));
      continue;
    }
    const std::shared_ptr<ItemState> state = items[i]->state;
    std::unique_ptr<Job> job = items[i]->take_job();
    job->state.id = state->call = lease.new_call_id();
    job->state.timeout = state->settings.timeout.value_or(JobState::kNoTimeout);
    jobs.push_back(std::move(job));
  }
  jobs.append(std::move(batch_calls));
  lease.submit_batch(std::move(jobs));
}

// The call for all items from `first` on that have its batch function; null if it cannot be made, and then they fail.
std::unique_ptr<Job> GrinderCore::bind_group(std::uint64_t batch_id, WorkItems& items, std::size_t first) noexcept {
  const std::shared_ptr<BatchFunction> function = *items[first]->batch_function();
  const auto of_group = [&function](const std::unique_ptr<WorkItem>& item) {
    return item && item->batch_function() != nullptr && *item->batch_function() == function;
  };
  WorkItems group;
  Error error = Error::out_of_memory();
  try {
    group.reserve(static_cast<std::size_t>(std::ranges::count_if(items, of_group)));
    Duration shortest = JobState::kNoTimeout;
    for (auto& item : items) {
      if (!of_group(item)) continue;
      shortest = std::min(shortest, item->state->settings.timeout.value_or(JobState::kNoTimeout));
      group.push_back(std::move(item));
    }
    auto job = function->bind({.grinder = weak_from_this(), .batch = batch_id, .function = function}, group);
    job->state.timeout = shortest;
    return job;
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as the error says already
  } catch (...) {
    error = thrown_error();
  }
  error = Access::not_run(error);
  const auto fail = [this, &error](std::unique_ptr<WorkItem> item) {
    item->fail(error);
    deliver(std::move(item));
  };
  for (auto& item : group) fail(std::move(item));
  for (auto& item : items) {
    if (of_group(item)) fail(std::move(item));
  }
  return nullptr;
}

bool GrinderCore::split(const BatchCall& call, WorkItems& items, const Error& error) {
  const auto batch = batches_.find(call.batch);
  if (batch == batches_.end() || items.size() < 2 || !batch->second.lease.active()) return false;
  switch (errc_of(error.code())) {
    case Errc::remote_exception:
    case Errc::worker_crashed:
    case Errc::bad_payload:
    case Errc::payload_too_large: break;
    case Errc::timed_out:
      if (backend_ != ExecutorBackend::thread) break;
      return false;         // a thread still runs it
    default: return false;  // it is not the items' doing
  }
  WorkItems second;
  const auto middle = items.begin() + static_cast<std::ptrdiff_t>(items.size() / 2);
  try {
    second.reserve(static_cast<std::size_t>(items.end() - middle));
  } catch (const std::bad_alloc&) {
    return false;
  }
  ++totals_.split;
  std::move(middle, items.end(), std::back_inserter(second));
  items.erase(middle, items.end());
  run_on(batch->second, call.batch, std::move(items));
  run_on(batch->second, call.batch, std::move(second));
  return true;
}

void GrinderCore::item_ended(ItemState& item, const Error* error) {
  check(item.phase == ItemPhase::in_flight, "an item ends in its batch, once");
  change_phase(item, ItemPhase::ended);
  check(totals_.in_flight > 0, "items in flight are counted");
  --totals_.in_flight;
  totals_.total.record(scheduler_->now() - item.submitted);
  if (error == nullptr) {
    ++totals_.completed;
  } else {
    ++(error->code() == Errc::cancelled ? totals_.cancelled : totals_.failed);
  }
  const auto batch = batches_.find(item.batch);
  if (batch == batches_.end()) return;  // the grinder was shut down
  check(batch->second.items > 0, "a batch ends with its last item");
  if (--batch->second.items > 0) return;
  trace_end(batch->second);
  batches_.erase(batch);  // gives the lease back
  pump();
}

bool GrinderCore::may_put_back(const ItemState& item) const noexcept {
  return !shut_down_ && item.phase == ItemPhase::in_flight && item.times_put_back < kMostTimesBack &&
         batches_.contains(item.batch);
}

void GrinderCore::put_back(std::unique_ptr<WorkItem>& item) {
  const std::shared_ptr<ItemState> state = item->state;
  check(may_put_back(*state), "an item that is put back was in flight");
  items_.put_back(std::move(item), state->id, state->submitted, state->settings.priority);
  change_phase(*state, ItemPhase::waiting);
  ++state->times_put_back;
  ++totals_.put_back;
  check(totals_.in_flight > 0, "items in flight are counted");
  --totals_.in_flight;
  Batch& batch = batches_.at(std::exchange(state->batch, 0));
  state->call = 0;
  check(batch.items > 0, "a batch ends with its last item");
  --batch.items;
  has_empty_batches_ = has_empty_batches_ || batch.items == 0;
  if (auto queued = ends_empty_batches_.to_queue(shared_from_this())) scheduler_->defer(std::move(queued));
}

// Later, as it gives leases back, and asks for others.
void GrinderCore::end_empty_batches() {
  if (std::exchange(has_empty_batches_, false)) {
    std::erase_if(batches_, [this](const auto& one) {
      if (one.second.items == 0) trace_end(one.second);
      return one.second.items == 0;
    });
  }
  pump();
}

// By the reading that said what is due: what is neither due nor timed would be forgotten.
void GrinderCore::arm_age_limit(TimePoint now) {
  const TimePoint deadline = items_.deadline();
  const bool waits = deadline != kNever && deadline > now;  // overdue ones wait for a batch to end
  waits ? age_limit_->arm(deadline) : age_limit_->disarm();
}

}  // namespace leasepool::detail

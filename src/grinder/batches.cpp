// A grinder's batches: asked for when due, formed when their lease is there, and ended with their last item.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "grinder/grinder_core.hpp"

namespace leasepool::detail {

// After every change: as many leases are asked for as batches are due and may be in flight.
void GrinderCore::pump() {
  if (phase_ == Phase::stopped) return;
  admit_who_waits_for_room();
  const std::size_t free = options_.max_inflight_batches - std::min(options_.max_inflight_batches, batches_.size());
  const bool by_age =
      !items_.empty() && items_.size() < options_.batch_size_threshold;  // else the time does not matter
  const std::size_t due = items_.due(by_age ? scheduler_->now() : TimePoint(), phase_ == Phase::stopping);
  const std::size_t wanted = std::min(due, free);
  while (requests_.size() > wanted) take_back_request();
  while (requests_.size() < wanted) ask_for_lease();
  arm_age_timer();
  finish_stop_if_empty();
}

void GrinderCore::ask_for_lease() {
  const std::uint64_t batch_id = ++last_batch_;
  std::uint64_t& waiter = requests_[batch_id];
  auto come = [weak = weak_from_this(), batch_id](Result<ExecutorLease> lease) {
    if (const auto self = weak.lock()) self->lease_came(batch_id, std::move(lease));
  };
  const auto manager = manager_.lock();
  if (!manager) {
    return scheduler_->defer([come = std::move(come), name = options_.owner_prefix]() mutable {
      come(failure(Errc::not_started, name + ": the manager was destroyed"));
    });
  }
  waiter = manager->acquire({.owner = options_.owner_prefix + "-" + std::to_string(batch_id),
                             .lease_duration = options_.lease_duration,
                             .wait = true,
                             .timeout = std::nullopt,
                             .where = where_},
                            std::move(come));
}

// The last to come, whose lease is the furthest.
void GrinderCore::take_back_request() {
  const auto last = std::prev(requests_.end());
  const std::uint64_t waiter = last->second;
  requests_.erase(last);  // a lease that is on its way goes back when it comes
  const auto manager = manager_.lock();
  if (manager && waiter != 0) manager->leave_queue(waiter);
}

void GrinderCore::lease_came(std::uint64_t batch_id, Result<ExecutorLease> lease) {
  if (requests_.erase(batch_id) == 0) return;  // taken back meanwhile
  lease ? begin_batch(batch_id, std::move(*lease)) : fail_batch(lease.error());
  pump();
}

void GrinderCore::fail_batch(const Error& error) {
  ++totals_.without_lease;
  for (auto& item : items_.take()) {
    const Error of_item = with_owner(*item->state, error);
    fail_waiting(std::move(item), of_item);
  }
}

void GrinderCore::count_flush(std::size_t size) {
  if (size == options_.batch_size_threshold) {
    ++totals_.flushed_by_size;
  } else {
    ++(phase_ == Phase::stopping ? totals_.flushed_by_stop : totals_.flushed_by_age);
  }
  ++totals_.batch_sizes[size];
}

void GrinderCore::begin_batch(std::uint64_t batch_id, ExecutorLease lease) {
  WorkItems items = items_.take();
  check(!items.empty(), "a batch that has a lease has items");
  const TimePoint now = scheduler_->now();
  count_flush(items.size());
  totals_.in_flight += items.size();
  for (const auto& item : items) {
    ItemState& state = *item->state;
    state.phase = ItemPhase::in_flight;
    state.batch = batch_id;
    totals_.wait.record(now - state.submitted);
  }
  lease.record()->gives_up_at_expiry = true;
  Batch& batch = batches_[batch_id];
  batch.items = items.size();
  batch.lease = std::move(lease);
  run_on(batch, batch_id, std::move(items));
}

// Items with a job of their own, and one call for all items of the same batch function.
void GrinderCore::run_on(Batch& batch, std::uint64_t batch_id, WorkItems items) {
  std::vector<LeaseRecord::Submission> submissions;
  std::vector<std::pair<ItemState*, const Job*>> calls;
  std::vector<std::pair<std::shared_ptr<BatchFunction>, WorkItems>> groups;  // few
  const auto settings_for = [](std::optional<Duration> timeout) {
    return CallSettings{.options = {.timeout = timeout, .queue_timeout = {}}, .stop = {}};
  };
  for (auto& item : items) {
    if (const auto* const function = item->batch_function()) {
      auto group = std::ranges::find(groups, *function, [](const auto& known) { return known.first; });
      if (group == groups.end()) group = groups.insert(groups.end(), {*function, WorkItems()});
      group->second.push_back(std::move(item));
      continue;
    }
    std::unique_ptr<Job> job = item->take_job();
    calls.emplace_back(item->state.get(), job.get());
    submissions.push_back({.job = std::move(job), .settings = settings_for(item->state->settings.timeout)});
  }
  for (auto& [function, group] : groups) {
    std::optional<Duration> shortest;
    for (const auto& item : group) {
      const auto& timeout = item->state->settings.timeout;
      if (timeout && (!shortest || *timeout < *shortest)) shortest = timeout;
    }
    auto job = function->bind({.grinder = weak_from_this(), .batch = batch_id, .function = function}, std::move(group));
    submissions.push_back({.job = std::move(job), .settings = settings_for(shortest)});
  }
  batch.lease.record()->submit_batch(std::move(submissions));
  // What came of a job is delivered later, so all of them are still there.
  for (const auto& [state, job] : calls) state->call = job->booking.id;
}

bool GrinderCore::split(const BatchCall& call, WorkItems& items, const Error& error) {
  const auto batch = batches_.find(call.batch);
  if (batch == batches_.end() || items.size() < 2 || !batch->second.lease.active()) return false;
  switch (static_cast<Errc>(error.code().value())) {
    case Errc::remote_exception:
    case Errc::worker_crashed:
    case Errc::bad_payload:
    case Errc::payload_too_large: break;
    case Errc::timed_out:
      if (backend_ == ExecutorBackend::process) break;
      return false;         // a thread still runs it
    default: return false;  // it is not the items' doing
  }
  ++totals_.split;
  const auto middle = items.begin() + static_cast<std::ptrdiff_t>(items.size() / 2);
  WorkItems second(std::make_move_iterator(middle), std::make_move_iterator(items.end()));
  items.erase(middle, items.end());
  run_on(batch->second, call.batch, std::move(items));
  run_on(batch->second, call.batch, std::move(second));
  return true;
}

void GrinderCore::item_ended(ItemState& item, const Error* error) {
  if (item.phase != ItemPhase::in_flight) return;  // counted already
  item.phase = ItemPhase::ended;
  --totals_.in_flight;
  totals_.total.record(scheduler_->now() - item.submitted);
  if (error == nullptr) {
    ++totals_.completed;
  } else {
    ++(error->code() == Errc::cancelled ? totals_.cancelled : totals_.failed);
  }
  const auto batch = batches_.find(item.batch);
  if (batch == batches_.end() || --batch->second.items > 0) return;
  batches_.erase(batch);  // gives the lease back
  pump();
}

void GrinderCore::arm_age_timer() {
  const TimePoint deadline = items_.deadline();
  if (age_timer_ != 0 && deadline != kNever) return;  // the oldest only gets younger: it comes no later than needed
  scheduler_->cancel_timer(std::exchange(age_timer_, 0));
  if (deadline == kNever || deadline <= scheduler_->now()) return;  // overdue ones wait for a batch to end
  age_timer_ = scheduler_->call_at(deadline, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->age_timer_ = 0;
    self->pump();
  });
}

}  // namespace leasepool::detail

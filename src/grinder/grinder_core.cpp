// The life of a grinder and of its items: start, submit, cancel, stop, and the end.
#include "grinder/grinder_core.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/duration_summary.hpp"
#include "lease/text.hpp"

namespace leasepool::detail {

namespace {

GrinderOptions in_force(GrinderOptions options, const ManagerCore& manager) {
  if (options.max_inflight_batches == 0) options.max_inflight_batches = manager.options().max_pools;
  return options;
}

}  // namespace

GrinderCore::GrinderCore(std::shared_ptr<Scheduler> scheduler, const std::shared_ptr<ManagerCore>& manager,
                         GrinderOptions options, std::source_location where)
    : scheduler_(std::move(scheduler)),
      manager_(manager),
      backend_(manager->options().backend),
      options_(in_force(std::move(options), *manager)),
      where_(where),
      items_({.threshold = options_.batch_size_threshold, .max_wait = options_.max_wait, .ageing = options_.ageing}) {}

GrinderCore::~GrinderCore() {
  check(items_.empty() && batches_.empty(), "a grinder is shut down before it is destroyed");
}

void GrinderCore::start(DoneCallback done) {
  start_callbacks_.push_back(std::move(done));
  if (phase_ == Phase::stopping) return;  // when it has stopped
  phase_ = Phase::running;
  call_all(start_callbacks_);
}

void GrinderCore::stop(bool cancel_pending, DoneCallback done) {
  stop_callbacks_.push_back(std::move(done));
  if (phase_ == Phase::stopped) return call_all(stop_callbacks_);
  if (phase_ == Phase::running) begin_stop();
  if (cancel_pending) cancel_everything("stop(true) was called");
  pump();
}

void GrinderCore::begin_stop() {
  phase_ = Phase::stopping;
  while (!without_room_.empty()) {
    auto waiting = std::move(without_room_.extract(without_room_.begin()).mapped());
    const Error error = not_running(*waiting);
    refuse(std::move(waiting), error);
  }
  stop_timer_ =
      scheduler_->call_at(deadline_after(scheduler_->now(), options_.stop_timeout), [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || self->phase_ != Phase::stopping) return;
        self->cancel_everything("stop_timeout = " + in_words(self->options_.stop_timeout) + " had passed after stop()");
        self->pump();
      });
}

void GrinderCore::cancel_everything(const std::string& reason) {
  while (!items_.empty()) {
    for (auto& item : items_.take()) {
      const Error error(Errc::cancelled, describe(*item) + " was cancelled before it ran: " + reason);
      fail_waiting(std::move(item), error);
    }
  }
  const Error error(Errc::cancelled, options_.owner_prefix + ": the item was in flight when " + reason);
  for (auto& [id, batch] : batches_) cancel_batch(batch, error);
}

// Nobody waits for what a thread still runs.
void GrinderCore::cancel_batch(Batch& batch, const Error& error) const {
  LeaseRecord& lease = *batch.lease.record();
  lease.end_queued(error);
  lease.interrupt_running(error);
  lease.give_up_running(error);
}

void GrinderCore::finish_stop_if_empty() {
  if (phase_ != Phase::stopping || !items_.empty() || !batches_.empty()) return;
  phase_ = Phase::stopped;
  scheduler_->cancel_timer(std::exchange(stop_timer_, 0));
  call_all(stop_callbacks_);
  if (start_callbacks_.empty()) return;
  phase_ = Phase::running;
  call_all(start_callbacks_);
}

void GrinderCore::call_all(std::vector<DoneCallback>& callbacks) {
  for (DoneCallback& callback : std::exchange(callbacks, {})) {
    scheduler_->defer([callback = std::move(callback)]() mutable { callback({}); });
  }
}

void GrinderCore::shut_down() noexcept {
  if (std::exchange(shut_down_, true)) return;
  const auto self = shared_from_this();
  if (phase_ == Phase::running) begin_stop();
  cancel_everything("the grinder was destroyed");
  phase_ = Phase::stopped;
  batches_.clear();  // gives the leases back
  while (!requests_.empty()) take_back_request();
  scheduler_->cancel_timer(std::exchange(age_timer_, 0));
  scheduler_->cancel_timer(std::exchange(stop_timer_, 0));
  call_all(start_callbacks_);
  call_all(stop_callbacks_);
}

std::string GrinderCore::describe(const WorkItem& item) const {
  return options_.owner_prefix + ": the item " + std::string(item.function_name()) + " of " +
         quoted_owner(item.state->settings.owner);
}

Error GrinderCore::not_running(const WorkItem& item) const {
  return {Errc::not_started, describe(item) + " cannot be taken: the grinder is not running; await start() first"};
}

Error GrinderCore::no_room(const WorkItem& item) const {
  return {Errc::queue_full, describe(item) + " cannot be taken: max_pending = " + std::to_string(options_.max_pending) +
                                " items wait already; await some first, or use submit_when_room()"};
}

void GrinderCore::submit(std::unique_ptr<WorkItem> item, WithoutRoom without_room) {
  if (phase_ != Phase::running) {
    const Error error = not_running(*item);
    return refuse(std::move(item), error);
  }
  if (options_.max_pending != 0 && (items_.size() >= options_.max_pending || !without_room_.empty())) {
    if (without_room == WithoutRoom::fail) {
      const Error error = no_room(*item);
      return refuse(std::move(item), error);
    }
    item->state->phase = ItemPhase::waiting_for_room;
    item->state->id = ++last_without_room_;
    without_room_.emplace_hint(without_room_.end(), last_without_room_, std::move(item));
    return;
  }
  queue(std::move(item));
  if (items_.size() >= options_.batch_size_threshold || age_timer_ == 0) pump();  // else nothing is due that was not
}

void GrinderCore::queue(std::unique_ptr<WorkItem> item) {
  ItemState& state = *item->state;
  ++totals_.submitted;
  state.phase = ItemPhase::waiting;
  state.submitted = scheduler_->now();
  const int priority = state.settings.priority;
  state.id = items_.add(std::move(item), state.submitted, priority);
}

void GrinderCore::admit_who_waits_for_room() {
  while (!without_room_.empty() && items_.size() < options_.max_pending) {
    queue(std::move(without_room_.extract(without_room_.begin()).mapped()));
  }
}

void GrinderCore::refuse(std::unique_ptr<WorkItem> item, Error error) {
  ++totals_.refused;
  item->state->phase = ItemPhase::ended;
  item->fail(std::move(error));
  deliver(std::move(item));
}

void GrinderCore::deliver(std::unique_ptr<WorkItem> item) const {
  scheduler_->defer([item = std::move(item)] { item->deliver(); });
}

// An item that will not run.
void GrinderCore::fail_waiting(std::unique_ptr<WorkItem> item, const Error& error) {
  error.code() == Errc::cancelled ? ++totals_.cancelled : ++totals_.failed;
  totals_.total.record(scheduler_->now() - item->state->submitted);
  item->state->phase = ItemPhase::ended;
  item->fail(error);
  deliver(std::move(item));
}

void GrinderCore::cancel(ItemState& item) {
  switch (item.phase) {
    case ItemPhase::waiting: {
      auto waiting = items_.remove(item.id, item.settings.priority);
      const Error error(Errc::cancelled, describe(*waiting) + " was cancelled before it ran");
      fail_waiting(std::move(waiting), error);
      return pump();
    }
    case ItemPhase::in_flight: {
      const auto batch = batches_.find(item.batch);
      if (batch == batches_.end() || item.call == 0) return;
      return batch->second.lease.record()->cancel_of_batch(
          item.call, {Errc::cancelled, options_.owner_prefix + ": the item was cancelled while it was in flight"});
    }
    case ItemPhase::waiting_for_room:  // has no Pending
    case ItemPhase::outside:
    case ItemPhase::ended: return;
  }
}

void GrinderCore::leave_room_queue(const ItemState& item) {
  if (item.phase == ItemPhase::waiting_for_room) without_room_.erase(item.id);
}

GrinderStats GrinderCore::stats() const {
  GrinderStats stats{.grinder = options_.owner_prefix,
                     .started = phase_ == Phase::running,
                     .stopping = phase_ == Phase::stopping,
                     .pending = items_.size(),
                     .oldest_wait = items_.empty() ? Duration{} : scheduler_->now() - items_.oldest(),
                     .waiting_for_room = without_room_.size(),
                     .batches_waiting = requests_.size(),
                     .batches_in_flight = batches_.size(),
                     .items_in_flight = totals_.in_flight,
                     .batch_size_threshold = options_.batch_size_threshold,
                     .max_wait = options_.max_wait,
                     .lease_duration = options_.lease_duration,
                     .max_pending = options_.max_pending,
                     .max_inflight_batches = options_.max_inflight_batches,
                     .items_submitted = totals_.submitted,
                     .items_refused = totals_.refused,
                     .items_completed = totals_.completed,
                     .items_failed = totals_.failed,
                     .items_cancelled = totals_.cancelled,
                     .batches_flushed = totals_.flushed_by_size + totals_.flushed_by_age + totals_.flushed_by_stop,
                     .flushed_by_size = totals_.flushed_by_size,
                     .flushed_by_age = totals_.flushed_by_age,
                     .flushed_by_stop = totals_.flushed_by_stop,
                     .batches_without_lease = totals_.without_lease,
                     .batches_split = totals_.split,
                     .batch_sizes = {totals_.batch_sizes.begin(), totals_.batch_sizes.end()},
                     .item_wait = summary_of(totals_.wait.summary),
                     .item_total = summary_of(totals_.total.summary),
                     .item_wait_buckets = totals_.wait.buckets.list(),
                     .item_wait_sum = totals_.wait.buckets.sum(),
                     .item_total_buckets = totals_.total.buckets.list(),
                     .item_total_sum = totals_.total.buckets.sum()};
  std::map<std::string, std::size_t> owners;
  items_.for_each([&](const std::unique_ptr<WorkItem>& item) { ++owners[item->state->settings.owner]; });
  stats.pending_by_owner.assign(owners.begin(), owners.end());
  return stats;
}

}  // namespace leasepool::detail

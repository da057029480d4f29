// The life of a grinder and of its items: start, submit, cancel, stop, and the end.
#include "grinder/grinder_core.hpp"

#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "grinder/item_phase.hpp"
#include "lease/duration_summary.hpp"
#include "lease/text.hpp"
#include "leasepool/detail/access.hpp"

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
      items_({.threshold = options_.batch_size_threshold, .max_wait = options_.max_wait, .ageing = options_.ageing}),
      stop_timer_(*scheduler_) {}

GrinderCore::~GrinderCore() {
  check(items_.empty() && batches_.empty(), "a grinder is shut down before it is destroyed");
  check(requests_.empty() && without_room_.empty(), "nobody waits for a grinder that is destroyed");
}

void GrinderCore::enter(Phase next) noexcept {
  const bool starts = (phase_ == Phase::stopped || phase_ == Phase::stopping) && next == Phase::running;
  const bool stops = phase_ == Phase::running && next == Phase::stopping;
  const bool has_stopped = (phase_ == Phase::stopping || shut_down_) && next == Phase::stopped;
  check(starts || stops || has_stopped, "a grinder runs, stops and has stopped, in this order");
  phase_ = next;
}

void GrinderCore::start(DoneCallback done) {
  auto notice = std::make_unique<Notice<void>>(std::move(done));
  if (phase_ == Phase::stopped) keep_timers();
  start_callbacks_.add(std::move(notice));
  if (phase_ == Phase::stopping) return;  // when it has stopped
  if (phase_ == Phase::stopped) enter(Phase::running);
  start_callbacks_.tell(*scheduler_, {});
}

void GrinderCore::keep_timers() {
  auto age_limit = scheduler_->make_timed_wait([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->pump();
  });
  stop_timer_.keep();
  age_limit_ = std::move(age_limit);
}

void GrinderCore::disarm_timers() noexcept {
  age_limit_.reset();
  stop_timer_.disarm();
}

void GrinderCore::stop(bool cancel_pending, DoneCallback done) {
  stop_callbacks_.add(std::make_unique<Notice<void>>(std::move(done)));
  if (phase_ == Phase::stopped) return stop_callbacks_.tell(*scheduler_, {});
  if (phase_ == Phase::running) begin_stop();
  if (cancel_pending) cancel_everything("stop(true) was called");
  pump();
}

void GrinderCore::begin_stop() {
  enter(Phase::stopping);
  while (!without_room_.empty()) {
    auto waiting = std::move(without_room_.extract(without_room_.begin()).mapped());
    const Error error = not_running(*waiting);
    refuse(std::move(waiting), error);
  }
  stop_timer_.set(deadline_after(scheduler_->now(), options_.stop_timeout), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->stop_timed_out();
  });
}

void GrinderCore::stop_timed_out() {
  stop_timer_.came();
  if (phase_ != Phase::stopping) return;
  std::string reason;
  try {
    reason = "stop_timeout = " + in_words(options_.stop_timeout) + " had passed after stop()";
  } catch (const std::bad_alloc&) {
    reason = "it stopped";  // short enough to need no memory
  }
  cancel_everything(reason);
  pump();
}

void GrinderCore::cancel_everything(std::string_view reason) {
  while (!items_.empty()) {
    auto item = items_.take_first();
    const Error error = Error::make(
        Errc::cancelled, [&] { return describe(*item) + " was cancelled before it ran: " + std::string(reason); });
    fail_waiting(std::move(item), error);
  }
  const Error error = Error::make(
      Errc::cancelled, [&] { return options_.owner_prefix + ": the item was in flight when " + std::string(reason); });
  for (auto& [id, batch] : batches_) cancel_batch(batch, error);
}

// Nobody waits for what a thread still runs.
void GrinderCore::cancel_batch(Batch& batch, const Error& error) const {
  LeaseRecord& lease = *Access::record(batch.lease);
  lease.pool()->abort(error, Ended::are_included);
  lease.give_up_running(error);
}

void GrinderCore::finish_stop_if_empty() {
  if (phase_ != Phase::stopping || !items_.empty() || !batches_.empty()) return;
  check(requests_.empty() && without_room_.empty(), "nobody waits for a grinder that has stopped");
  check(totals_.in_flight == 0, "no item is in flight where no batch is");
  enter(Phase::stopped);
  stop_timer_.unset();
  stop_callbacks_.tell(*scheduler_, {});
  if (start_callbacks_.empty()) return disarm_timers();
  enter(Phase::running);
  start_callbacks_.tell(*scheduler_, {});
}

void GrinderCore::shut_down() noexcept {
  if (std::exchange(shut_down_, true)) return;
  const auto self = shared_from_this();
  if (phase_ == Phase::running) begin_stop();
  cancel_everything("the grinder was destroyed");
  enter(Phase::stopped);
  for (const auto& [id, batch] : batches_) trace_end(batch);
  batches_.clear();  // gives the leases back
  while (!requests_.empty()) withdraw_request();
  disarm_timers();
  start_callbacks_.tell(*scheduler_, {});
  stop_callbacks_.tell(*scheduler_, {});
}

std::string GrinderCore::describe(const WorkItem& item) const {
  return options_.owner_prefix + ": the item " + std::string(item.function_name()) + " of " +
         quoted_owner(item.state->settings.owner);
}

Error GrinderCore::not_running(const WorkItem& item) const noexcept {
  return Error::make(Errc::not_started, [&] {
    return describe(item) + " cannot be taken: the grinder is not running; await start() first";
  });
}

Error GrinderCore::no_room(const WorkItem& item) const noexcept {
  return Error::make(Errc::queue_full, [&] {
    return describe(item) + " cannot be taken: max_pending = " + std::to_string(options_.max_pending) +
           " items wait already; await some first, or use submit_when_room()";
  });
}

void GrinderCore::submit(std::unique_ptr<WorkItem> item, WithoutRoom without_room) {
  if (phase_ != Phase::running) {
    const Error error = not_running(*item);
    return refuse(std::move(item), error);
  }
  if (options_.max_pending != 0 && (items_.size() >= options_.max_pending || !without_room_.empty())) {
    return without_room == WithoutRoom::wait ? wait_for_room(std::move(item)) : refuse_without_room(std::move(item));
  }
  queue(std::move(item));
  if (items_.size() >= options_.batch_size_threshold || !age_limit_->is_armed())
    pump();  // else nothing is due that was not
}

void GrinderCore::refuse_without_room(std::unique_ptr<WorkItem> item) noexcept {
  const Error error = no_room(*item);
  refuse(std::move(item), error);
}

void GrinderCore::wait_for_room(std::unique_ptr<WorkItem> item) noexcept {
  try {
    auto& place = without_room_[last_without_room_ + 1];
    change_phase(*item->state, ItemPhase::waiting_for_room);
    item->state->id = ++last_without_room_;
    place = std::move(item);
  } catch (const std::bad_alloc&) {
    refuse(std::move(item), Error::out_of_memory());
  }
}

void GrinderCore::queue(std::unique_ptr<WorkItem> item) noexcept {
  const std::shared_ptr<ItemState> state = item->state;
  const TimePoint now = scheduler_->now();
  try {
    state->id = items_.add(std::move(item), now, state->settings.priority);
  } catch (const std::bad_alloc&) {
    return refuse(std::move(item), Error::out_of_memory());
  }
  ++totals_.submitted;
  change_phase(*state, ItemPhase::waiting);
  state->submitted = now;
}

void GrinderCore::admit_who_waits_for_room() {
  while (!without_room_.empty() && items_.size() < options_.max_pending) {
    queue(std::move(without_room_.extract(without_room_.begin()).mapped()));
  }
}

void GrinderCore::refuse(std::unique_ptr<WorkItem> item, const Error& error) noexcept {
  change_phase(*item->state, ItemPhase::ended);
  ++totals_.refused;
  item->fail(Access::not_run(error));
  deliver(std::move(item));
}

// An item that will not run.
void GrinderCore::fail_waiting(std::unique_ptr<WorkItem> item, const Error& error) noexcept {
  check(item->state->phase == ItemPhase::waiting, "an item that fails before it runs was waiting");
  change_phase(*item->state, ItemPhase::ended);
  error.code() == Errc::cancelled ? ++totals_.cancelled : ++totals_.failed;
  totals_.total.record(scheduler_->now() - item->state->submitted);
  item->fail(Access::not_run(error));
  deliver(std::move(item));
}

void GrinderCore::cancel(ItemState& item) {
  switch (item.phase) {
    case ItemPhase::waiting: {
      auto waiting = items_.remove(item.id, item.settings.priority);
      const Error error =
          Error::make(Errc::cancelled, [&] { return describe(*waiting) + " was cancelled before it ran"; });
      fail_waiting(std::move(waiting), error);
      return pump();
    }
    case ItemPhase::in_flight: {
      const auto batch = batches_.find(item.batch);
      if (batch == batches_.end() || item.call == 0) return;
      return Access::record(batch->second.lease)
          ->cancel_of_batch(item.call, Error::make(Errc::cancelled, [&] {
                              return options_.owner_prefix + ": the item was cancelled while it was in flight";
                            }));
    }
    case ItemPhase::waiting_for_room:  // has no Pending
    case ItemPhase::outside:
    case ItemPhase::ended: return;
  }
}

void GrinderCore::leave_room_queue(const ItemState& item) {
  if (item.phase != ItemPhase::waiting_for_room) return;
  check(without_room_.erase(item.id) == 1, "an item that waits for room is among those");
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
                     .batch_sizes = {},
                     .item_wait = summary_of(totals_.wait),
                     .item_total = summary_of(totals_.total),
                     .items_put_back = totals_.put_back};
  for (const auto& [size, batches] : totals_.batch_sizes) {
    if (batches != 0) stats.batch_sizes.emplace_back(size, batches);
  }
  std::map<std::string, std::size_t> owners;
  items_.for_each([&](const std::unique_ptr<WorkItem>& item) { ++owners[item->state->settings.owner]; });
  stats.pending_by_owner.assign(owners.begin(), owners.end());
  return stats;
}

void GrinderCore::check_consistency() const noexcept {
  if (shut_down_) return;  // what was in flight ends by itself
  std::size_t in_flight = 0;
  for (const auto& [id, batch] : batches_) {
    check(batch.items > 0 || has_empty_batches_, "a batch ends with its last item");
    in_flight += batch.items;
  }
  check(in_flight == totals_.in_flight, "items in flight are those of batches");
  items_.for_each([](const std::unique_ptr<WorkItem>& item) {
    check(item->state->phase == ItemPhase::waiting, "what is in the queue waits");
  });
  for (const auto& [id, item] : without_room_) {
    check(item->state->phase == ItemPhase::waiting_for_room, "what is kept for want of room waits for it");
    check(item->state->id == id, "what waits for room knows its place");
  }
  check(phase_ != Phase::stopped || (items_.empty() && batches_.empty()), "a grinder that has stopped has no items");
  check(batches_.size() + requests_.size() <= options_.max_inflight_batches, "no more batches than may be");
}

}  // namespace leasepool::detail

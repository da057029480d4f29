// The life of a manager: start, and resize. Its end is in manager_end.cpp.
#include "lease/manager_core.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/options_check.hpp"
#include "lease/text.hpp"
#include "leasepool/detail/keep_result.hpp"

namespace leasepool::detail {

ManagerCore::ManagerCore(std::shared_ptr<Scheduler> scheduler, ManagerOptions options,
                         std::shared_ptr<PoolSource> pools)
    : scheduler_(std::move(scheduler)),
      options_(std::move(options)),
      source_(std::move(pools)),
      call_stats_(std::make_shared<CallStats>()),
      check_timer_(*scheduler_),
      stop_timer_(*scheduler_),
      sink_(std::make_shared<ClosableSink>(options_.log)),
      log_(std::make_shared<LogQueue>(*scheduler_, log_sink(), std::make_shared<LogCounts>())) {
  call_stats_->manager = options_.name_prefix;
  call_stats_->workers_per_pool = options_.workers_per_pool;
  call_stats_->max_queued_calls = options_.max_queued_calls;
}

ManagerCore::~ManagerCore() {
  check(pools_.empty() && retired_.empty(), "a manager is shut down before it is destroyed");
  check(waiters_.empty(), "nobody waits for a manager that is destroyed");
}

void ManagerCore::enter(Phase next) noexcept {
  const bool starts = phase_ == Phase::stopped && next == Phase::starting;
  const bool has_started = phase_ == Phase::starting && next == Phase::running;
  const bool stops = (phase_ == Phase::starting || phase_ == Phase::running) && next == Phase::stopping;
  const bool has_stopped = (phase_ == Phase::stopping || shut_down_) && next == Phase::stopped;
  check(starts || has_started || stops || has_stopped, "a manager starts, runs and stops, in this order");
  check(!shut_down_ || has_stopped, "a manager that was shut down does nothing more");
  phase_ = next;
}

void ManagerCore::start(DoneCallback done) {
  auto notice = std::make_unique<Notice<void>>(std::move(done));
  if (running()) {
    notice->set({});
    return scheduler_->defer(std::move(notice));
  }
  if (phase_ == Phase::stopped) keep_timers();
  start_callbacks_.add(std::move(notice));
  if (phase_ == Phase::stopped) begin_start();  // else it starts already, or will when it has stopped
}

void ManagerCore::keep_timers() {
  try {
    check_timer_.keep();
    stop_timer_.keep();
  } catch (const std::bad_alloc&) {
    check_timer_.disarm();
    throw;
  }
}

void ManagerCore::begin_start() {
  enter(Phase::starting);
  try {
    if (const Result<void> opened = open_trace(); !opened) return start_failed(opened.error());
    source_->set_log([weak = weak_from_this()](LogLevel level, const std::string& text) {
      const auto self = weak.lock();
      if (self && !self->shut_down_) self->log(level, [&] { return text; });
    });
    source_->set_none_free([weak = weak_from_this()](std::size_t coming) {
      const auto self = weak.lock();
      if (self && !self->shut_down_ && self->running()) self->none_free(coming);
    });
    const bool is_open = source_->open([weak = weak_from_this()](const Result<void>& result) {
      const auto self = weak.lock();
      if (self && !self->shut_down_ && self->phase_ == Phase::starting) self->source_opened(result);
    });
    if (is_open) source_opened({});
  } catch (const std::bad_alloc&) {
    start_failed(Error::out_of_memory());
  }
}

// Pools of others are waited for by who wants a lease, not by the start.
void ManagerCore::source_opened(const Result<void>& result) {
  if (!result) return start_failed(result.error());
  if (source_->borrows()) {
    start_finished();
    return resize();
  }
  target_ = target();
  while (phase_ == Phase::starting && pools_.size() < target_ && add_pool()) {
  }
}

// False if there was no memory; that is reported as if the pool did.
bool ManagerCore::add_pool() {
  try {
    if (idle_.capacity() <= pools_.size()) idle_.reserve(2 * pools_.size() + 1);
    std::list<PoolSlot> made;
    const auto slot = made.emplace(made.end(), PoolSlot{});
    slot->place = slot;
    const std::string name = options_.name_prefix + "-" + std::to_string(++pools_made_);
    if (call_stats_->trace) slot->trace_row = call_stats_->trace->add_group(name);
    slot->pool = make_named_pool(name, slot);
    slot->pool->keep(call_stats_);
    slot->closed = [weak = weak_from_this(), slot] {
      const auto self = weak.lock();
      if (self && !self->shut_down_) self->pool_closed(slot);
    };
    pools_.splice(pools_.end(), made);
    start_pool(slot);
    return true;
  } catch (const std::bad_alloc&) {
    const Error error = Error::out_of_memory();
    phase_ == Phase::starting ? start_failed(error) : pool_failed_to_start(error);
    return false;
  }
}

std::shared_ptr<Pool> ManagerCore::make_named_pool(const std::string& name, Slot slot) {
  return source_->make_pool(
      {.name = name,
       .workers = options_.workers_per_pool,
       .max_payload = options_.max_payload,
       .spin = options_.spin,
       .shared_memory = options_.shared_memory,
       .worker_start_timeout = options_.worker_start_timeout,
       .max_calls_per_worker = options_.max_calls_per_worker,
       .worker_reuse = options_.worker_reuse,
       .spare_workers = spare_workers(options_),
       .max_worker_age = options_.max_worker_age,
       .max_worker_rss = options_.max_worker_rss,
       .limits = options_.worker_limits,
       .initializer = options_.initializer,
       .worker_cgroup = options_.worker_cgroup,
       .sandbox = options_.sandbox,
       .log = log_sink(),
       .totals = pool_totals_,
       .decode_limits = {.most_bytes = most_decoded(options_), .most_time = options_.decode_timeout},
       .decode_thread_threshold = options_.decode_thread_threshold,
       .lost =
           [weak = weak_from_this(), slot](const Error& why) {
             const auto self = weak.lock();
             if (self && !self->shut_down_) self->pool_lost(slot, why);
           },
       .trace = call_stats_->trace,
       .trace_row = slot->trace_row});
}

void ManagerCore::start_pool(Slot slot) {
  try {
    slot->pool->start([weak = weak_from_this(), slot](const Result<void>& result) {
      const auto self = weak.lock();
      if (self && !self->shut_down_) self->pool_started(slot, result);
    });
  } catch (const std::bad_alloc&) {
    slot->pool->close_now(scheduler_->now());
    pools_.erase(slot);
    throw;
  }
}

// Its slot is there: it goes when the pool has closed, and what has closed reports no start.
void ManagerCore::pool_started(Slot slot, const Result<void>& result) {
  if (slot->phase == PoolPhase::leaving) return;  // it was retired meanwhile
  check(slot->phase == PoolPhase::starting, "a pool starts once");
  if (!result) {
    pools_.erase(slot);
    return phase_ == Phase::starting ? start_failed(result.error()) : pool_failed_to_start(result.error());
  }
  make_idle(slot);
  if (phase_ == Phase::starting) {
    if (starting_pools() == 0) start_finished();
  } else {
    serve_waiters();
    retire_surplus();
  }
}

// It is replaced at once, whatever the holder of its lease does.
void ManagerCore::pool_lost(Slot slot, const Error& why) {
  if (slot->phase == PoolPhase::leaving) return;
  log(LogLevel::warning, [&] { return "a pool was lost: " + why.message(); });
  if (const auto lease = slot->lease) {
    scheduler_->cancel_timer(std::exchange(lease->expiry_timer, 0));
    lease->lose(why);
  }
  retire(slot);
  resize_soon();
}

// Those that are neither idle nor lent.
std::size_t ManagerCore::starting_pools() const noexcept {
  check(idle_.size() + leased_ <= pools_.size(), "what is idle or lent are pools in service");
  return pools_.size() - idle_.size() - leased_;
}

void ManagerCore::start_finished() {
  enter(Phase::running);
  arm_check_timer();
  start_callbacks_.tell(*scheduler_, {});
}

// Told when nothing is left of what the start had made.
void ManagerCore::start_failed(const Error& error) {
  start_error_ = error;
  failed_starts_.take_all(start_callbacks_);
  begin_stop();
}

// A pool that was wanted while running. Waiters go on waiting as long as there is another pool to wait for.
void ManagerCore::pool_failed_to_start(const Error& error) {
  log(LogLevel::warning, [&] { return "a pool cannot be started: " + error.message(); });
  const bool is_ours = errc_of(error.code()) != Errc{};
  const Error reason = is_ours ? Error::make(Errc::pool_broken, [&] { return error.message(); }) : error;
  if (pools_.empty()) {
    fail_waiters(reason);
  } else {
    const std::size_t coming = starting_pools();
    std::size_t position = waiters_.size();
    for (auto waiter = waiters_.all().end(); position > coming; --position) {  // the last to come lose first
      const auto last = std::prev(waiter);
      if (last->second.request.wait) {
        waiter = last;
      } else {
        refuse_waiting(waiters_.remove(last->first), reason);
      }
    }
  }
  arm_check_timer();  // tries again
}

std::size_t ManagerCore::target() {
  std::size_t units = 0;
  if (options_.size_provider) {
    try {
      units = options_.size_provider();
    } catch (...) {
      if (!std::exchange(size_provider_failed_, true)) {
        log(LogLevel::warning, [] {
          return "size_provider threw and counts as 0 from now on whenever it does: " + describe_current_exception();
        });
      }
    }
  }
  const std::size_t wanted = units / options_.units_per_pool + (units % options_.units_per_pool != 0 ? 1 : 0);
  return std::min(options_.max_pools, std::max(options_.min_pools, wanted));
}

void ManagerCore::notify_scale_changed() {
  scheduler_->post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->running()) self->resize();
  });
}

void ManagerCore::resize() {
  target_ = target();
  if (!running()) return;  // the size_provider stopped it
  retire_surplus();
  fill();
  arm_check_timer();
}

// Up to the target, and for who waits.
void ManagerCore::fill() {
  while (pools_.size() < target_ && add_pool()) {
  }
  add_pools_for_waiters();
}

// In this turn, but behind what is delivered in it: making workers takes a while, and callers are to hear of a deadline
// at once.
void ManagerCore::resize_soon() noexcept {
  if (auto queued = resizes_.to_queue(shared_from_this())) scheduler_->defer(std::move(queued));
}

void ManagerCore::resize_now() {
  if (running()) resize();
}

void ManagerCore::retire_surplus() {
  while (pools_.size() > target_ && !idle_.empty()) retire(idle_.front());
  withdraw_surplus();
}

// Pools of others that nobody waits for any more are not sought any more, the last ones first.
void ManagerCore::withdraw_surplus() noexcept {
  if (!source_->borrows()) return;
  std::size_t surplus = starting_pools() - std::min(starting_pools(), waiters_.size());
  for (auto slot = pools_.end(); surplus > 0 && pools_.size() > target_ && slot != pools_.begin();) {
    --slot;
    if (slot->phase != PoolPhase::starting) continue;
    --surplus;
    retire(slot++);
  }
}

// Without a size_provider nothing changes by itself, but for a pool that could not be made: for the target, or for who
// waits.
void ManagerCore::arm_check_timer() {
  const bool waiter_lacks_pool = pools_.size() < options_.max_pools && waiters_.size() > starting_pools();
  if (!options_.size_provider && pools_.size() >= target_ && !waiter_lacks_pool) return check_timer_.unset();
  check_timer_.set(deadline_after(scheduler_->now(), options_.check_interval), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->check_timer_.came();
    if (self->running()) self->resize();
  });
}

// The pool is not lent any more.
void ManagerCore::end_lending(PoolSlot& slot) noexcept {
  if (!slot.lease) return;
  check(slot.phase == PoolPhase::lent, "a pool that has a lease is lent");
  check(slot.lease->slot == &slot, "a lease knows its pool's place");
  check(leased_ > 0, "pools that are lent are counted");
  slot.lease->slot = nullptr;
  if (call_stats_->trace) trace_lease_end(*slot.lease);
  --leased_;
}

// It was started, or came back, and is the next to be lent.
void ManagerCore::make_idle(Slot slot) noexcept {
  slot->enter(PoolPhase::idle);
  check(slot->lease == nullptr, "a pool that is idle has no lease");
  check(idle_.size() < idle_.capacity(), "there is room for each pool to be idle");
  idle_.push_back(slot);
}

void ManagerCore::retire(Slot slot) {
  std::erase(idle_, slot);
  end_lending(*slot);
  slot->enter(PoolPhase::leaving);
  check(slot->closed != nullptr, "a pool is closed once");
  retired_.splice(retired_.end(), pools_, slot);
  slot->pool->close(std::move(slot->closed));
}

void ManagerCore::pool_closed(Slot slot) {
  check(slot->phase == PoolPhase::leaving, "a pool that closes was retired");
  retired_.erase(slot);
  finish_stop_if_empty();
}

void ManagerCore::check_consistency() const noexcept {
  std::size_t idle = 0;
  std::size_t lent = 0;
  for (const PoolSlot& slot : pools_) {
    idle += slot.phase == PoolPhase::idle ? 1 : 0;
    lent += slot.phase == PoolPhase::lent ? 1 : 0;
    check(slot.phase != PoolPhase::leaving, "a pool that leaves is not in service");
    check((slot.phase == PoolPhase::lent) == (slot.lease != nullptr), "a pool that is lent has a lease, and no other");
    check(!slot.lease || slot.lease->slot == &slot, "a lease knows its pool's place");
    check(!slot.lease || slot.lease->pool() == slot.pool, "a lease has the pool that was lent to it");
  }
  for (const PoolSlot& slot : retired_) {
    check(slot.phase == PoolPhase::leaving, "a pool that is not in service leaves");
    check(!slot.lease || slot.lease->slot == nullptr, "a pool that leaves is not lent");
  }
  for (const Slot& slot : idle_) check(slot->phase == PoolPhase::idle, "what is kept for the next lease is idle");
  check(idle == idle_.size(), "each idle pool is kept once");
  check(lent == leased_, "pools that are lent are counted");
  check(running() || waiters_.empty(), "who waits, waits for a manager that runs");
  check(waiters_.empty() || idle_.empty(), "nobody waits while a pool is idle");
}

}  // namespace leasepool::detail

// Every way a manager ends: stopped, with time for what runs, or shut down at once.
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "lease/manager_core.hpp"
#include "lease/text.hpp"

namespace leasepool::detail {

void ManagerCore::stop(DoneCallback done) {
  auto notice = std::make_unique<Notice<void>>(std::move(done));
  if (phase_ == Phase::stopped) {
    notice->set({});
    return scheduler_->defer(std::move(notice));
  }
  stop_callbacks_.add(std::move(notice));
  if (phase_ == Phase::running) return begin_stop();
  if (phase_ == Phase::stopping) return;
  start_failed(Error::make(Errc::cancelled, [&] { return options_.name_prefix + " was stopped while it started"; }));
}

void ManagerCore::begin_stop() {
  enter(Phase::stopping);
  check_timer_.unset();
  fail_waiters(Error::make(Errc::not_started, [] { return std::string("the manager was stopped"); }));
  idle_.clear();
  while (!pools_.empty()) {
    const auto slot = pools_.begin();
    if (slot->lease) orphan(*slot->lease);
    retire(slot);
  }
  check(leased_ == 0, "a manager that stops has lent nothing");
  stop_timer_.set(deadline_after(scheduler_->now(), options_.stop_timeout), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->stop_timed_out();
  });
  finish_stop_if_empty();
}

// Takes a lease from its holder: what waits is cancelled, what runs may end.
void ManagerCore::orphan(LeaseRecord& record) {
  scheduler_->cancel_timer(std::exchange(record.expiry_timer, 0));
  record.enter(LeaseState::orphaned);
  record.pool()->drain(Error::make(Errc::cancelled, [&] {
    return record.description() + ": the call had not begun when the manager was stopped or destroyed";
  }));
}

void ManagerCore::stop_timed_out() {
  stop_timer_.came();
  for (auto retired = retired_.begin(); retired != retired_.end();) {
    const std::shared_ptr<Pool> pool = retired->pool;
    const std::shared_ptr<LeaseRecord> lease = (retired++)->lease;
    if (lease) {
      const Error error = Error::make(Errc::cancelled, [&] {
        return lease->description() + ": the call still ran when stop_timeout = " + in_words(options_.stop_timeout) +
               " had passed after stop()";
      });
      pool->abort(error, Ended::are_included);
      lease->give_up_running(error);
      log_abandoned(*lease, "stop");
    }
    pool->kill();
  }
}

LogSink ManagerCore::log_sink() const {
  return [sink = sink_](const LogRecord& record) { sink->write(record); };
}

// Threads cannot be killed: it names what they go on running.
void ManagerCore::log_abandoned(const LeaseRecord& lease, const char* by) noexcept {
  if (options_.backend != ExecutorBackend::thread || !lease.runs_something()) return;
  log(LogLevel::warning, [&] {
    return std::string(by) + " abandons threads that still run " + lease.names_of_running() + " for " +
           lease.description() + "; they end when the functions return";
  });
}

void ManagerCore::finish_stop_if_empty() {
  if (phase_ != Phase::stopping || !retired_.empty()) return;
  enter(Phase::stopped);
  source_->close();
  if (const auto error = std::exchange(start_error_, std::nullopt)) {
    failed_starts_.tell(*scheduler_, std::unexpected(*error));
  }
  stop_callbacks_.tell(*scheduler_, {});
  stop_timer_.unset();
  if (!start_callbacks_.empty()) return begin_start();  // asked for while it stopped
  stop_timer_.disarm();
  check_timer_.disarm();
}

void ManagerCore::shut_down() noexcept {
  const auto self = shared_from_this();
  shut_down_ = true;
  enter(Phase::stopped);
  check_timer_.disarm();
  stop_timer_.disarm();
  fail_waiters(Error::make(Errc::not_started, [] { return std::string("the manager was destroyed"); }));
  const Result<void> gone = std::unexpected(
      Error::make(Errc::cancelled, [&] { return options_.name_prefix + " was destroyed before it had started"; }));
  start_callbacks_.tell(*scheduler_, gone);
  failed_starts_.tell(*scheduler_, gone);
  stop_callbacks_.tell(*scheduler_, {});

  for (PoolSlot& slot : pools_) {
    // All of them drain first, as the loop goes on for one while another closes.
    slot.lease ? orphan(*slot.lease) : slot.pool->drain(closed_before_begun(options_.name_prefix));
    end_lending(slot);
    slot.enter(PoolPhase::leaving);
  }
  check(leased_ == 0, "a manager that is shut down has lent nothing");
  idle_.clear();
  retired_.splice(retired_.end(), pools_);
  const TimePoint deadline = deadline_after(scheduler_->now(), options_.stop_timeout);
  for (const PoolSlot& retired : std::exchange(retired_, {})) {
    if (!retired.lease) {
      retired.pool->close_now(deadline);
      continue;
    }
    const Error cancelled = Error::make(Errc::cancelled, [&] {
      return retired.lease->description() + ": the call was running when the manager was destroyed";
    });
    retired.lease->forget_observer();
    retired.pool->abort(cancelled, Ended::are_included);
    retired.pool->close_now(deadline);
    log_abandoned(*retired.lease, "the manager's destructor");
    // Calls that ended meanwhile come with the next turn, and before this: who is left then has not.
    if (!retired.lease->idle()) retired.lease->give_up_soon(cancelled);
  }
  source_->close();
  if (call_stats_->trace) call_stats_->trace->close();
  log_->deliver();
  sink_->close();  // what it has may be gone when the next turn comes
}

}  // namespace leasepool::detail

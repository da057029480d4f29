// Every way a process pool ends: drained, closed, killed, or at once.
#include <memory>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "processes/process_pool.hpp"

namespace leasepool::detail {

namespace {

// How long a stop and a destructor wait for processes that they have killed.
constexpr Duration kKillPatience = std::chrono::seconds(5);

// How long a destructor waits for what the fork server has to say of dead workers, and of those that it was to make.
// One that is stopped says nothing.
constexpr Duration kWordPatience = std::chrono::seconds(1);

// The same for the result that is being decoded, and that nobody waits for: unless code of the user's goes on.
constexpr Duration kAbandonPatience = std::chrono::seconds(1);

}  // namespace

void ProcessPool::drain(const Error& error) noexcept {
  closing_ = true;
  ready_.reset();
  dispatcher_->refuse(error);
}

void ProcessPool::close(std::move_only_function<void()> closed) noexcept {
  check(!std::exchange(close_asked_, true), "a pool is closed once");
  closed_ = std::move(closed);
  drain(closed_before_begun(options_.name));
  for_each_worker([this](Worker& worker) {
    if (!worker.came_up()) {
      worker.kill();
    } else if (worker.idle() && !worker.dying()) {
      retire(worker);
      worker.close_idle();
    }
  });
  finish_if_empty();
}

void ProcessPool::finish_if_empty() noexcept {
  if (!closing_ || !workers_.empty() || !decodings_.empty()) return;
  if (start_failure_ && ready_) {
    release_all();
    ready_->set(std::unexpected(std::move(*start_failure_)));
    loop_.defer(std::move(ready_));
  } else if (closed_) {
    release_all();
    if (auto queued = reports_close_.to_queue(shared_from_this())) loop_.defer(std::move(queued));
  }
}

void ProcessPool::kill() {
  kill_workers();
  forget_unanswered();
  if (workers_.empty() || kill_patience_.is_set()) return;
  kill_patience_.set(deadline_after(loop_.now(), kKillPatience),
                     [self = shared_from_this()] { self->abandon_unkillable(); });
}

// Who alone may kill them is stopped, or they hang in the kernel: they end when that goes on, for their connection is
// closed then.
void ProcessPool::abandon_unkillable() {
  kill_patience_.came();
  for_each_worker([this](Worker& worker) {
    log(LogLevel::warning, [&] {
      return options_.name + ": worker process " + std::to_string(worker.pid()) + " is not dead yet, " +
             in_milliseconds(kKillPatience) + " after it was killed; it is waited for no longer";
    });
    worker.forget();
  });
}

void ProcessPool::kill_workers() noexcept {
  for (const auto& worker : workers_) {
    if (!worker->dying()) retire(*worker);
    worker->kill();
  }
}

// Workers that the fork server has said nothing of. Should it still make them, they find their channel closed.
void ProcessPool::forget_unanswered() {
  for_each_worker([](Worker& worker) {
    if (worker.pidfd() < 0) worker.forget();
  });
}

void ProcessPool::close_now(TimePoint /*deadline*/) noexcept {
  const auto self = shared_from_this();
  drain(closed_before_begun(options_.name));
  closed_ = {};
  kill_workers();
  end_decodings(
      Error::make(Errc::cancelled, [&] { return options_.name + " closed before the call's result was decoded"; }));
  for_each_worker([](Worker& worker) { worker.redeliver(); });  // its end
  const auto none_left = [this] { return workers_.empty(); };
  const TimePoint killed_at = loop_.now();
  if (!loop_.run_completions_until(none_left, deadline_after(killed_at, kWordPatience))) {
    forget_unanswered();
    for_each_worker([](Worker& worker) { worker.forget_exit_status(); });
    (void)loop_.run_completions_until(none_left, deadline_after(killed_at, kKillPatience));
  }
  if (decoding_thread_) decoding_thread_->wait_for_task(kAbandonPatience);
  release_all();
  log_->deliver();  // what its user has may be gone when the next turn comes
}

void ProcessPool::release_all() noexcept {
  for (const auto& worker : workers_) worker->detach();
  options_.totals->spare_workers -= spares_.size();
  spares_.clear();
  dispatcher_->close();  // before the workers that it knows
  workers_.clear();
  for (const auto& [id, timer] : start_timers_) loop_.cancel_timer(timer);
  start_timers_.clear();
  backoff_.disarm();
  next_turn_.disarm();
  kill_patience_.disarm();
  if (spawner_) spawner_->detach();
  spawner_.reset();
  decoding_thread_.reset();
}

}  // namespace leasepool::detail

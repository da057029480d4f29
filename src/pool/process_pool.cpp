// Dispatching jobs to workers, replacing the dead, and every way a process pool ends.
#include "pool/process_pool.hpp"

#include <algorithm>
#include <atomic>
#include <ranges>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "pool/symbols.hpp"
#include "pool/worker_cgroup.hpp"

namespace leasepool::detail {

namespace {

// Workers that do not come up are tried again after 10 ms, 20 ms, 40 ms ... and after this many the pool is broken.
constexpr std::size_t kMostFailedStarts = 6;
constexpr Duration kFirstBackoff = std::chrono::milliseconds(10);

// So many workers may die in calls in a row, or four times as many as there are, before the same holds of them.
constexpr std::size_t kToleratedDeaths = 16;

// How long a destructor waits for processes that it has killed.
constexpr Duration kKillPatience = std::chrono::seconds(5);

std::uint64_t next_worker_id() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

// What an exception says; of our own without what std::system_error appends.
std::string message_of(const std::exception& exception) {
  const std::string what = exception.what();
  const auto* const error = dynamic_cast<const LeasePoolError*>(&exception);
  return error == nullptr ? what : what.substr(0, what.size() - error->code().message().size() - 2);
}

}  // namespace

ProcessPool::ProcessPool(LoopCore& loop, PoolOptions options)
    : loop_(loop),
      options_(std::move(options)),
      log_(std::make_shared<LogQueue>(loop, options_.log, options_.totals->log)) {}

ProcessPool::~ProcessPool() { check(workers_.empty() && !spawner_, "a process pool is closed before it is destroyed"); }

void ProcessPool::start(std::move_only_function<void(Result<void>)> ready) {
  check(!spawner_, "a process pool starts once");
  ready_ = [self = shared_from_this(), ready = std::move(ready)](Result<void> result) mutable {
    ready(std::move(result));
  };
  try {
    if (!options_.worker_cgroup.empty()) cgroup_ = open_delegated_cgroup(options_.worker_cgroup);
    spawner_ = std::make_shared<Spawner>(loop_, *this);
    spawner_->open();
  } catch (const LeasePoolError& error) {
    return start_failed({static_cast<Errc>(error.code().value()), options_.name + ": " + message_of(error)});
  } catch (const std::exception& error) {
    return start_failed({Errc::pool_broken, options_.name + ": no connection to the fork server: " + error.what()});
  }
  spawn_missing_workers();
}

// Reported when nothing is left.
void ProcessPool::start_failed(Error error) {
  if (closing_) return;
  closing_ = true;
  start_failure_ = std::move(error);
  kill_workers();
  finish_if_empty();
}

void ProcessPool::spawn_missing_workers() {
  if (!closing_ && !broken_ && backoff_ == 0 && spawner_ && !spawner_->connected()) connect_again();
  while (!closing_ && !broken_ && backoff_ == 0 && spawner_ && live_ < options_.workers) spawn_worker();
}

void ProcessPool::spawn_worker() {
  auto worker = std::make_shared<Worker>(loop_, *this, next_worker_id(), options_, run_times_);
  try {
    SpawnRequest request = worker->prepare(cgroup_);
    request.name = options_.name;
    spawner_->spawn(std::move(request));
  } catch (const std::system_error& error) {
    worker->let_go();
    return worker_failed_to_start(std::string(error.what()) + " (raise ulimit -n if descriptors are short)");
  }
  ++live_;
  workers_.push_back(worker);
  start_timers_[worker->id()] =
      loop_.call_at(deadline_after(loop_.now(), options_.worker_start_timeout), [this, id = worker->id()] {
        start_timers_.erase(id);
        start_took_too_long(id);
      });
}

void ProcessPool::start_took_too_long(std::uint64_t worker_id) {
  const auto worker = find(worker_id);
  if (!worker || worker->ready() || worker->dying()) return;
  retire(*worker);
  worker->kill();
  worker_failed_to_start("a worker was not ready within worker_start_timeout = " +
                         in_milliseconds(options_.worker_start_timeout));
  if (closing_) forget_unanswered();  // so that a start ends that has failed because the fork server is stopped
}

void ProcessPool::worker_failed_to_start(const std::string& reason, Errc code) {
  if (closing_) return;
  if (ready_) return start_failed({code, options_.name + ": a worker cannot be started: " + reason});
  if (backoff_ != 0) return;  // one try, for however many workers
  if (++failed_starts_ >= kMostFailedStarts) return cannot_replace_workers(reason);
  back_off(failed_starts_);
}

void ProcessPool::back_off(std::size_t tries) {
  backoff_ = loop_.call_at(deadline_after(loop_.now(), kFirstBackoff * (1 << (tries - 1))), [this] {
    backoff_ = 0;
    spawn_missing_workers();
  });
}

void ProcessPool::cannot_replace_workers(const std::string& reason) {
  break_pool("workers cannot be replaced after " + std::to_string(failed_starts_) +
             " tries; the last failure: " + reason);
}

// Of workers that die in calls, one after the other, with no call in between that came to its end: the next ones wait,
// and after the last the pool is broken.
std::size_t ProcessPool::deaths_too_many() const noexcept {
  const std::size_t tolerated = std::max(kToleratedDeaths, 4 * options_.workers);
  return deaths_in_calls_ > tolerated ? deaths_in_calls_ - tolerated : 0;
}

void ProcessPool::break_pool(const std::string& why) {
  if (broken_) return;
  broken_ = options_.name + ": " + why;
  log(LogLevel::error, *broken_);
  while (!queue_.empty()) end_at_lease(queue_.pop_front(), {Errc::pool_broken, *broken_});
}

void ProcessPool::note_stack(const Job& job) {
  Worker* const worker = holder_of(job);
  if (worker == nullptr || worker->job() != &job) return;
  worker->note_stack();
  read_symbols_ahead();
}

// Nobody waits for what it runs any more.
void ProcessPool::kill_for_nothing_wanted(Worker& worker) {
  if (!worker.dying()) {
    retire(worker);
    deaths_.push_back(loop_.now());
  }
  worker.kill();
  ++options_.totals->workers_killed;
}

// Takes a worker out of those that can be used.
void ProcessPool::retire(Worker& worker) {
  --live_;
  std::erase(idle_, &worker);
  if (last_used_ == &worker) last_used_ = nullptr;
  cancel_start_timer(worker.id());
}

void ProcessPool::cancel_start_timer(std::uint64_t worker_id) {
  const auto timer = start_timers_.find(worker_id);
  if (timer == start_timers_.end()) return;
  loop_.cancel_timer(timer->second);
  start_timers_.erase(timer);
}

void ProcessPool::worker_ready(Worker& worker) {
  ++options_.totals->workers_started;
  options_.totals->sandbox = worker.sandbox();
  options_.totals->kill_scope = worker.kill_scope();
  options_.totals->memory_bound = worker.memory_bound();
  failed_starts_ = 0;
  lost_servers_ = 0;
  cancel_start_timer(worker.id());
  if (!deaths_.empty()) {
    options_.totals->last_replacement_time = loop_.now() - deaths_.front();
    deaths_.pop_front();
  }
  if (closing_) return worker.dismiss();
  no_room_ahead_ = false;
  idle_.push_back(&worker);
  if (ready_ && idle_.size() == options_.workers) {
    loop_.defer([self = shared_from_this(), ready = std::exchange(ready_, {})]() mutable {
      if (!self->closing_) ready({});
    });
  }
  dispatch();
}

void ProcessPool::worker_finished(Worker& worker, std::unique_ptr<Job> job) {
  deaths_in_calls_ = 0;
  no_room_ahead_ = false;
  if (!worker.idle() && worker.has_served()) take_back_from(worker);
  if (!worker.idle() && !worker.has_jobs()) {
    kill_for_nothing_wanted(worker);
    spawn_missing_workers();
  } else if (!worker.idle()) {
    Job* const next = worker.job();
    if (next != nullptr && next->booking.started.load(std::memory_order_relaxed) == TimePoint{})
      note_start(*next, worker.busy_since());
  } else if (closing_) {
    retire(worker);
    worker.dismiss();
  } else if (is_due_for_recycling(worker)) {
    recycle(worker);
  } else if (!worker.dying()) {
    idle_.push_back(&worker);
    if (idle_.size() == live_ && queue_.empty()) nothing_waits();
  }
  if (job) end_at_lease(std::move(job));
  if (!closing_) dispatch();
}

// One at a time, so that a pool whose workers started together does not lose them together.
bool ProcessPool::is_due_for_recycling(const Worker& worker) const noexcept {
  return worker.has_served() && !worker.dying() && live_ == options_.workers &&
         std::ranges::all_of(workers_, [](const auto& other) { return other->dying() || other->ready(); });
}

void ProcessPool::recycle(Worker& worker) {
  ++options_.totals->workers_recycled;
  retire(worker);
  worker.dismiss();
  spawn_missing_workers();
}

void ProcessPool::worker_dying(Worker& worker) {
  retire(worker);
  take_back_from(worker);
  if (closing_ || !worker.ready()) return;  // one that did not come up is replaced when it has been counted as such
  ++options_.totals->workers_crashed;
  deaths_.push_back(loop_.now());
  const Job* const job = worker.job();
  if (job != nullptr && worker.had_begun(*job)) ++deaths_in_calls_;
  if (const std::size_t tries = deaths_too_many(); tries > 0 && tries < kMostFailedStarts && backoff_ == 0) {
    back_off(tries);
  }
  spawn_missing_workers();
}

void ProcessPool::worker_gone(Worker& worker, std::unique_ptr<Job> job) {
  const auto place = std::ranges::find_if(workers_, [&](const auto& known) { return known.get() == &worker; });
  const std::shared_ptr<Worker> gone = std::move(*place);
  workers_.erase(place);
  if (!gone->killed_by_us() && !closing_) {
    if (!gone->ready()) {
      worker_failed_to_start(gone->describe_end(), gone->failure_code());
    } else if (!job) {
      log(LogLevel::warning, options_.name + ": idle " + gone->describe_end());
    } else if (!gone->had_begun(*job)) {
      log(LogLevel::warning, options_.name + ": " + gone->describe_end() + "; what it had not begun goes to another");
    }
  }
  if (job && deaths_too_many() >= kMostFailedStarts) {
    break_pool(std::to_string(deaths_in_calls_) +
               " workers in a row died in calls, and no call came to its end in between; the last: " +
               gone->describe_end() + " while running " + std::string(job->function_name()));
  }
  take_back_from(*gone);
  if (job) requeue_or_fail(*gone, std::move(job));
  for (auto& other : gone->take_jobs()) requeue_or_fail(*gone, std::move(other));
  dispatch();
  spawn_missing_workers();
  finish_if_empty();
}

std::shared_ptr<Worker> ProcessPool::find(std::uint64_t worker_id) const {
  const auto found = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->id() == worker_id; });
  return found == workers_.end() ? nullptr : *found;
}

void ProcessPool::worker_spawned(std::uint64_t worker_id, SpawnedProcess process) {
  if (const auto worker = find(worker_id)) worker->spawned(std::move(process));
}

void ProcessPool::worker_not_spawned(std::uint64_t worker_id, const std::string& reason) {
  if (const auto worker = find(worker_id)) worker->not_spawned(reason);
}

void ProcessPool::worker_exited(std::uint64_t worker_id, int wait_status, const ResourceUse& use) {
  if (const auto worker = find(worker_id)) worker->exited(wait_status, use);
}

void ProcessPool::fork_server_lost(const std::unordered_set<std::uint64_t>& unanswered) {
  const auto workers = workers_;  // those that are dead already go while we look at them
  if (!unanswered.empty() && ++lost_servers_ > kMostFailedStarts) {
    no_server_left("fork servers die as soon as they are asked for a worker");
  } else {
    connect_again();
  }
  for (const auto& worker : workers) {
    unanswered.contains(worker->id()) ? give_up(*worker) : worker->forget_exit_status();
  }
  spawn_missing_workers();
}

// To a server that lives, which is told of all workers. What only lacks descriptors is tried again.
void ProcessPool::connect_again() {
  try {
    spawner_->open();
  } catch (const LeasePoolError& error) {
    return no_server_left(message_of(error));
  } catch (const std::system_error& error) {
    return worker_failed_to_start(std::string("no connection to the fork server: ") + error.what() +
                                  " (raise ulimit -n if descriptors are short)");
  }
  for (const auto& worker : workers_) {
    if (worker->pidfd() >= 0) spawner_->adopt(worker->pid(), worker->pidfd(), worker->share_cgroup());
  }
}

void ProcessPool::no_server_left(const std::string& reason) {
  failed_starts_ = kMostFailedStarts;
  ready_ ? start_failed({Errc::pool_broken, options_.name + ": " + reason}) : cannot_replace_workers(reason);
}

// One that does not come. Not a failed start: another is asked for.
void ProcessPool::give_up(Worker& worker) {
  if (!worker.dying()) retire(worker);
  worker.kill();
  worker.forget();
}

void ProcessPool::close(std::move_only_function<void()> closed) {
  check(!std::exchange(close_asked_, true), "a pool is closed once");
  closed_ = [self = shared_from_this(), closed = std::move(closed)]() mutable { closed(); };
  closing_ = true;
  ready_ = {};
  for (const auto& worker : workers_) {
    if (!worker->ready()) worker->kill();
  }
  for (Worker* const worker : std::exchange(idle_, {})) {
    --live_;
    worker->dismiss();
  }
  finish_if_empty();
}

void ProcessPool::finish_if_empty() {
  if (!closing_ || !workers_.empty()) return;
  if (start_failure_ && ready_) {
    let_go_of_everything();
    loop_.defer([this, ready = std::exchange(ready_, {}), error = std::move(*start_failure_)]() mutable {
      if (!close_asked_) ready(std::unexpected(std::move(error)));  // `ready` keeps this pool
    });
  } else if (closed_) {
    let_go_of_everything();
    loop_.defer(std::exchange(closed_, {}));
  }
}

void ProcessPool::kill() {
  kill_workers();
  forget_unanswered();
}

void ProcessPool::kill_workers() noexcept {
  for (const auto& worker : workers_) worker->kill();
}

// Workers that the fork server has said nothing of. Should it still make them, they find their channel closed.
void ProcessPool::forget_unanswered() {
  const auto workers = workers_;
  for (const auto& worker : workers) {
    if (worker->pidfd() < 0) worker->forget();
  }
}

void ProcessPool::close_now(TimePoint /*deadline*/) noexcept {
  const auto self = shared_from_this();
  closing_ = true;
  ready_ = {};
  closed_ = {};
  kill_workers();
  (void)loop_.settle([this] { return workers_.empty(); }, deadline_after(loop_.now(), kKillPatience));
  let_go_of_everything();
  log_->deliver();  // what its user has may be gone when the next turn comes
}

void ProcessPool::let_go_of_everything() noexcept {
  for (const auto& worker : workers_) worker->let_go();
  workers_.clear();
  idle_.clear();
  last_used_ = nullptr;
  queue_.clear();
  for (const auto& [id, timer] : start_timers_) loop_.cancel_timer(timer);
  start_timers_.clear();
  loop_.cancel_timer(std::exchange(backoff_, 0));
  loop_.cancel_timer(std::exchange(relief_, 0));
  if (spawner_) spawner_->let_go();
  spawner_.reset();
}

void ProcessPool::log(LogLevel level, const std::string& text) const {
  log_->push({.time = std::chrono::system_clock::now(), .level = level, .text = text, .pool = options_.name});
}

void ProcessPool::worker_printed(LogRecord record) {
  record.pool = options_.name;
  log_->push(record);
}

void ProcessPool::worker_dropped_lines(std::uint64_t lines) { log_->count_dropped(lines, options_.name); }

}  // namespace leasepool::detail

// Keeping workers alive: started, replaced, recycled, given up.
#include "processes/process_pool.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <ranges>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "shared/symbols.hpp"
#include "shared/worker_cgroup.hpp"

namespace leasepool::detail {

namespace {

// Workers that do not come up are tried again after 10 ms, 20 ms, 40 ms ... and after this many the pool is broken.
constexpr std::size_t kMaxFailedStarts = 6;
constexpr Duration kFirstBackoff = std::chrono::milliseconds(10);

// So many workers may die in calls in a row, or four times as many as there are, before the same holds of them.
constexpr std::size_t kToleratedDeaths = 16;

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
  backoff_.keep();
  next_turn_.keep();
  kill_patience_.keep();
  ready_ = std::make_unique<Notice<void>>(
      [self = shared_from_this(), ready = std::move(ready)](Result<void> result) mutable {
        if (result ? !self->closing_ : !self->close_asked_) ready(std::move(result));
      });
  try {
    if (!options_.worker_cgroup.empty()) cgroup_ = open_delegated_cgroup(options_.worker_cgroup);
    spawner_ = std::make_shared<Spawner>(loop_, *this);
    spawner_->open();
  } catch (const LeasePoolError& error) {
    return start_failed({errc_of(error.code()), options_.name + ": " + message_of(error)});
  } catch (const std::bad_alloc&) {
    return start_failed(
        Error::make(Errc::pool_broken, [&] { return options_.name + ": there is no memory to start"; }));
  } catch (const std::exception& error) {
    return start_failed({Errc::pool_broken, options_.name + ": no connection to the fork server: " + error.what()});
  }
  refill();
}

// Reported when nothing is left.
void ProcessPool::start_failed(Error error) {
  if (closing_) return;
  check(ready_ != nullptr, "a pool that fails to start was starting");
  closing_ = true;
  start_failure_ = std::move(error);
  kill_workers();
  finish_if_empty();
}

// As many serve as are to, the spare ones first, and others are started.
void ProcessPool::refill() {
  promote_spares();
  if (!closing_ && !broken_ && !backoff_.is_set() && spawner_ && !spawner_->connected()) connect_again();
  while (!closing_ && !broken_ && !backoff_.is_set() && spawner_ && live_ < options_.workers + options_.spare_workers) {
    spawn_worker();
  }
}

// All that a worker needs is had before the fork server is asked for it; else nothing of it is left.
void ProcessPool::spawn_worker() {
  std::shared_ptr<Worker> worker;
  const auto failed = [&](std::string_view reason) {
    if (worker) {
      worker->detach();
      cancel_start_timer(worker->id());
    }
    worker_failed_to_start(reason);
  };
  try {
    worker = std::make_shared<Worker>(loop_, *this, next_worker_id(), options_, run_times_);
    workers_.reserve(workers_.size() + 1);
    dispatcher_->reserve(workers_.size() + 1);
    spares_.reserve(workers_.size() + 1);
    SpawnRequest request = worker->prepare(cgroup_);
    request.name = options_.name;
    TimerId& timer = start_timers_[worker->id()];
    timer = loop_.call_at(deadline_after(loop_.now(), options_.worker_start_timeout), [this, id = worker->id()] {
      start_timers_.erase(id);
      start_took_too_long(id);
    });
    spawner_->spawn(std::move(request));
  } catch (const std::system_error& error) {
    return failed(std::string(error.what()) + " (raise ulimit -n if descriptors are short)");
  } catch (const std::bad_alloc&) {
    return failed("there is no memory for what it needs");
  }
  ++live_;
  workers_.push_back(std::move(worker));
  check(live_ <= options_.workers + options_.spare_workers, "a pool has no more live workers than it is to have");
}

void ProcessPool::start_took_too_long(std::uint64_t worker_id) {
  const auto worker = find(worker_id);
  if (!worker || worker->came_up() || worker->dying()) return;
  retire(*worker);
  worker->kill();
  worker_failed_to_start("a worker was not ready within worker_start_timeout = " +
                         in_milliseconds(options_.worker_start_timeout));
  if (closing_) forget_unanswered();  // so that a start ends that has failed because the fork server is stopped
}

void ProcessPool::worker_failed_to_start(std::string_view reason, Errc code) {
  if (closing_) return;
  if (ready_) {
    return start_failed(
        Error::make(code, [&] { return options_.name + ": a worker cannot be started: " + std::string(reason); }));
  }
  if (backoff_.is_set()) return;  // one try, for however many workers
  if (++failed_starts_ >= kMaxFailedStarts) return cannot_replace_workers(reason);
  back_off(failed_starts_);
}

void ProcessPool::back_off(std::size_t tries) noexcept {
  backoff_.set(deadline_after(loop_.now(), kFirstBackoff * (1 << (tries - 1))), [this] {
    backoff_.came();
    refill();
  });
}

void ProcessPool::cannot_replace_workers(std::string_view reason) {
  break_pool([&] {
    return "workers cannot be replaced after " + std::to_string(failed_starts_) +
           " tries; the last failure: " + std::string(reason);
  });
}

// Of workers that die in calls, one after the other, with no call in between that came to its end: the next ones wait,
// and after the last the pool is broken.
std::size_t ProcessPool::deaths_too_many() const noexcept {
  const std::size_t tolerated = std::max(kToleratedDeaths, 4 * options_.workers);
  return deaths_in_calls_ > tolerated ? deaths_in_calls_ - tolerated : 0;
}

template <std::invocable MakeReason>
void ProcessPool::break_pool(const MakeReason& why) {
  if (broken_) return;
  broken_ = Error::make(Errc::pool_broken, [&] { return options_.name + ": " + why(); });
  log(LogLevel::error, [&] { return broken_->message(); });
  dispatcher_->refuse(*broken_);
}

void ProcessPool::note_stack(const Job& job) {
  Worker* const worker = holder_of(job);
  if (worker == nullptr || worker->job() != &job) return;
  worker->note_stack();
  try {
    read_symbols_ahead();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then its frames have no names
  }
}

// For the time that the replacement takes.
void ProcessPool::note_death() noexcept {
  try {
    deaths_.push_back(loop_.now());
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it goes untold
  }
}

// Nobody waits for what it runs any more.
void ProcessPool::kill_abandoned(Worker& worker) {
  if (!worker.dying()) {
    retire(worker);
    note_death();
  }
  worker.kill();
  ++options_.totals->workers_killed;
  trace_worker(worker, "killed");
}

// Takes a worker out of those that can be used.
void ProcessPool::retire(Worker& worker) {
  check(live_ > 0, "a worker is retired once");
  --live_;
  dispatcher_->leave(worker);
  remove_spare(worker);
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
  trace_worker(worker, "ready");
  options_.totals->sandbox = worker.sandbox();
  options_.totals->kill_scope = worker.kill_scope();
  options_.totals->memory_bound = worker.memory_bound();
  failed_starts_ = 0;
  lost_servers_ = 0;
  cancel_start_timer(worker.id());
  if (closing_) return worker.close_idle();
  if (dispatcher_->workers() == options_.workers) return add_spare(worker);
  serve(worker);
  if (ready_ && dispatcher_->idle_workers() == options_.workers) {
    ready_->set({});
    loop_.defer(std::move(ready_));
  }
  dispatcher_->dispatch();
}

void ProcessPool::worker_finished(Worker& worker, std::unique_ptr<Job> job) {
  deaths_in_calls_ = 0;
  if (!worker.idle() && worker.due_for_recycling()) dispatcher_->recall_from(worker);
  if (!worker.idle() && !worker.has_jobs()) {
    kill_abandoned(worker);
    refill();
  } else if (!worker.idle()) {
    dispatcher_->answered(worker);
  } else if (worker.dying()) {
    // What it had sent before its end.
  } else if (closing_) {
    retire(worker);
    worker.close_idle();
  } else if (options_.worker_reuse == WorkerReuse::call) {
    discard(worker);
    replace_next_turn();
  } else if (is_due_for_recycling(worker)) {
    recycle(worker);
  } else {
    dispatcher_->became_idle(worker);
  }
  if (job) end_call(worker.trace_lane, std::move(job));
  dispatcher_->dispatch();
}

void ProcessPool::worker_dying(Worker& worker) {
  retire(worker);
  dispatcher_->recall_from(worker);
  if (closing_ || !worker.came_up()) return;  // one that did not come up is replaced when it has been counted as such
  ++options_.totals->workers_crashed;
  trace_worker(worker, "crashed");
  note_death();
  const Job* const job = worker.job();
  if (job != nullptr && worker.had_begun(*job)) ++deaths_in_calls_;
  if (const std::size_t tries = deaths_too_many(); tries > 0 && tries < kMaxFailedStarts && !backoff_.is_set()) {
    back_off(tries);
  }
  refill();
  dispatcher_->dispatch();
}

void ProcessPool::worker_gone(Worker& worker, std::unique_ptr<Job> job) {
  const auto place = std::ranges::find_if(workers_, [&](const auto& known) { return known.get() == &worker; });
  check(place != workers_.end(), "a worker is gone once");
  const std::shared_ptr<Worker> gone = std::move(*place);
  workers_.erase(place);
  check(!dispatcher_->serves(*gone), "a worker that is gone has left");
  remove_spare(*gone);
  check(closing_ || live_ <= workers_.size(), "a worker that is gone was retired");
  if (!gone->ended_by_us() && !closing_) {
    if (!gone->came_up()) {
      failed_to_start(*gone);
    } else if (!job) {
      log(LogLevel::warning, [&] { return options_.name + ": idle " + gone->describe_end(); });
    } else if (!gone->had_begun(*job)) {
      log(LogLevel::warning,
          [&] { return options_.name + ": " + gone->describe_end() + "; what it had not begun goes to another"; });
    }
  }
  if (job && deaths_too_many() >= kMaxFailedStarts) {
    break_pool([&] {
      return std::to_string(deaths_in_calls_) +
             " workers in a row died in calls, and no call came to its end in between; the last: " +
             gone->describe_end() + " while running " + std::string(job->function_name());
    });
  }
  dispatcher_->recall_from(*gone);
  if (job) requeue_or_fail(*gone, std::move(job));
  for (auto others = gone->take_jobs(); !others.empty();) requeue_or_fail(*gone, others.pop_front());
  trace_gone(*gone);
  dispatcher_->dispatch();
  refill();
  finish_if_empty();
}

void ProcessPool::failed_to_start(const Worker& worker) {
  std::string reason;
  try {
    reason = worker.describe_end();
  } catch (const std::bad_alloc&) {
    reason = "no memory";  // short, and so without memory of its own
  }
  worker_failed_to_start(reason, worker.failure_code());
}

std::shared_ptr<Worker> ProcessPool::find(std::uint64_t worker_id) const {
  const auto found = std::ranges::find_if(workers_, [&](const auto& worker) { return worker->id() == worker_id; });
  return found == workers_.end() ? nullptr : *found;
}

void ProcessPool::worker_spawned(std::uint64_t worker_id, SpawnedProcess process) {
  const auto worker = find(worker_id);
  if (!worker) return;
  trace_spawned(*worker, process.pid);
  worker->spawned(std::move(process));
}

void ProcessPool::worker_not_spawned(std::uint64_t worker_id, std::string_view reason) {
  if (const auto worker = find(worker_id)) worker->not_spawned(reason);
}

void ProcessPool::worker_exited(std::uint64_t worker_id, int wait_status, const ResourceUse& use) {
  if (const auto worker = find(worker_id)) worker->exited(wait_status, use);
}

void ProcessPool::fork_server_lost(const std::unordered_set<std::uint64_t>& unanswered) {
  if (!unanswered.empty() && ++lost_servers_ > kMaxFailedStarts) {
    no_server_left("fork servers die as soon as they are asked for a worker");
  } else {
    connect_again();
  }
  for_each_worker(
      [&](Worker& worker) { unanswered.contains(worker.id()) ? give_up(worker) : worker.forget_exit_status(); });
  refill();
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
  } catch (const std::bad_alloc&) {
    return worker_failed_to_start("no connection to the fork server: there is no memory for it");
  }
  for (const auto& worker : workers_) {
    try {
      if (worker->pidfd() >= 0) spawner_->adopt(worker->id(), worker->pid(), worker->pidfd(), worker->share_cgroup());
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it ends with its channel
    }
    worker->retry_kill();
  }
}

void ProcessPool::no_server_left(std::string_view reason) {
  failed_starts_ = kMaxFailedStarts;
  if (!ready_) return cannot_replace_workers(reason);
  start_failed(Error::make(Errc::pool_broken, [&] { return options_.name + ": " + std::string(reason); }));
}

// One that does not come. Not a failed start: another is asked for.
void ProcessPool::give_up(Worker& worker) {
  if (!worker.dying()) retire(worker);
  worker.kill();
  worker.forget();
}

void ProcessPool::may_not_kill(Worker& worker) noexcept {
  if (spawner_) spawner_->kill(worker.id());
}

void ProcessPool::worker_printed(LogRecord record) {
  record.pool = options_.name;
  log_->push(record);
}

void ProcessPool::worker_dropped_lines(std::uint64_t lines) { log_->count_dropped(lines, options_.name); }

}  // namespace leasepool::detail

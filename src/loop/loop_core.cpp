// A turn of the loop, sleeping without losing a wake-up, and the end of the loop.
#include "loop/loop_core.hpp"

#include <poll.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

// Waiting awake for a thread or process that gets up costs more than it spares: a few microseconds of who waits, for
// some tens of the processor. Now and then that is nothing, so it may take one part in so many of the time.
constexpr int kSleepsPerWakeUpAwaited = 400;

// A task that runs by itself.
struct LoopCore::Spawned final : RootTask::Observer {
  explicit Spawned(LoopCore& owner) : loop(owner) {}
  void root_ended() noexcept override { loop.spawned_ended(place); }

  LoopCore& loop;
  std::list<Spawned>::iterator place;
  Outcome<void> outcome;
  std::optional<RootTask> root;
};

// Marks the time in which a turn runs.
class LoopCore::Turning {
 public:
  explicit Turning(LoopCore& loop) : loop_(loop) { loop_.turning_ = true; }
  Turning(const Turning&) = delete;
  Turning& operator=(const Turning&) = delete;
  ~Turning() { loop_.turning_ = false; }

 private:
  LoopCore& loop_;
};

// Marks the time in which outcomes are delivered, the last one's excepted. Also where a callback throws, what was held
// is handed over.
class LoopCore::Delivering {
 public:
  explicit Delivering(LoopCore& loop) : loop_(loop) {}
  Delivering(const Delivering&) = delete;
  Delivering& operator=(const Delivering&) = delete;
  ~Delivering() {
    loop_.more_deliveries_ = false;
    for (const auto& work : loop_.held_) work->hand_over();
    loop_.held_.clear();
  }
  void deliver(std::unique_ptr<Job> job, bool more) {
    loop_.more_deliveries_ = more;
    job->deliver();
  }

 private:
  LoopCore& loop_;
};

// Marks the time in which this loop takes its turns: before and after, whoever drives it sleeps on poll_fd().
class LoopCore::Driving {
 public:
  Driving(LoopCore& loop, const char* verb) : loop_(loop) { loop_.begin_turns(verb); }
  Driving(const Driving&) = delete;
  Driving& operator=(const Driving&) = delete;
  ~Driving() { loop_.end_turns(); }

 private:
  LoopCore& loop_;
};

LoopCore::LoopCore(Ring::Limits limits) : ring_(limits) {
  arm_doorbell();
  ring_.submit_and_reap();
}

LoopCore::~LoopCore() { check(closed_, "a loop is closed before it is destroyed"); }

void LoopCore::check_thread(const char* verb) const {
  if (on_thread()) return;
  throw LeasePoolError(Errc::wrong_thread,
                       std::string(verb) + "() belongs to the loop's thread, the one that constructed the Loop; use "
                                           "Loop::post() to get there from another");
}

TimerId LoopCore::call_at(TimePoint deadline, Handler handler) {
  if (closed_ || deadline == kNever) return 0;
  wake_if_driven_from_outside();
  return timers_.add(deadline, std::move(handler));
}

bool LoopCore::cancel_timer(TimerId id) { return timers_.cancel(id); }

void LoopCore::defer(Handler handler) {
  if (closed_) return;
  wake_if_driven_from_outside();
  deferred_.push_back(std::make_unique<PostedFunction>(std::move(handler)));
}

void LoopCore::report(Handler handler) {
  if (closed_) return;
  wake_if_driven_from_outside();
  reports_.push_back(std::make_unique<PostedFunction>(std::move(handler)));
}

void LoopCore::deliver(std::unique_ptr<Job> job) {
  if (closed_) return;
  wake_if_driven_from_outside();
  deliveries_.push_back(std::move(job));
}

void LoopCore::spawn(Task<> task) {
  if (closed_) return;
  const auto spawned = spawned_.emplace(spawned_.end(), *this);
  spawned->place = spawned;
  spawned->root.emplace(keep_outcome(std::move(task), spawned->outcome));
  defer([spawned] { spawned->root->start(*spawned); });
}

void LoopCore::spawned_ended(std::list<Spawned>::iterator spawned) noexcept {
  ended_.splice(ended_.end(), spawned_, spawned);
}

void LoopCore::run_until(const bool& ended, Handler begin) {
  const Driving driving(*this, "block_on");
  {
    const Turning turning(*this);
    begin();
  }
  while (!ended) turn(true);
}

void LoopCore::run_until_stopped() {
  const Driving driving(*this, "run");
  while (!stop_requested_) turn(true);
  stop_requested_ = false;
}

void LoopCore::request_stop() {
  post([this] { stop_requested_ = true; });
}

void LoopCore::dispatch() {
  const Driving driving(*this, "dispatch");
  constexpr int kTurnsAtMost = 64;  // the outer loop has other things to do
  int turns = 0;
  do {
    turn(false);
  } while (has_work() && ++turns < kTurnsAtMost);
}

void LoopCore::begin_turns(const char* verb) {
  check_thread(verb);
  if (turning_) {
    throw std::logic_error(std::string("leasepool: ") + verb + "() called from a callback of the same loop");
  }
  awake();
}

// From here on somebody else may sleep in this loop's place: what comes must make poll_fd() readable, and so must what
// is here already.
void LoopCore::end_turns() {
  if (!wake_set_) return;
  ring_.set_wakeup(timers_.earliest());
  ring_.submit_and_reap();
  inbox_->asleep();
  wake_set_->clear();
  for (Poller* const poller : pollers_) {
    if (poller != nullptr) (void)poller->prepare_sleep();
  }
  if (has_work() || ring_.has_unreaped()) wake_set_->signal();
}

int LoopCore::poll_fd() {
  check_thread("poll_fd");
  if (!wake_set_) {
    wake_set_.emplace(ring_, inbox_->doorbell_fd());
    if (!turning_) end_turns();
  }
  return wake_set_->fd();
}

bool LoopCore::has_work() const noexcept {
  return ring_.has_reaped() || !deferred_.empty() || !reports_.empty() || !ended_.empty() || !deliveries_.empty() ||
         !posted_.empty() || !arrived_.empty() || !inbox_->empty() || pollers_ready() ||
         timers_.earliest() <= turn_time_;
}

void LoopCore::turn(bool may_sleep) {
  const Turning turning(*this);
  if (doorbell_ == 0) arm_doorbell();
  if (may_sleep && !has_work() && !comes_soon() && prepare_sleep()) {
    sleep();
  } else {
    ring_.submit_and_reap();
  }
  turn_time_ = monotonic_now();
  run_due();
}

void LoopCore::expect(Duration spin) {
  if (spin <= Duration::zero()) return;
  spin_.allow(spin);
  ++expected_;
}

void LoopCore::came(Duration spin) {
  if (spin > Duration::zero()) --expected_;
}

bool LoopCore::hold(const std::shared_ptr<HeldWork>& work) {
  if (more_deliveries_) held_.push_back(work);
  return more_deliveries_;
}

// Looks for a while, where something is expected that may come before this thread could go to sleep and be woken.
bool LoopCore::comes_soon() {
  if (expected_ == 0) return false;
  const TimePoint begin = woke_worker_ ? now() : TimePoint();
  if (woke_worker_ && begin < may_wait_awake_for_wake_up_) return false;
  ring_.submit_and_reap();
  const bool came =
      spin_.spin([this] { return ring_.has_reaped() || !inbox_->empty() || pollers_ready() || ring_.has_unreaped(); },
                 timers_.earliest());
  if (woke_worker_) {
    const TimePoint end = now();
    may_wait_awake_for_wake_up_ = end + kSleepsPerWakeUpAwaited * (end - begin);
  }
  return came;
}

void LoopCore::unwatch(Poller& poller) noexcept {
  const auto found = std::ranges::find(pollers_, &poller);
  if (found != pollers_.end()) *found = nullptr;
}

bool LoopCore::pollers_ready() const noexcept {
  return std::ranges::any_of(pollers_, [](const Poller* poller) { return poller != nullptr && poller->ready(); });
}

// True when the loop may sleep: nothing is here, and what comes will wake it.
bool LoopCore::prepare_sleep() noexcept {
  std::erase(pollers_, nullptr);
  const bool none_ready = std::ranges::all_of(pollers_, [](Poller* poller) { return poller->prepare_sleep(); });
  if (none_ready && inbox_->prepare_sleep()) return true;
  awake();
  return false;
}

void LoopCore::awake() noexcept {
  inbox_->awake();
  for (Poller* const poller : pollers_) {
    if (poller != nullptr) poller->awake();
  }
}

// What was written before what they have seen, as lines to a pipe, the ring knows of by then, and comes first.
void LoopCore::run_pollers() {
  std::erase(pollers_, nullptr);
  if (pollers_.empty()) return;
  for (Poller* const poller : pollers_) poller->look();
  if (ring_.has_unreaped()) {
    ring_.submit_and_reap();
    ring_.run_handlers();
  }
  // NOLINTNEXTLINE(modernize-loop-convert): what is collected may add others
  for (std::size_t place = 0, end = pollers_.size(); place < end; ++place) {
    if (pollers_[place] != nullptr) pollers_[place]->collect();
  }
}

void LoopCore::sleep() {
  const TimePoint asleep = monotonic_now();
  ring_.set_wakeup(timers_.earliest());
  ring_.submit_and_wait();
  awake();
  if (expected_ != 0 && !woke_worker_) spin_.slept(monotonic_now() - asleep);
  woke_worker_ = false;
}

// An exception that leaves a callback leaves through here; what has not run yet stays queued for the next turn.
void LoopCore::run_due() {
  ring_.run_handlers();
  catch_up();  // before the timers, as are the jobs that have finished: what ended in time has not timed out
  run_pollers();
  run_finished_jobs();
  run_timers();
  run_inbox();
  run_deferred();
}

// While a timer is due, takes in all that has happened: one entry hands over some 20 completions, and what follows a
// completion, such as the rest of a large result, is only asked for by its handler.
void LoopCore::catch_up() {
  constexpr int kRoundsAtMost = 64;  // what never ends does not keep the timer from running
  for (int round = 0; round < kRoundsAtMost && timers_.earliest() <= turn_time_; ++round) {
    if (!ring_.has_unsubmitted() && !ring_.has_unreaped()) return;
    ring_.submit_and_reap();
    ring_.run_handlers();
  }
}

void LoopCore::run_timers() {
  const std::uint64_t mark = timers_.mark();
  while (auto handler = timers_.take_due(turn_time_, mark)) handler();
}

void LoopCore::run_finished_jobs() {
  inbox_->take_jobs(arrived_);
  while (!arrived_.empty()) {
    std::unique_ptr<Job> job = arrived_.pop_front();
    JobSink* const pool = job->booking.pool;
    pool->job_ended(std::move(job));
  }
}

void LoopCore::run_inbox() {
  run_finished_jobs();  // what ended before a function was posted comes before it
  posted_.append(inbox_->take_functions());
  while (!posted_.empty()) posted_.pop_front()->function();
}

void LoopCore::run_deferred() {
  for (std::size_t left = reports_.size(); left > 0; --left) reports_.pop_front()->function();
  {
    Delivering delivering(*this);
    for (std::size_t left = deliveries_.size(); left > 0; --left) {
      delivering.deliver(deliveries_.pop_front(), left > 1);
    }
  }
  for (std::size_t left = deferred_.size(); left > 0; --left) deferred_.pop_front()->function();
  while (!ended_.empty()) {
    Outcome<void> outcome = std::move(ended_.front().outcome);
    ended_.pop_front();
    outcome.take();  // an exception that left the task leaves the loop
  }
}

void LoopCore::arm_doorbell() {
  doorbell_ = ring_.poll_multishot(inbox_->doorbell_fd(), POLLIN, [this](Completion completion) {
    if (!completion.more) doorbell_ = 0;  // armed anew at the start of the next turn
  });
}

// Outside of a turn, this thread is in another loop's hands: let it come back to dispatch().
void LoopCore::wake_if_driven_from_outside() noexcept {
  if (!turning_) inbox_->ring_doorbell();
}

bool LoopCore::settle(const std::function<bool()>& ended, TimePoint deadline) {
  check(on_thread(), "a loop settles on its own thread");
  bool reached = ended();
  while (!reached && monotonic_now() < deadline) {
    if (!ring_.has_reaped() && prepare_sleep()) {
      ring_.set_wakeup(deadline);
      ring_.submit_and_wait();
      awake();
    }
    ring_.run_handlers();
    run_pollers();
    reached = ended();
  }
  if (!turning_ && !closed_) end_turns();  // it may have handled what was to wake the outer loop
  return reached;
}

void LoopCore::close() noexcept {
  check(on_thread(), "a loop is destroyed on its own thread");
  check(!turning_, "a loop is not destroyed by one of its own callbacks");
  while (!spawned_.empty()) spawned_.pop_front();  // tasks first: their frames own leases, managers and timers
  ended_.clear();
  while (!clients_.empty()) {
    LoopClient* const client = clients_.back();
    clients_.pop_back();
    client->loop_closing();
  }
  closed_ = true;
  inbox_->close();
  ring_.cancel(doorbell_);
  (void)settle([this] { return ring_.in_flight() == 0; }, kNever);
  deferred_.clear();
  reports_.clear();
  deliveries_.clear();
  posted_.clear();
  arrived_.clear();
  const TimerQueue dropped = std::exchange(timers_, TimerQueue());  // their captures may cancel other timers
}

}  // namespace leasepool::detail

// A turn of the loop, sleeping without losing a wake-up, and the end of the loop.
#include "loop/loop_core.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "loop/linked_wait.hpp"
#include "loop/timed_wait.hpp"
#include "loop/turning.hpp"

namespace leasepool::detail {

// How long the end of a loop waits for operations of which the kernel may have dropped the completions.
constexpr Duration kLostPatience = std::chrono::seconds(1);
// How often in a row the kernel may lack memory or room: about as many milliseconds.
constexpr int kShortagesAtMost = 3000;

// A task that runs by itself.
struct LoopCore::Spawned final : RootTask::Observer {
  explicit Spawned(LoopCore& owner) : loop(owner) {}
  void root_ended() noexcept override { loop.spawned_ended(place); }

  LoopCore& loop;
  std::list<Spawned>::iterator place;
  Outcome<void> outcome;
  std::optional<RootTask> root;
};

// Marks the time in which outcomes are delivered, the last one's excepted. Also where a callback throws, what was held
// is handed over.
class LoopCore::Delivering {
 public:
  explicit Delivering(LoopCore& loop) : loop_(loop) { loop.submission_clock_.begin(); }
  Delivering(const Delivering&) = delete;
  Delivering& operator=(const Delivering&) = delete;
  ~Delivering() {
    loop_.more_deliveries_ = false;
    for (const auto& work : loop_.coalesced_) work->flush();
    loop_.coalesced_.clear();
  }
  void deliver(std::unique_ptr<Deliverable> ended, bool more) {
    loop_.more_deliveries_ = more;
    ended->deliver();
  }

 private:
  LoopCore& loop_;
};

LoopCore::LoopCore(std::unique_ptr<Engine> engine, std::shared_ptr<VirtualTime> time)
    : engine_(std::move(engine)), time_(std::move(time)) {
  arm_doorbell();
  (void)engine_->submit_and_reap();  // else with the first turn
}

LoopCore::~LoopCore() { check(closed_, "a loop is closed before it is destroyed"); }

void LoopCore::check_thread(const char* verb) const {
  if (on_thread()) return;
  if (is_copy()) {
    throw LeasePoolError(Errc::wrong_thread, std::string(verb) +
                                                 "() in a process that was forked from the one that made the Loop: a "
                                                 "child needs a Loop of its own");
  }
  throw LeasePoolError(Errc::wrong_thread,
                       std::string(verb) + "() belongs to the loop's thread, the one that constructed the Loop; use "
                                           "Loop::post() to get there from another");
}

TimerId LoopCore::call_at(TimePoint deadline, Handler handler) {
  if (closed() || deadline == kNever) return 0;
  const TimerId id = timers_.add(deadline, std::move(handler));
  wake_if_driven_from_outside();
  return id;
}

bool LoopCore::cancel_timer(TimerId id) noexcept { return timers_.cancel(id); }

std::unique_ptr<TimedWait> LoopCore::make_timed_wait(Handler expired) {
  if (time_) return std::make_unique<TimerWait>(*this, std::move(expired));
  return std::make_unique<LinkedWait>(*this, std::move(expired));
}

void LoopCore::at_turn_end(TurnEnd& waiting) noexcept {
  if (closed()) return;
  wake_if_driven_from_outside();
  turn_ends_.add(waiting);
}

void LoopCore::defer(std::unique_ptr<Deferred> deferred) noexcept {
  if (closed()) return;
  wake_if_driven_from_outside();
  deferred_.push_back(std::move(deferred));
}

void LoopCore::report(std::unique_ptr<Deferred> deferred) noexcept {
  if (closed()) return;
  wake_if_driven_from_outside();
  reports_.push_back(std::move(deferred));
}

void LoopCore::deliver(std::unique_ptr<Deliverable> ended) noexcept {
  if (closed()) return;
  wake_if_driven_from_outside();
  deliveries_.push_back(std::move(ended));
}

void LoopCore::spawn(Task<> task) {
  if (closed()) return;
  std::list<Spawned> made;
  const auto spawned = made.emplace(made.end(), *this);
  spawned->place = spawned;
  spawned->root.emplace(keep_outcome(std::move(task), spawned->outcome));
  defer([spawned] { spawned->root->start(*spawned); });
  spawned_.splice(spawned_.end(), made);
}

void LoopCore::spawned_ended(std::list<Spawned>::iterator spawned) noexcept {
  ended_.splice(ended_.end(), spawned_, spawned);
}

bool LoopCore::has_work() const noexcept {
  return engine_->has_reaped() || !deferred_.empty() || !reports_.empty() || !ended_.empty() || !deliveries_.empty() ||
         !posted_.empty() || stop_behind_posts_ || !handed_back_.empty() || !inbox_->empty() || pure_poll() ||
         timers_.earliest() <= turn_time_;
}

void LoopCore::turn(bool may_sleep) {
  const Turning turning(turning_);
  turn_ends_.run(*engine_);  // of the last turn, and of what was said since
  if (doorbell_ == 0) arm_doorbell();
  const bool is_free = may_sleep && !has_work() && !(time_ && skip_to_next_timer());
  const bool came = is_free && busy_poll();
  if (is_free && !came && try_enter_interrupt_mode()) {
    sleep();
  } else {
    handle_engine_error(engine_->submit_and_reap());
  }
  // What this thread has just waited for, awake, may bring the time.
  const TimePoint came_at = came ? pollers_.came_at() : TimePoint{};
  turn_time_ = came_at == TimePoint{} ? now() : std::max(turn_time_, came_at);
  run_due();
}

// What the kernel lacks memory or room for is tried again, a little later; what it refuses is the caller's to know.
// Where that lasts, deadlines do not pass either: whoever waits is to hear of it.
void LoopCore::handle_engine_error(int error) {
  shortages_ = error == 0 ? 0 : shortages_ + 1;
  if (error == 0) return;
  if (!Engine::passes(error) || shortages_ > kShortagesAtMost) {
    shortages_ = 0;
    throw std::system_error(error, std::generic_category(),
                            std::string("leasepool: the loop cannot go on: ") + engine_->entry());
  }
  pause();
}

void LoopCore::pause() noexcept {
  const timespec a_while{.tv_sec = 0, .tv_nsec = 1'000'000};
  (void)::nanosleep(&a_while, nullptr);
}

bool LoopCore::flush_after_callbacks(const std::shared_ptr<Coalesced>& work) noexcept {
  if (!more_deliveries_) return false;
  try {
    coalesced_.push_back(work);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Looks for a while, where something is expected that may come before this thread could go to sleep and be woken.
bool LoopCore::busy_poll() {
  if (!busy_poll_.wanted()) return false;
  (void)engine_->submit_and_reap();
  return busy_poll_.run(
      [this] { return engine_->has_reaped() || !inbox_->empty() || pure_poll() || engine_->has_unreaped(); },
      timers_.earliest());
}

bool LoopCore::pure_poll() const noexcept {
  return pollers_.any([](const Poller& poller) { return poller.pure_poll(); });
}

// True when the loop may sleep: nothing is here, and what comes will wake it.
bool LoopCore::try_enter_interrupt_mode() noexcept {
  if (pollers_enter_interrupt_mode() && inbox_->try_enter_interrupt_mode()) return true;
  exit_interrupt_mode();
  return false;
}

bool LoopCore::pollers_enter_interrupt_mode() noexcept {
  return !pollers_.any([](Poller& poller) { return !poller.try_enter_interrupt_mode(); });
}

void LoopCore::exit_interrupt_mode() noexcept {
  inbox_->exit_interrupt_mode();
  pollers_.each([](Poller& poller) { poller.exit_interrupt_mode(); });
}

// What was written before what they have seen, as lines to a pipe, the ring knows of by then, and comes first.
void LoopCore::run_pollers() {
  if (pollers_.empty()) return;
  pollers_.each([](Poller& poller) { poller.snapshot(); });
  if (engine_->has_unreaped()) {
    (void)engine_->submit_and_reap();
    engine_->run_handlers();
  }
  pollers_.each([](Poller& poller) { poller.poll(); });
}

void LoopCore::sleep() {
  const TimePoint asleep = monotonic_now();
  engine_->set_wakeup(timers_.earliest());
  const int error = engine_->submit_and_wait();
  exit_interrupt_mode();
  handle_engine_error(error);
  busy_poll_.slept(monotonic_now() - asleep);
}

// An exception that leaves a callback leaves through here; what has not run yet stays queued for the next turn.
void LoopCore::run_due() {
  engine_->run_handlers();
  drain_completions();  // before the timers, as is what threads have handed back: what ended in time has not timed out
  run_pollers();
  take_handed_back();
  run_timers();
  run_inbox();
  run_deferred();
}

// While a timer is due, takes in all that has happened: one entry hands over some 20 completions, and what follows a
// completion, such as the rest of a large result, is only asked for by its handler.
void LoopCore::drain_completions() {
  constexpr int kRoundsAtMost = 64;  // what never ends does not keep the timer from running
  for (int round = 0; round < kRoundsAtMost && timers_.earliest() <= turn_time_; ++round) {
    if (!engine_->has_unsubmitted() && !engine_->has_unreaped()) return;
    if (engine_->submit_and_reap() != 0) return;
    engine_->run_handlers();
  }
}

void LoopCore::run_timers() {
  const std::uint64_t mark = timers_.mark();
  while (!close_asked_) {
    auto handler = timers_.take_due(turn_time_, mark);
    if (!handler) return;
    handler();
  }
}

void LoopCore::take_handed_back() {
  inbox_->take_handed_back(handed_back_);
  while (!handed_back_.empty()) {
    std::unique_ptr<Deliverable> ended = handed_back_.pop_front();
    Deliverable& self = *ended;
    self.handed_back(std::move(ended));
  }
}

void LoopCore::run_inbox() {
  take_handed_back();  // what ended before a function was posted comes before it
  stop_behind_posts_ = inbox_->take_stop() || stop_behind_posts_;
  posted_.append(inbox_->take_posted());
  while (!posted_.empty() && !close_asked_) posted_.pop_front()->run();
  if (std::exchange(stop_behind_posts_, false)) stop_requested_ = true;
}

void LoopCore::run_deferred() {
  for (std::size_t left = reports_.size(); left > 0 && !close_asked_; --left) reports_.pop_front()->run();
  {
    Delivering delivering(*this);
    for (std::size_t left = deliveries_.size(); left > 0 && !close_asked_; --left) {
      delivering.deliver(deliveries_.pop_front(), left > 1);
    }
  }
  for (std::size_t left = deferred_.size(); left > 0 && !close_asked_; --left) deferred_.pop_front()->run();
  while (!ended_.empty()) {
    Outcome<void> outcome = std::move(ended_.front().outcome);
    ended_.pop_front();
    outcome.take();  // an exception that left the task leaves the loop
  }
}

// What was rung is in the inbox, at which the loop looks before it sleeps. Where each poll ends with its first report,
// as without multishot, the next one would report the same ring, and the loop never sleep.
static void quiet(int doorbell_fd) noexcept {
  std::uint64_t rings = 0;
  while (::read(doorbell_fd, &rings, sizeof rings) < 0 && errno == EINTR) {
  }
}

void LoopCore::arm_doorbell() {
  check(doorbell_ == 0, "the doorbell is polled once at a time");
  doorbell_ = engine_->poll_multishot(inbox_->doorbell_fd(), POLLIN, [this](Completion completion) {
    if (completion.more) return;
    doorbell_ = 0;  // armed anew at the start of the next turn
    if (completion.result > 0) quiet(inbox_->doorbell_fd());
  });
}

bool LoopCore::run_completions_until(const std::function<bool()>& ended, TimePoint deadline) {
  check(on_thread(), "a loop runs completions on its own thread");
  constexpr int kRefusalsAtMost = 10;
  bool reached = ended();
  int refusals = 0;  // in a row
  int shortages = 0;
  while (!reached && refusals < kRefusalsAtMost && shortages < kShortagesAtMost && monotonic_now() < deadline) {
    if (!engine_->has_reaped()) {
      engine_->set_wakeup(deadline);
      const int error = pollers_enter_interrupt_mode() ? engine_->submit_and_wait() : engine_->submit_and_reap();
      exit_interrupt_mode();
      if (error != 0) pause();
      shortages = error == 0 ? 0 : shortages + 1;
      refusals = error == 0 || Engine::passes(error) ? 0 : refusals + 1;
    }
    engine_->run_handlers();
    run_pollers();
    reached = ended();
  }
  if (!turning_ && !closed_) end_turns();  // it may have handled what was to wake the outer loop
  return reached;
}

void LoopCore::close() noexcept {
  check(on_thread(), "a loop is destroyed on its own thread");
  if (turning_) {
    close_asked_ = true;
  } else {
    close_now();
  }
}

void LoopCore::close_now() noexcept {
  check(!closed_, "a loop is closed once");
  check(!turning_, "a loop is not closed within its turn");
  while (!spawned_.empty()) spawned_.pop_front();  // tasks first: their frames own leases, managers and timers
  ended_.clear();
  while (LoopClient* const client = clients_.take_last()) client->loop_closing();
  closed_ = true;
  inbox_->close();
  engine_->cancel(doorbell_);
  const TimePoint patience = engine_->lost_completions() ? deadline_after(now(), kLostPatience) : kNever;
  if (!run_completions_until([this] { return engine_->in_flight() == 0; }, patience)) engine_->give_up();
  check(engine_->in_flight() == 0, "nothing is in flight on a loop that has closed");
  deferred_.clear();
  reports_.clear();
  deliveries_.clear();
  posted_.clear();
  handed_back_.clear();
  const TimerQueue dropped = std::exchange(timers_, TimerQueue());  // their captures may cancel other timers
}

}  // namespace leasepool::detail

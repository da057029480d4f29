// The floor of a call to a thread: the bare protocol between the loop's thread and one other, with what the contract
// asks to be kept of each call, and nothing else. A single call goes through one cache line, in which it comes back,
// too; several go through a ring each way, whose places say by themselves what is new.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include "alarms.hpp"
#include "bell.hpp"
#include "floor.hpp"
#include "scenario.hpp"

namespace {

using peers::Alarm;
using peers::Bell;
using peers::Call;
using peers::Clock;

// From one thread to one other. A place holds a call's address, and whether the round is odd or even: who takes from it
// writes nothing there.
class Ring {
 public:
  void push(Call& call) noexcept {
    places_[pushed_ % kPlaces].store(reinterpret_cast<std::uintptr_t>(&call) | round_of(pushed_));
    ++pushed_;
  }
  [[nodiscard]] bool ready() const noexcept { return is_new(popped_); }
  // Null where there is none.
  [[nodiscard]] Call* pop() noexcept {
    if (!ready()) return nullptr;
    Call* const call = call_at(popped_++);
    for (ahead_ = std::max(ahead_, popped_); ahead_ < popped_ + kAhead && is_new(ahead_); ++ahead_) {
      __builtin_prefetch(call_at(ahead_), 1);
    }
    return call;
  }

 private:
  static constexpr std::size_t kPlaces = 1024;  // no more are under way
  static constexpr std::uint64_t kAhead = 6;

  static std::uintptr_t round_of(std::uint64_t position) noexcept { return (position / kPlaces + 1) & 1; }
  [[nodiscard]] bool is_new(std::uint64_t position) const noexcept {
    const std::uintptr_t word = places_[position % kPlaces].load(std::memory_order_acquire);
    return (word & 1) == round_of(position);
  }
  [[nodiscard]] Call* call_at(std::uint64_t position) const noexcept {
    return reinterpret_cast<Call*>(places_[position % kPlaces].load(std::memory_order_relaxed) & ~std::uintptr_t{1});
  }

  alignas(peers::kLine) std::uint64_t pushed_ = 0;
  alignas(peers::kLine) std::uint64_t popped_ = 0;
  std::uint64_t ahead_ = 0;
  alignas(peers::kLine) std::array<std::atomic<std::uintptr_t>, kPlaces> places_{};
};

// How calls cross; all but take() and give_back() are the loop's.
class ThroughPlace {
 public:
  void submit(Call& call) noexcept {
    given_ = &call;
    place_.store(&call);
    thread_.ring();
  }
  void flush() noexcept {}
  [[nodiscard]] bool ready() const noexcept { return place_.load(std::memory_order_acquire) == nullptr; }
  [[nodiscard]] Call* ended() noexcept {
    if (!ready()) return nullptr;
    Call* const call = given_;
    given_ = nullptr;
    return call;
  }
  template <class Ready>
  void wait_for(const Ready& ready) noexcept {
    loop_.wait_for(ready);
  }

  [[nodiscard]] Call* take(const std::atomic<bool>& closing) noexcept {
    thread_.wait_for([&] { return place_.load(std::memory_order_acquire) != nullptr || closing.load(); });
    return place_.load(std::memory_order_acquire);
  }
  void give_back(Call& /*call*/) noexcept {
    place_.store(nullptr);
    loop_.ring();
  }
  void close() noexcept { thread_.ring(); }

 private:
  alignas(peers::kLine) std::atomic<Call*> place_ = nullptr;
  Bell thread_;
  Bell loop_;
  Call* given_ = nullptr;
};

class ThroughRings {
 public:
  void submit(Call& call) noexcept {
    staged_[staged_count_++] = &call;
    if (staged_count_ == staged_.size()) flush();
  }
  // Several at a time, as the thread else fetches the line anew in which it looks for the next with each.
  void flush() noexcept {
    if (staged_count_ == 0) return;
    for (std::size_t i = 0; i < staged_count_; ++i) there_.push(*staged_[i]);
    staged_count_ = 0;
    thread_.ring();
  }
  [[nodiscard]] bool ready() const noexcept { return back_.ready(); }
  [[nodiscard]] Call* ended() noexcept { return back_.pop(); }
  template <class Ready>
  void wait_for(const Ready& ready) noexcept {
    loop_.wait_for(ready);
  }

  [[nodiscard]] Call* take(const std::atomic<bool>& closing) noexcept {
    thread_.wait_for([&] { return there_.ready() || closing.load(); });
    return there_.pop();
  }
  void give_back(Call& call) noexcept {
    back_.push(call);
    loop_.ring();
  }
  void close() noexcept { thread_.ring(); }

 private:
  std::array<Call*, 8> staged_{};
  std::size_t staged_count_ = 0;
  Ring there_;
  Ring back_;
  Bell thread_;
  Bell loop_;
};

class FloorThreads {
 public:
  static constexpr const char* kName = "floor-threads";
  static std::string version() { return {}; }

  FloorThreads(peers::Caller& caller, const peers::Scenario& scenario)
      : caller_(caller),
        one_at_a_time_(scenario.most_in_flight == 1),
        thread_([this] { one_at_a_time_ ? serve(place_) : serve(rings_); }) {
    peers::refuse_pauses(scenario);
  }
  FloorThreads(const FloorThreads&) = delete;
  FloorThreads& operator=(const FloorThreads&) = delete;
  ~FloorThreads() {
    closing_.store(true);
    place_.close();
    rings_.close();
    thread_.join();
  }

  void call(std::size_t slot, std::uint64_t argument) {
    Call& call = books_.begin(caller_, slot, argument);
    one_at_a_time_ ? place_.submit(call) : rings_.submit(call);
  }
  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    alarms_.set(alarm, delay);
    next_alarm_ = Clock::now() + alarms_.next();
  }
  void run() { one_at_a_time_ ? turn(place_) : turn(rings_); }
  void stop() { stopped_ = true; }

 private:
  // A thread that stays awake takes a call when it is there and the last one has ended: no reading of the clock for
  // that.
  template <class Way>
  void serve(Way& way) noexcept {
    while (Call* const call = way.take(closing_)) {
      call->run();
      call->ended = Clock::now();
      way.give_back(*call);
    }
  }

  template <class Way>
  void turn(Way& way) {
    while (!stopped_) {
      Call* const call = way.ended();
      if (call == nullptr) {
        way.flush();
        way.wait_for([&] { return way.ready(); });
        continue;
      }
      call->started = std::max(call->submitted, free_since_);
      free_since_ = call->ended;
      if (call->ended >= next_alarm_) ring_alarms();
      books_.end(*call);
    }
  }
  void ring_alarms() {
    alarms_.ring_those_due(caller_);
    next_alarm_ = Clock::now() + alarms_.next();
  }

  peers::Caller& caller_;
  const bool one_at_a_time_;
  ThroughPlace place_;
  ThroughRings rings_;
  std::atomic<bool> closing_ = false;
  peers::Books books_;
  peers::Alarms alarms_;
  Clock::time_point next_alarm_{};
  Clock::time_point free_since_{};  // the thread
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<FloorThreads>(count, arguments); }

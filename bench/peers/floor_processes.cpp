// The floor of a call to a worker process: the bare protocol between a loop and one process that has memory in common
// with it, with what the contract asks to be kept of each call, and nothing else. Calls and results are frames of bytes
// in two rings, copied in and out and checked before they are believed; a call that was sent and has not begun can be
// taken back; and what the process has begun and ended stands where its end cannot take it.
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <unordered_map>

#include "alarms.hpp"
#include "bell.hpp"
#include "floor.hpp"
#include "scenario.hpp"
#include "worker_process.hpp"

namespace {

using peers::Alarm;
using peers::Bell;
using peers::Call;
using peers::Clock;
using peers::kLine;

enum class Type : std::uint16_t { call = 1, value = 2 };

struct Header {
  std::uint32_t magic = kMagic;
  Type type{};
  std::uint16_t descriptors = 0;
  std::uint64_t payload = 0;  // bytes
  std::uint64_t call_id = 0;
  std::uint64_t function = 0;  // of a result: for how long it ran, where that was measured
  static constexpr std::uint32_t kMagic = 0x31726c66;
};
static_assert(sizeof(Header) == 32);

constexpr std::uint64_t kNothing = 7;  // the function's id
constexpr std::uint64_t kNotMeasured = UINT64_MAX;

// A frame that carries 8 bytes, as it is made and as it comes.
struct Frame {
  Header header;
  std::array<std::byte, sizeof(std::uint64_t)> bytes;
};

Frame make_frame(Type type, std::uint64_t call_id, std::uint64_t function, std::uint64_t value) {
  Frame frame;
  std::memcpy(frame.bytes.data(), &value, sizeof value);
  frame.header = {.type = type, .payload = sizeof frame.bytes, .call_id = call_id, .function = function};
  return frame;
}
std::uint64_t value_of(const Frame& frame) {
  std::uint64_t value = 0;
  std::memcpy(&value, frame.bytes.data(), sizeof value);
  return value;
}

// In shared memory, all zeros. Positions only grow.
struct Ring {
  static constexpr std::size_t kSize = std::size_t{64} << 10;
  alignas(kLine) std::atomic<std::uint64_t> written;
  alignas(kLine) std::atomic<std::uint64_t> read;
  Bell reader;
  alignas(kLine) std::array<std::byte, kSize> bytes;
};

struct Shared {
  static constexpr std::size_t kClaims = 64;
  alignas(kLine) std::atomic<std::uint64_t> begun;
  std::atomic<std::uint64_t> ended;
  alignas(kLine) std::array<std::atomic<std::uint64_t>, kClaims> claims;  // a call's id, until one of the two clears it
  Ring calls;
  Ring results;
};

class Writer {
 public:
  explicit Writer(Ring& ring) : ring_(ring) {}
  // A ring has room for more frames than are ever under way; the other end's word for it is checked all the same, once
  // in a while.
  void write(const Frame& frame) {
    if (room_ < sizeof frame) {
      const std::uint64_t held = written_ - ring_.read.load(std::memory_order_acquire);
      if (held > Ring::kSize - sizeof frame) peers::fail("a ring is full, or its reader read what is not there");
      room_ = Ring::kSize - held;
    }
    room_ -= sizeof frame;
    const std::size_t at = written_ % Ring::kSize;
    const std::size_t before_end = std::min(sizeof frame, Ring::kSize - at);
    std::memcpy(ring_.bytes.data() + at, &frame, before_end);
    if (before_end < sizeof frame) {
      std::memcpy(ring_.bytes.data(), reinterpret_cast<const std::byte*>(&frame) + before_end,
                  sizeof frame - before_end);
    }
    written_ += sizeof frame;
  }
  void publish() {
    ring_.written.store(written_);
    ring_.reader.ring();
  }

 private:
  Ring& ring_;
  std::uint64_t written_ = 0;
  std::size_t room_ = Ring::kSize;
};

class Reader {
 public:
  explicit Reader(Ring& ring) : ring_(ring) {}
  [[nodiscard]] bool ready() const noexcept { return ring_.written.load(std::memory_order_acquire) != read_; }
  void wait() noexcept {
    ring_.reader.wait_for([this] { return ready(); });
  }
  // Copies what is there.
  void take_in() {
    const std::uint64_t written = ring_.written.load(std::memory_order_acquire);
    const std::size_t size = written - read_;
    if (size > buffer_.size()) peers::fail("a ring's writer wrote what has no room");
    const std::size_t at = read_ % Ring::kSize;
    const std::size_t before_end = std::min(size, Ring::kSize - at);
    std::memcpy(buffer_.data(), ring_.bytes.data() + at, before_end);
    std::memcpy(buffer_.data() + before_end, ring_.bytes.data(), size - before_end);
    read_ = written;
    ring_.read.store(read_, std::memory_order_release);
    begin_ = 0;
    end_ = size;
  }
  // The next frame of what was taken in, checked; false where there is none.
  [[nodiscard]] bool next(Type type, Frame& frame) {
    if (begin_ == end_) return false;
    if (end_ - begin_ < sizeof frame) peers::fail("half a frame");
    std::memcpy(&frame, buffer_.data() + begin_, sizeof frame);
    const Header& header = frame.header;
    if (header.magic != Header::kMagic || header.type != type || header.descriptors != 0 ||
        header.payload != sizeof frame.bytes) {
      peers::fail("not a frame");
    }
    begin_ += sizeof frame;
    return true;
  }

 private:
  Ring& ring_;
  std::uint64_t read_ = 0;
  std::array<std::byte, Ring::kSize> buffer_;  // NOLINT: filled as far as it is used
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// In the worker process.
[[noreturn]] void serve(Shared& shared) {
  const std::unordered_map<std::uint64_t, std::uint64_t (*)(std::uint64_t)> functions = {{kNothing, peers::nothing}};
  constexpr unsigned kMeasuredOneIn = 8;  // for the loop to know which are quick
  Reader calls(shared.calls);
  Writer results(shared.results);
  Frame call;
  for (std::uint64_t received = 0;;) {
    calls.wait();
    calls.take_in();
    while (calls.next(Type::call, call)) {
      const bool is_measured = received % kMeasuredOneIn == 0;
      std::uint64_t expected = call.header.call_id;
      if (!shared.claims[received++ % Shared::kClaims].compare_exchange_strong(expected, 0)) continue;  // taken back
      shared.begun.store(call.header.call_id, std::memory_order_release);
      const auto function = functions.find(call.header.function);
      if (function == functions.end()) peers::fail("no such function");
      const Clock::time_point begun = is_measured ? Clock::now() : Clock::time_point();
      const std::uint64_t value = function->second(value_of(call));
      const std::uint64_t ran = is_measured ? static_cast<std::uint64_t>((Clock::now() - begun).count()) : kNotMeasured;
      shared.ended.store(call.header.call_id, std::memory_order_release);
      results.write(make_frame(Type::value, call.header.call_id, ran, value));
      results.publish();  // each at once: the next call may take long
    }
  }
}

Shared& make_shared_memory() {
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) peers::fail("no memory to share");
  return *::new (memory) Shared;
}

class FloorProcesses {
 public:
  static constexpr const char* kName = "floor-processes";
  static std::string version() { return {}; }

  FloorProcesses(peers::Caller& caller, const peers::Scenario& scenario) : caller_(caller) {
    peers::refuse_pauses(scenario);
  }

  void call(std::size_t slot, std::uint64_t argument) {
    Call& call = books_.begin(caller_, slot, argument);
    if (first_waiting_ == nullptr && sent_ - answered_ < kMostAhead) {
      send(call);
      if (++staged_ == kTogether) flush();
      return;
    }
    call.next_waiting = nullptr;
    (first_waiting_ == nullptr ? first_waiting_ : last_waiting_->next_waiting) = &call;
    last_waiting_ = &call;
  }
  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) {
    alarms_.set(alarm, delay);
    next_alarm_ = Clock::now() + alarms_.next();
  }
  void stop() { stopped_ = true; }

  void run() {
    while (!stopped_) {
      flush();
      results_.wait();
      now_ = Clock::now();  // of all that is there
      results_.take_in();
      if (now_ >= next_alarm_) {
        alarms_.ring_those_due(caller_);
        next_alarm_ = now_ + alarms_.next();
      }
      Frame result;
      while (results_.next(Type::value, result)) take(result);
    }
  }

 private:
  static constexpr std::size_t kMostAhead = 33;  // the one that runs, and those that are to be there when it has
  static constexpr std::size_t kTogether = 8;

  void send(Call& call) {
    shared_.claims[sent_ % Shared::kClaims].store(call.id, std::memory_order_relaxed);  // published with the frame
    under_way_[sent_ % Shared::kClaims] = &call;
    calls_.write(make_frame(Type::call, call.id, kNothing, call.argument));
    ++sent_;
  }
  void flush() {
    if (staged_ == 0) return;
    staged_ = 0;
    calls_.publish();
  }

  void take(const Frame& result) {
    if (sent_ == answered_) peers::fail("a result of no call");
    Call& call = *under_way_[answered_++ % Shared::kClaims];
    if (call.id != result.header.call_id) peers::fail("a result of another call");
    if (result.header.function != kNotMeasured) ran_for_ = result.header.function;
    call.result = value_of(result);
    call.started = std::max(call.submitted, busy_since_);
    busy_since_ = call.ended = now_;
    // Once it is half empty, until it is full: few publications for many calls.
    if (first_waiting_ != nullptr && sent_ - answered_ <= kMostAhead / 2) send_those_waiting();
    books_.end(call);
  }
  void send_those_waiting() {
    while (first_waiting_ != nullptr && sent_ - answered_ < kMostAhead) {
      Call& call = *first_waiting_;
      first_waiting_ = call.next_waiting;
      send(call);
      ++staged_;
    }
    flush();
  }

  peers::Caller& caller_;
  Shared& shared_ = make_shared_memory();  // until the program ends, as the worker's
  peers::WorkerProcess worker_{0, [this](const std::string& /*name*/, const auto& ready) {
                                 ready();
                                 serve(shared_);
                               }};
  Writer calls_{shared_.calls};
  Reader results_{shared_.results};
  peers::Books books_;
  peers::Alarms alarms_;
  Clock::time_point next_alarm_{};
  Clock::time_point now_{};
  Clock::time_point busy_since_{};  // the worker
  std::array<Call*, Shared::kClaims> under_way_{};
  std::uint64_t sent_ = 0;
  std::uint64_t answered_ = 0;
  std::size_t staged_ = 0;
  std::uint64_t ran_for_ = 0;  // nanoseconds, the last call that was measured
  Call* first_waiting_ = nullptr;
  Call* last_waiting_ = nullptr;
  bool stopped_ = false;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<FloorProcesses>(count, arguments); }

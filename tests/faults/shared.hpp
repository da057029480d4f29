// The memory that a run's supervisor and all processes of its scenario share: what is to fail, what has, and how the
// scenario went. A scenario notes here instead of printing, as that would be system calls and allocations, too.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <string_view>

#include "fault.hpp"

namespace faults {

// Operations on the ring that can be made to fail.
enum class RingOperation { recv, send, recvmsg, sendmsg, poll, timeout, read, write, accept, connect, open, sync };
inline constexpr std::size_t kRingOperations = 12;

// Text that grows at its end and is cut where it is full. One thread at a time.
template <std::size_t kSize>
struct Text {
  std::array<char, kSize> bytes{};
  std::size_t size = 0;

  void add(std::string_view more) noexcept { size += more.copy(bytes.data() + size, kSize - size); }
  [[nodiscard]] std::string_view view() const noexcept { return {bytes.data(), size}; }
};

struct Shared {
  // The filter's descriptor in the scenario's process, for the supervisor to take.
  std::atomic<int> listener = -1;
  std::atomic<bool> listener_taken = false;

  pid_t parent = 0;
  std::array<std::atomic<bool>, kRoles> armed{};
  std::atomic<long> injected = 0;

  // Allocations: how many there were, and which fails; 0: none. To count them takes system calls in some processes.
  bool counts_allocations = false;
  std::array<std::atomic<long>, kRoles> allocations{};
  std::array<long, kRoles> failing_allocation{};

  // Operations on the ring: -1: none fails, 0: every one, else the nth.
  std::array<std::atomic<long>, kRingOperations> operations{};
  std::array<long, kRingOperations> failing_operation{};
  int operation_error = 0;

  // What the scenario saw.
  Text<8192> failures;         // with something going wrong
  Text<4096> second_failures;  // with nothing going wrong any more: there must be none
  Text<4096> wrong;            // results, exceptions of no type of ours
  Text<4096> late;             // calls and starts that ended only because their time was over
  Text<32768> log;
  int expected_descriptors = -1;  // as many as there were with nothing going wrong; -1: that is what is to be known
  int expected_processes = -1;    // the same
  int open_descriptors = 0;
  int processes = 0;
  std::atomic<bool> finished = false;
};

// Of a scenario's processes; null in all others.
[[nodiscard]] Shared* shared() noexcept;
// Maps it from the descriptor that the environment names, and closes that.
void open_shared();

// Which of a scenario's processes this is.
[[nodiscard]] Role own_role(const Shared& shared) noexcept;

void arm(Shared& shared, bool armed) noexcept;

// What the scenario does for itself is not to fail.
class ForOurselves {
 public:
  ForOurselves() noexcept : was_(shared()->armed[0].exchange(false)) {}
  ForOurselves(const ForOurselves&) = delete;
  ForOurselves& operator=(const ForOurselves&) = delete;
  ~ForOurselves() { shared()->armed[0] = was_; }

 private:
  bool was_;
};

inline constexpr const char* kSharedVariable = "LEASEPOOL_FAULTS_SHARED";
inline constexpr const char* kServerName = "lp-forkserver";
inline constexpr const char* kWorkerName = "lp-faults";

}  // namespace faults

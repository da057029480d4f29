// Ledger: how often each call has run, in a file that all processes map. Functions note it there, so it outlives who is
// killed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lpbench::chaos {

class Ledger {
 public:
  // So many calls are known at once: a number takes the slot of the one that came so many before it.
  static constexpr std::size_t kSlots = std::size_t{1} << 16;

  // Of the file that the first caller in this process names, which it makes where there is none. Any thread; throws
  // std::system_error.
  static Ledger& of_process(const std::string& file);

  void begin(std::uint64_t number) noexcept;
  void note_run(std::uint64_t number) noexcept;  // any thread of any process
  [[nodiscard]] unsigned runs(std::uint64_t number) const noexcept;

 private:
  // The number, and in the lowest byte how often it has run.
  using Slot = std::atomic<std::uint64_t>;
  static_assert(Slot::is_always_lock_free);

  explicit Ledger(const std::string& file);
  [[nodiscard]] Slot& slot(std::uint64_t number) const noexcept { return slots_[number % kSlots]; }

  Slot* slots_;  // mapped for as long as the process lives
};

}  // namespace lpbench::chaos

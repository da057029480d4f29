// TraceWriter: what a TraceFile and the thread that writes it share.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.hpp"
#include "leasepool/duration.hpp"

namespace leasepool::detail {

class TraceWriter {
 public:
  static constexpr std::string_view kBegin = "[\n";
  static constexpr std::string_view kEnd = "\n]\n";

  explicit TraceWriter(UniqueFd file) noexcept : file_(std::move(file)) {}

  enum class Added { dropped, waits, is_first };  // is_first: somebody has to call write()
  // Throws std::bad_alloc, and then nothing is added.
  [[nodiscard]] Added add(std::string_view events, std::size_t most_waiting);

  // Once for each that is_first: some time later, as much as there is by then.
  void write() noexcept;

  // What is there is written without waiting for more, and waited for as long as said.
  void finish(Duration patience) noexcept;
  // write() is not called for what waits: there was no thread for it.
  void take_back() noexcept;

  // An errno; 0 as long as all was written. After one nothing more is.
  [[nodiscard]] int error() const noexcept { return error_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] int write_at(std::uint64_t offset, std::string_view bytes) noexcept;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string waiting_;      // under the mutex, as the flags
  bool is_asked_ = false;    // write() is or will be called
  bool is_writing_ = false;  // it is
  bool hurries_ = false;
  std::atomic<int> error_ = 0;
  const UniqueFd file_;  // these are the writing thread's
  std::string writing_;
  std::uint64_t offset_ = 0;  // of the array's end
};

}  // namespace leasepool::detail

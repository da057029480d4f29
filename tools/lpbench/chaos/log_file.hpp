// LogFile: where the managers of a chaos run log to, on a disk that can be full.
#pragma once

#include <leasepool/log.hpp>

#include <cstdint>
#include <string>

namespace lpbench::chaos {

class LogFile {
 public:
  // Throws std::system_error.
  explicit LogFile(const std::string& file);
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
  ~LogFile();

  // Throws std::system_error where the disk is full. The LogFile must outlive the managers that have it.
  [[nodiscard]] leasepool::LogSink sink();

  // The same for stderr, which is where a line goes that a sink did not take.
  void set_full(bool full);

  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  void write(const leasepool::LogRecord& record);

  int file_;
  int full_disk_;
  int standard_error_;  // as it was
  bool full_ = false;
  std::uint64_t written_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace lpbench::chaos

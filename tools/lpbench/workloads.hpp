// The functions that run on the pools: all registered, so that worker processes know them too.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lpbench {

// What is left of a file after it was worked on: equal for equal files.
struct FileDigest {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_made = 0;  // compressed size, or 0 where nothing is compressed
  std::uint32_t checksum = 0;    // CRC-32 of what was made, or of what was read

  bool operator==(const FileDigest&) const = default;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(bytes_read, bytes_made, checksum);
  }
};

// Reads a file piece by piece, in constant memory. Throws std::runtime_error with path and reason.
void read_file(const std::string& path, const std::function<void(std::string_view)>& piece);

// Both throw std::runtime_error that names the file.
using FileFunction = FileDigest (*)(const std::string& path);
FileDigest deflate_file(const std::string& path);
FileDigest hash_file(const std::string& path);

// Raises SIGSEGV, without leaving a core file.
void crash_on_purpose();

// They get a payload, take some time, and give the payload's size back.
using CallFunction = std::uint64_t (*)(std::uint64_t microseconds, const std::vector<std::uint8_t>& payload);
std::uint64_t noop(std::uint64_t microseconds, const std::vector<std::uint8_t>& payload);
std::uint64_t spin(std::uint64_t microseconds, const std::vector<std::uint8_t>& payload);  // of CPU time
std::uint64_t sleep(std::uint64_t microseconds, const std::vector<std::uint8_t>& payload);

// What each call does.
struct Work {
  std::string text = "noop";
  CallFunction function = &noop;
  std::uint64_t microseconds = 0;
};

}  // namespace lpbench

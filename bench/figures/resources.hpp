// What this program and the processes that it has forked hold.
#pragma once

#include <cstdint>

#include <cereal/cereal.hpp>

namespace figures {

struct Resources {
  std::uint64_t resident_bytes = 0;  // of this process
  std::uint64_t resident_bytes_of_all = 0;
  std::uint64_t descriptors = 0;  // of this process
  std::uint64_t threads = 0;      // of this process
  std::uint64_t processes = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(resident_bytes, resident_bytes_of_all, descriptors, threads, processes);
  }
};

// Takes milliseconds, as it looks at every process of the machine: those that run this program are its own.
Resources resources();

}  // namespace figures

// Memory that can be mapped by several processes and that none of them can make shorter or longer: a sealed memfd.
#pragma once

#include <cstddef>
#include <string>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// What nobody can undo of such a file.
extern const int kMemoryFileSeals;

struct MemoryFile {
  UniqueFd fd;                   // empty where it cannot be had, and then `errno` says why
  const char* failed = nullptr;  // the system call that failed
};

// Of zeros. The name is what /proc shows. Where this process may not have files of that size (ulimit -f) the error is
// EFBIG, and no signal comes.
[[nodiscard]] MemoryFile make_memory_file(const char* name, std::size_t size) noexcept;

// What failed, for a std::system_error of that errno: the system call and, where it was refused for a limit, the limit.
[[nodiscard]] std::string name_failed_step(const MemoryFile& file, int error);

}  // namespace leasepool::detail

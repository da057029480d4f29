// RLIMIT_FSIZE: to write beyond it brings SIGXFSZ, which ends the program.
#pragma once

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace leasepool::detail {

// How many bytes may be written to a file from an offset on. One that does not say what it is may be a regular one.
inline std::size_t room_below_file_size_limit(int fd, std::uint64_t offset) noexcept {
  rlimit limit{};
  struct stat status{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  if (::fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) return SIZE_MAX;
  return offset >= limit.rlim_cur ? 0 : limit.rlim_cur - offset;
}
// The same from where write(2) would go on: the descriptor's own position, or the end of one that appends.
inline std::size_t room_below_file_size_limit(int fd) noexcept {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return room_below_file_size_limit(fd, UINT64_MAX);  // who knows where it ends
  const off_t position = ::lseek(fd, 0, SEEK_CUR);
  const off_t end = position > status.st_size ? position : status.st_size;
  return room_below_file_size_limit(fd, end < 0 ? 0 : static_cast<std::uint64_t>(end));
}

}  // namespace leasepool::detail

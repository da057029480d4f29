// UniqueFd: the public Fd, under the name by which our own code owns descriptors.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "leasepool/fd.hpp"

namespace leasepool::detail {

using UniqueFd = Fd;

// A program may run with its standard streams closed: what the library opens must not become one of them.

// Another descriptor of the same open file, close-on-exec. Empty, and errno says why, where it is refused.
inline UniqueFd duplicate_above_standard_streams(int fd) noexcept {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!copy && errno == EINVAL) errno = EMFILE;  // the limit has no number above them
  return copy;
}

// The same descriptor if it is none of them, or none at all. Empty, and errno says why, where moving it is refused.
inline UniqueFd try_above_standard_streams(UniqueFd fd) noexcept {
  return fd.get() > STDERR_FILENO || !fd ? std::move(fd) : duplicate_above_standard_streams(fd.get());
}

// As above, of one that is open. Throws std::system_error.
inline UniqueFd above_standard_streams(UniqueFd fd) {
  UniqueFd moved = try_above_standard_streams(std::move(fd));
  if (!moved) throw std::system_error(errno, std::generic_category(), "leasepool: fcntl(F_DUPFD_CLOEXEC)");
  return moved;
}

}  // namespace leasepool::detail

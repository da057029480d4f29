// Once without blocking, else as much as a pipe has room for that polls as writable.
#include "base/write_without_signal.hpp"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/without_sigpipe.hpp"

namespace leasepool::detail {

ssize_t write_without_signal(int fd, std::span<const std::byte> bytes) noexcept {
  const WithoutSigpipe without;
  // Written from. NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  iovec whole{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  ssize_t written = ::pwritev2(fd, &whole, 1, -1, RWF_NOWAIT);
  // A pipe that polls as writable has room for so much.
  if (written < 0 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS || errno == EPERM)) {
    written = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
  }
  if (written < 0 && errno == EPIPE) without.take();
  return written;
}

}  // namespace leasepool::detail

// Writing to a pipe whose other end may be gone, without the signal that comes with that.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

namespace leasepool::detail {

// As write(2) to a descriptor that was polled: writes a part at most, and does not block where another writer was
// quicker, on kernels and files that can tell. Returns -1 with errno, EPIPE without SIGPIPE, whose disposition is left
// alone. Any thread.
ssize_t write_without_signal(int fd, std::span<const std::byte> bytes) noexcept;

}  // namespace leasepool::detail

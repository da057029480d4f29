// Whether a descriptor is a socket, asked without fstat(2).
#pragma once

#include <sys/socket.h>

namespace leasepool::detail {

// False, too, where the system does not say.
inline bool is_socket(int fd) noexcept {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

}  // namespace leasepool::detail

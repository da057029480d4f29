// SocketPair: the two ends of a connected stream socket, and blocking I/O on one of them.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>
#include <vector>

#include "base/unique_fd.hpp"

namespace leasepool::test {

struct SocketPair {
  SocketPair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      throw std::system_error(errno, std::generic_category(), "socketpair");
    }
    ours = leasepool::detail::UniqueFd(ends[0]);
    theirs = leasepool::detail::UniqueFd(ends[1]);
  }
  leasepool::detail::UniqueFd ours;
  leasepool::detail::UniqueFd theirs;
};

// Blocks until all is sent; false when the other end is gone.
inline bool send_all(int socket, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

// Blocks until `count` bytes or the end of the stream have come.
inline std::vector<std::byte> receive(int socket, std::size_t count) {
  std::vector<std::byte> bytes(count);
  std::size_t have = 0;
  while (have < count) {
    const ssize_t got = ::recv(socket, bytes.data() + have, count - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

}  // namespace leasepool::test

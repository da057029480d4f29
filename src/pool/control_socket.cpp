// Sending and receiving records with SCM_RIGHTS.
#include "pool/control_socket.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kMostFds = 5;

union FdSpace {
  cmsghdr header;  // for its alignment
  std::byte bytes[CMSG_SPACE(sizeof(int) * kMostFds)];
};

}  // namespace

std::pair<UniqueFd, UniqueFd> make_socket_pair(int type) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) {
    throw std::system_error(errno, std::generic_category(), "leasepool: socketpair");
  }
  UniqueFd first(ends[0]);
  UniqueFd second(ends[1]);
  return {above_standard_streams(std::move(first)), above_standard_streams(std::move(second))};
}

int send_control(int socket, const ControlRecord& record) {
  const std::size_t count = record.fds.size();
  check(count <= kMostFds, "a control message carries few descriptors");
  ControlMessage message = record.message;
  iovec part{.iov_base = &message, .iov_len = sizeof message};
  FdSpace space{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (count > 0) {
    header.msg_control = &space;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (std::size_t i = 0; i < count; ++i) {
      const int fd = record.fds[i].get();
      std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  for (;;) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

ReceiveState receive_control(int socket, ControlRecord& record) {
  record = {};
  iovec part{.iov_base = &record.message, .iov_len = sizeof record.message};
  FdSpace space{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = &space;
  header.msg_controllen = sizeof space;
  ssize_t received = 0;
  do {
    received = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return errno == EAGAIN ? ReceiveState::nothing_yet : ReceiveState::closed;

  for (cmsghdr* part_header = CMSG_FIRSTHDR(&header); part_header != nullptr;
       part_header = CMSG_NXTHDR(&header, part_header)) {
    if (part_header->cmsg_level != SOL_SOCKET || part_header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part_header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part_header) + i * sizeof fd, sizeof fd);
      record.fds.emplace_back(fd);
    }
  }
  if (received != static_cast<ssize_t>(sizeof record.message) || (header.msg_flags & MSG_TRUNC) != 0) {
    record = {};
    return ReceiveState::closed;
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0) record.fds.clear();
  return ReceiveState::received;
}

}  // namespace leasepool::detail

// Sending and receiving records with SCM_RIGHTS.
#include "shared/control_socket.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace leasepool::detail {

namespace {

// Room for the descriptors of a record.
struct Ancillary {
  alignas(cmsghdr) std::byte bytes[CMSG_SPACE(sizeof(int) * ControlFds::kMax)]{};
};

ReceiveState state_of(int error) noexcept {
  if (error == EAGAIN) return ReceiveState::nothing_yet;
  return error == ENOMEM || error == ENOBUFS ? ReceiveState::try_later : ReceiveState::closed;
}

// An ECONNRESET says that the other end went before it had read everything, once; what it had sent is still to be read.
bool is_to_be_repeated(int error) noexcept { return error == EINTR || error == ECONNRESET; }

void take_descriptors(msghdr& header, ControlFds& fds) noexcept {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = std::min((control->cmsg_len - CMSG_LEN(0)) / sizeof(int), ControlFds::kMax);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(control) + i * sizeof descriptor, sizeof descriptor);
      fds.push_back(UniqueFd(descriptor));
    }
  }
}

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

int send_control(int socket, const ControlMessage& message, std::span<const UniqueFd> fds) noexcept {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): sendmsg() only reads, but its type cannot say so
  iovec part{.iov_base = const_cast<ControlMessage*>(&message), .iov_len = sizeof message};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  Ancillary room;
  if (!fds.empty()) {
    header.msg_control = room.bytes;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    for (std::size_t i = 0; i < fds.size(); ++i) {
      const int descriptor = fds[i].get();
      std::memcpy(CMSG_DATA(rights) + i * sizeof descriptor, &descriptor, sizeof descriptor);
    }
  }
  for (;;) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

bool is_gone(int error) noexcept {
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ECONNREFUSED;
}

ReceiveState receive_control(int socket, ControlRecord& record) noexcept {
  record = {};
  iovec part{.iov_base = &record.message, .iov_len = sizeof record.message};
  Ancillary room;
  msghdr header{};
  ssize_t received = 0;
  do {
    header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = room.bytes;
    header.msg_controllen = CMSG_LEN(sizeof(int) * ControlFds::kMax);  // what `room` is rounded up to has one more
    received = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (received < 0 && is_to_be_repeated(errno));
  if (received < 0) return state_of(errno);
  take_descriptors(header, record.fds);
  if (received != static_cast<ssize_t>(sizeof record.message) || (header.msg_flags & MSG_TRUNC) != 0) {
    record = {};
    return ReceiveState::closed;
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0) record.fds.clear();
  record.message.name.back() = '\0';  // whoever reads it goes on to its end
  return ReceiveState::received;
}

ReceiveState peek_control(int socket, ControlType& type) noexcept {
  ssize_t received = 0;
  do {
    received = ::recv(socket, &type, sizeof type, MSG_PEEK | MSG_DONTWAIT);
  } while (received < 0 && is_to_be_repeated(errno));
  if (received < 0) return state_of(errno);
  return received == static_cast<ssize_t>(sizeof type) ? ReceiveState::received : ReceiveState::closed;
}

}  // namespace leasepool::detail

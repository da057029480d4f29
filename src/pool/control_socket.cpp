// Sending and receiving records with SCM_RIGHTS.
#include "pool/control_socket.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include "wire/message.hpp"

namespace leasepool::detail {

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
  Message message;
  const msghdr* const header = message.to_send(std::as_bytes(std::span(&record.message, 1)), record.fds);
  for (;;) {
    if (::sendmsg(socket, header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

ReceiveState receive_control(int socket, ControlRecord& record) {
  record = {};
  Message message;
  msghdr* const header = message.to_receive(std::as_writable_bytes(std::span(&record.message, 1)));
  ssize_t received = 0;
  do {
    received = ::recvmsg(socket, header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return errno == EAGAIN ? ReceiveState::nothing_yet : ReceiveState::closed;

  Arrival arrival = message.arrived();
  if (received != static_cast<ssize_t>(sizeof record.message) || (header->msg_flags & MSG_TRUNC) != 0) {
    record = {};
    return ReceiveState::closed;
  }
  if (!arrival.some_lost) record.fds = std::move(arrival.descriptors);
  return ReceiveState::received;
}

}  // namespace leasepool::detail

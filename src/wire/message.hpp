// Message: what sendmsg() and recvmsg() are given, bytes with room for descriptors (SCM_RIGHTS) beside them.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <span>

#include "leasepool/detail/descriptors.hpp"

namespace leasepool::detail {

// Stays where it is, and alive, while the kernel works on it. It is prepared anew for each use.
class Message {
 public:
  Message() = default;
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  // To be received with MSG_CMSG_CLOEXEC, and nothing else be done before arrived() if bytes came.
  [[nodiscard]] msghdr* to_receive(std::span<std::byte> into) noexcept;

  // Appends the descriptors that came, for which there must be room: kMaxDescriptors at most. Returns whether more were
  // sent, for which this process had none.
  [[nodiscard]] bool arrived(Descriptors& descriptors) noexcept;

  // At most kMaxDescriptors; they stay the caller's.
  [[nodiscard]] msghdr* to_send(std::span<const std::byte> bytes, std::span<const Fd> descriptors) noexcept;

 private:
  msghdr header_{};
  iovec part_{};
  alignas(cmsghdr) std::byte control_[CMSG_SPACE(sizeof(int) * kMaxDescriptors)]{};
};

}  // namespace leasepool::detail

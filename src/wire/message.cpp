// Control messages in and out.
#include "wire/message.hpp"

#include <cstring>
#include <utility>

#include "base/check.hpp"
#include "base/unique_fd.hpp"

namespace leasepool::detail {

msghdr* Message::to_receive(std::span<std::byte> into) noexcept {
  part_ = {.iov_base = into.data(), .iov_len = into.size()};
  header_ = {};
  header_.msg_iov = &part_;
  header_.msg_iovlen = 1;
  header_.msg_control = control_;
  header_.msg_controllen = sizeof control_;
  return &header_;
}

bool Message::arrived(Descriptors& descriptors) noexcept {
  bool some_lost = (header_.msg_flags & MSG_CTRUNC) != 0;
  if (header_.msg_controllen == 0) return some_lost;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header_); control != nullptr; control = CMSG_NXTHDR(&header_, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    check(descriptors.capacity() - descriptors.size() >= count, "there is room for the descriptors that come");
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(control) + i * sizeof descriptor, sizeof descriptor);
      UniqueFd received = try_above_standard_streams(UniqueFd(descriptor));
      received ? descriptors.push_back(std::move(received)) : void(some_lost = true);
    }
  }
  return some_lost;
}

msghdr* Message::to_send(std::span<const std::byte> bytes, std::span<const Fd> descriptors) noexcept {
  check(descriptors.size() <= kMaxDescriptors, "a message has no more descriptors than the kernel passes");
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): sendmsg() only reads, but its type cannot say so
  part_ = {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  header_ = {};
  header_.msg_iov = &part_;
  header_.msg_iovlen = 1;
  if (descriptors.empty()) return &header_;
  header_.msg_control = control_;
  header_.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
  cmsghdr* const rights = CMSG_FIRSTHDR(&header_);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    const int descriptor = descriptors[i].get();
    std::memcpy(CMSG_DATA(rights) + i * sizeof descriptor, &descriptor, sizeof descriptor);
  }
  return &header_;
}

}  // namespace leasepool::detail

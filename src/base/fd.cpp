// Closing and duplicating descriptors.
#include "leasepool/fd.hpp"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "base/unique_fd.hpp"

namespace leasepool {

void Fd::reset() noexcept {
  if (descriptor_ >= 0) ::close(release());  // close() is not repeated on EINTR: the number is free already
}

Fd Fd::duplicate() const {
  if (descriptor_ < 0) return {};
  Fd copy = detail::duplicate_above_standard_streams(descriptor_);
  if (!copy) {
    throw std::system_error(errno, std::generic_category(),
                            "leasepool: descriptor " + std::to_string(descriptor_) + " cannot be duplicated");
  }
  return copy;
}

}  // namespace leasepool

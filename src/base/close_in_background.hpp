// Closing descriptors that another process chose: closing one may take as long as it likes (SO_LINGER, file systems of
// networks and of user space, memory of many pages).
#pragma once

#include "base/unique_fd.hpp"
#include "leasepool/detail/descriptors.hpp"

namespace leasepool::detail {

// On a thread of their own; here where there is no memory or no thread for that. Any thread.
void close_in_background(Descriptors&& descriptors) noexcept;
void close_in_background(UniqueFd descriptor) noexcept;

}  // namespace leasepool::detail

// Closing what a forked process is not to have.
#pragma once

#include <initializer_list>

namespace leasepool::detail {

// Leaves the standard streams and the given descriptors open; those below 0 are none. Where close_range() is refused,
// one by one. 0, or the errno of what was tried last, and then some may be open still. Takes no memory.
int close_all_but(std::initializer_list<int> fds) noexcept;

// Opens /dev/null for the standard streams that are closed: what is opened later must not become one of them. 0 or an
// errno.
int open_standard_streams() noexcept;

}  // namespace leasepool::detail

// In libstdc++'s debug mode containers have other sizes. Where a program and its library differ in that, the linker
// says so by the name of what is missing.
#pragma once

#include "leasepool/detail/export.hpp"

namespace leasepool::detail {

// NOLINTBEGIN(cppcoreguidelines-interfaces-global-init): an address alone
#ifdef _GLIBCXX_DEBUG
LEASEPOOL_EXPORT extern const char compiled_with_GLIBCXX_DEBUG;
[[gnu::used]] inline const char* const kSameContainers = &compiled_with_GLIBCXX_DEBUG;
#else
LEASEPOOL_EXPORT extern const char compiled_without_GLIBCXX_DEBUG;
[[gnu::used]] inline const char* const kSameContainers = &compiled_without_GLIBCXX_DEBUG;
#endif
// NOLINTEND(cppcoreguidelines-interfaces-global-init)

}  // namespace leasepool::detail

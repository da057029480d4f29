// Prints a broken invariant and aborts.
#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace leasepool::detail {

void invariant_failed(std::string_view what, std::source_location where) noexcept {
  std::fprintf(stderr, "leasepool: broken invariant at %s:%u: %.*s\n", where.file_name(),
               static_cast<unsigned>(where.line()), static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace leasepool::detail

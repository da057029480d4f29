// The filter of a build that has no libseccomp: there is none.
#include "sandbox/system_call_filter.hpp"

namespace leasepool::detail {

std::optional<std::string> missing_for_filter() {
  return "libseccomp is missing: this build of leasepool was made without it (install libseccomp-dev and build again "
         "with -Dseccomp=enabled)";
}

std::optional<std::string> enter_filter(const FilterOptions& /*options*/) { return missing_for_filter(); }

std::string system_call_name(std::uint32_t /*architecture*/, std::uint32_t number) {
  return "system call " + std::to_string(number);
}

}  // namespace leasepool::detail

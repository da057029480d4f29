// Errors of calls between a program and its worker processes; leasepool/detail/registry.hpp has those that templates
// need.
#pragma once

#include <cstddef>
#include <string_view>

#include "leasepool/error.hpp"

namespace leasepool::detail {

// Of a function that the parent knows and its workers do not.
Error unknown_to_worker_error(std::string_view function);

// bad_payload: some descriptors of the arguments or of the result did not arrive for want of room in the process that
// received them, or the kernel refused, with an errno, to send them. `doing` is what failed.
Error lost_descriptors_error(std::string_view function, std::string_view doing, std::size_t count,
                             std::string_view remedy);
Error refused_descriptors_error(std::string_view function, std::string_view doing, int error);

}  // namespace leasepool::detail

// Looking up registered functions where they run.
#pragma once

#include <string_view>

#include "leasepool/detail/registry.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

// Null if this process does not know the id.
const RegisteredFunction* find_function_by_id(FunctionId id);

// Throws LeasePoolError naming both functions when two share an id.
void check_registry();

// Of a function that the parent knows and its workers do not.
Error unknown_to_worker_error(std::string_view function);

}  // namespace leasepool::detail

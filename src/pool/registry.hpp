// Looking up registered functions where they run.
#pragma once

#include "leasepool/function.hpp"

namespace leasepool::detail {

// Null if this process does not know the id.
const RegisteredFunction* find_function_by_id(FunctionId id);

// Throws LeasePoolError naming both functions when two share an id.
void check_registry();

}  // namespace leasepool::detail

// What the options of a grinder and of its items may be.
#pragma once

#include "leasepool/grinder_options.hpp"

namespace leasepool::detail {

// Throw std::invalid_argument naming the option and its value.
void check_grinder_options(const GrinderOptions& options);
void check_item_options(const ItemOptions& options);

}  // namespace leasepool::detail

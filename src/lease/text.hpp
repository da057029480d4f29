// How durations and owners read in messages.
#pragma once

#include <string>
#include <string_view>

#include "leasepool/duration.hpp"

namespace leasepool::detail {

// "15 s", "250 ms", "never": the largest unit that keeps two digits.
std::string in_words(Duration duration);

// An owner in quotes; long ones cut, control characters escaped; "an unnamed owner" when empty.
std::string quoted_owner(std::string_view owner);

}  // namespace leasepool::detail

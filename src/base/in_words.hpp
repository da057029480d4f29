// How durations read in messages.
#pragma once

#include <string>

#include "leasepool/duration.hpp"

namespace leasepool::detail {

// "15 s", "250 ms", "never": the largest unit that keeps two digits.
std::string in_words(Duration duration);

}  // namespace leasepool::detail

// How durations and owners read in messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "leasepool/duration.hpp"

namespace leasepool::detail {

// "15 s", "250 ms", "never": the largest unit that keeps two digits.
std::string in_words(Duration duration);

// How many bytes the first character of a text takes; 0 if it should not be shown as it is: a control character, or
// bytes that are not UTF-8.
std::size_t printable_length(std::string_view text);

// In quotes; long ones cut, what cannot be shown escaped as \xNN.
std::string quoted(std::string_view text);

// An owner in quotes; "an unnamed owner" when empty.
std::string quoted_owner(std::string_view owner);

}  // namespace leasepool::detail

// How owners read in messages, and, of base, durations.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/in_words.hpp"

namespace leasepool::detail {

// How many bytes the first character of a text takes; 0 if it should not be shown as it is: a control character, or
// bytes that are not UTF-8.
std::size_t printable_length(std::string_view text);

// In quotes; long ones cut, what cannot be shown escaped as \xNN.
std::string quoted(std::string_view text);

// An owner in quotes; "an unnamed owner" when empty.
std::string quoted_owner(std::string_view owner);

}  // namespace leasepool::detail

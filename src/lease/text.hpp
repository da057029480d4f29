// How owners read in messages, and, of base, durations and other texts.
#pragma once

#include <string>
#include <string_view>

#include "base/in_words.hpp"
#include "base/printable.hpp"

namespace leasepool::detail {

// In quotes; long ones cut, what cannot be shown escaped as \xNN.
std::string in_quotes(std::string_view text);

// An owner in quotes; "an unnamed owner" when empty.
std::string quoted_owner(std::string_view owner);

}  // namespace leasepool::detail

// Which bytes of a text can be shown as they are, and texts in JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace leasepool::detail {

// How many bytes the first character of a text takes; 0 if it should not be shown as it is: a control character, or
// bytes that are not UTF-8.
std::size_t printable_length(std::string_view text);

// Appends the text as a string of JSON, in quotes. Bytes that are no UTF-8 are shown as Unicode's replacement
// character.
void append_json_string(std::string& out, std::string_view text);

}  // namespace leasepool::detail

// UTF-8 that may be broken, as file names and messages are.
#pragma once

#include <cstddef>
#include <string_view>

namespace lpbench {

// How many bytes the UTF-8 character at the front of `text`, which is not empty, has; 0 if it is not one (RFC 3629,
// overlong forms and surrogates excluded).
std::size_t utf8_length(std::string_view text);

}  // namespace lpbench

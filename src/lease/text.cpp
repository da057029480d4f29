// Words for messages.
#include "lease/text.hpp"

#include <algorithm>

namespace leasepool::detail {

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMax = 64;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string quoted = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = printable_length(text.substr(at, 4));
    if (at + std::max<std::size_t>(length, 1) > kMax) return quoted + "...\"";
    if (length == 0 || text[at] == '"' || text[at] == '\\') {
      const auto byte = static_cast<unsigned char>(text[at++]);
      quoted += {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
    } else {
      quoted += text.substr(at, length);
      at += length;
    }
  }
  return quoted + "\"";
}

std::string quoted_owner(std::string_view owner) { return owner.empty() ? "an unnamed owner" : in_quotes(owner); }

}  // namespace leasepool::detail

// Words for messages.
#include "lease/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace leasepool::detail {

std::size_t printable_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](std::size_t i, unsigned least = 0x80, unsigned most = 0xbf) {
    return byte(i) >= least && byte(i) <= most;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  // The table of well-formed sequences in chapter 3 of the Unicode standard, without the control characters behind C2.
  if (first >= 0xc2 && first <= 0xdf) return follows(1, first == 0xc2 ? 0xa0 : 0x80) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool second = follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool second = follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

std::string quoted(std::string_view text) {
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

std::string quoted_owner(std::string_view owner) { return owner.empty() ? "an unnamed owner" : quoted(owner); }

}  // namespace leasepool::detail

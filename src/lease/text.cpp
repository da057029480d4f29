// Words for messages.
#include "lease/text.hpp"

#include <array>
#include <cstdint>

namespace leasepool::detail {

std::string in_words(Duration duration) {
  if (duration == Duration::max()) return "never";
  struct Unit {
    std::int64_t nanoseconds;
    const char* name;
  };
  constexpr std::array<Unit, 3> kUnits{{{1'000'000'000, " s"}, {1'000'000, " ms"}, {1'000, " us"}}};
  const std::int64_t count = duration.count();
  for (const Unit& unit : kUnits) {
    if (count % unit.nanoseconds == 0 || count / unit.nanoseconds >= 10 || count / unit.nanoseconds <= -10) {
      return std::to_string(count / unit.nanoseconds) + unit.name;
    }
  }
  return std::to_string(count) + " ns";
}

std::string quoted_owner(std::string_view owner) {
  constexpr std::size_t kLongest = 64;
  if (owner.empty()) return "an unnamed owner";
  std::string text = "\"";
  for (const char c : owner.substr(0, kLongest)) {
    constexpr std::string_view kHex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '"' || c == '\\') {
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
    } else {
      text += c;
    }
  }
  return text + (owner.size() > kLongest ? "...\"" : "\"");
}

}  // namespace leasepool::detail

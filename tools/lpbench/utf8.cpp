// What is a character of UTF-8 and what is not.
#include "utf8.hpp"

#include <algorithm>

namespace lpbench {

namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

}  // namespace

std::size_t utf8_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = 2U + (first >= 0xE0 ? 1U : 0U) + (first >= 0xF0 ? 1U : 0U);
  if (text.size() < length || !std::ranges::all_of(text.substr(1, length - 1), continues)) return 0;
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second >= 0xA0;
  const bool past_the_end = first == 0xF4 && second >= 0x90;
  return overlong || surrogate || past_the_end ? 0 : length;
}

}  // namespace lpbench

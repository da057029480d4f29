// Escapes, and numbers for pages.
#include "page/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "units.hpp"
#include "utf8.hpp"

namespace lpbench {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_noncharacter(std::string_view character) { return character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF"; }

std::string_view escaped_ascii(const char& character) {
  switch (character) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    case '\t':
    case '\n': return " ";
    default: break;
  }
  const bool control = static_cast<unsigned char>(character) < 0x20 || character == 0x7F;
  return control ? kReplacement : std::string_view(&character, 1);
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, length);
    if (length == 1) {
      out += escaped_ascii(text[0]);
    } else {
      out += length == 0 || is_noncharacter(character) ? kReplacement : character;
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t most) {
  std::size_t end = 0;
  std::size_t end_with_dots = 0;
  for (std::size_t count = 0; end < text.size(); ++count) {
    if (count + 1 == most) end_with_dots = end;
    if (count == most) return std::string(text.substr(0, end_with_dots)) + "…";
    end += std::max<std::size_t>(utf8_length(text.substr(end)), 1);
  }
  return std::string(text);
}

std::string page_time(leasepool::Duration duration) {
  std::string text = human(duration);
  if (text.ends_with(" us")) text.replace(text.size() - 2, 1, "µ");
  return text;
}

std::string short_number(double number) {
  // The step between ticks is round, so that few digits say all.
  if (number >= 999.5e6) return fmt::format("{:.4g}G", number / 1e9);
  if (number >= 999.5e3) return fmt::format("{:.4g}M", number / 1e6);
  if (number >= 999.5) return fmt::format("{:.4g}k", number / 1e3);
  return fmt::format("{:.4g}", number);
}

}  // namespace lpbench

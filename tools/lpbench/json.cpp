// The escapes of JSON strings, and of texts on a terminal.
#include "json.hpp"

#include <algorithm>
#include <cstddef>

#include "utf8.hpp"

namespace lpbench {

namespace {

// What steers a terminal, or is no UTF-8, as an escape of JSON's; and a backslash before each of `quoted`.
std::string with_escapes(std::string_view text, std::string_view quoted) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    const unsigned code = length == 2 && first == 0xC2 ? static_cast<unsigned char>(text[1]) : first;
    if (length == 0) {
      out += "\\ufffd";
    } else if (code == '\n' || code == '\t') {
      out += code == '\n' ? "\\n" : "\\t";
    } else if (code < 0x20 || code == 0x7F || (first == 0xC2 && code < 0xA0)) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      if (length == 1 && quoted.contains(text.front())) out += '\\';
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return with_escapes(text, ""); }

std::string json_string(std::string_view text) { return '"' + with_escapes(text, "\"\\") + '"'; }

}  // namespace lpbench

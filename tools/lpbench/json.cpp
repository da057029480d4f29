// The escapes of JSON strings.
#include "json.hpp"

#include <algorithm>
#include <cstddef>

#include "utf8.hpp"

namespace lpbench {

namespace {

void append_ascii(std::string& out, char character) {
  switch (character) {
    case '"':
    case '\\':
      out += '\\';
      out += character;
      break;
    case '\n': out += "\\n"; break;
    case '\t': out += "\\t"; break;
    default:
      if (static_cast<unsigned char>(character) < 0x20 || character == 0x7F) {
        out += fmt::format("\\u{:04x}", static_cast<unsigned char>(character));
      } else {
        out += character;
      }
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 1) {
      append_ascii(out, text[0]);
    } else if (length == 0) {
      out += "\\ufffd";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string json_string(std::string_view text) { return '"' + printable(text) + '"'; }

}  // namespace lpbench

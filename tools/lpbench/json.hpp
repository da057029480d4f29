// Writes JSON (RFC 8259): objects and arrays that grow member by member, and strings that are safe to print.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>

namespace lpbench {

// A string with its quotes. Bytes that are not UTF-8, as file names may hold, become U+FFFD.
std::string json_string(std::string_view text);

// The same, but quotes and backslashes stay: what a terminal can show without being steered by it.
std::string printable(std::string_view text);

inline std::string json_value(std::string_view text) { return json_string(text); }
inline std::string json_value(const char* text) { return json_string(text); }
inline std::string json_value(bool value) { return value ? "true" : "false"; }
template <class T>
  requires std::integral<T> || std::floating_point<T>
std::string json_value(T number) {
  return fmt::format("{}", number);
}

// JSON that is complete already, to be put in as it stands.
struct Json {
  std::string text;
};
inline std::string json_value(const Json& json) { return json.text; }

class JsonObject {
 public:
  template <class T>
  JsonObject& add(std::string_view name, const T& value) {
    members_ += fmt::format("{}{}: {}", members_.empty() ? "" : ", ", json_string(name), json_value(value));
    return *this;
  }
  [[nodiscard]] Json json() const { return {'{' + members_ + '}'}; }

 private:
  std::string members_;
};

class JsonArray {
 public:
  template <class T>
  JsonArray& add(const T& value) {
    elements_ += (elements_.empty() ? "" : ", ") + json_value(value);
    return *this;
  }
  [[nodiscard]] Json json() const { return {'[' + elements_ + ']'}; }

 private:
  std::string elements_;
};

}  // namespace lpbench

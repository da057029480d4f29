// Subjects: what is one, what is a pattern of some, and which match. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace leasepool::detail::nats {

// With two of them and their lengths a command stays below 4 KiB, which a server takes at most of one.
inline constexpr std::size_t kMaxSubject = 1024;

// The first token of a subject; the rest is what is behind its dot.
[[nodiscard]] constexpr std::string_view take_token(std::string_view& rest, bool& is_last) noexcept {
  const std::size_t dot = rest.find('.');
  const std::string_view token = rest.substr(0, dot);
  is_last = dot == std::string_view::npos;
  rest = is_last ? std::string_view() : rest.substr(dot + 1);
  return token;
}

// Tokens of visible ASCII characters with dots between them; of a pattern, "*" may be a token and ">" the last one.
[[nodiscard]] constexpr bool is_valid(std::string_view subject, bool wildcards) noexcept {
  if (subject.size() > kMaxSubject) return false;
  if (std::ranges::any_of(subject, [](char c) { return c <= ' ' || c > '~'; })) return false;
  for (bool is_last = false; !is_last;) {
    const std::string_view token = take_token(subject, is_last);
    if (token.empty()) return false;
    if (token == "*" && !wildcards) return false;
    if (token == ">" && (!wildcards || !is_last)) return false;
  }
  return true;
}
[[nodiscard]] constexpr bool is_subject(std::string_view subject) noexcept { return is_valid(subject, false); }
[[nodiscard]] constexpr bool is_pattern(std::string_view pattern) noexcept { return is_valid(pattern, true); }

// Both are valid.
[[nodiscard]] constexpr bool matches(std::string_view pattern, std::string_view subject) noexcept {
  for (;;) {
    bool last_of_pattern = false;
    bool last_of_subject = false;
    const std::string_view wanted = take_token(pattern, last_of_pattern);
    if (wanted == ">") return true;
    const std::string_view token = take_token(subject, last_of_subject);
    if (wanted != "*" && wanted != token) return false;
    if (last_of_pattern || last_of_subject) return last_of_pattern == last_of_subject;
  }
}

}  // namespace leasepool::detail::nats

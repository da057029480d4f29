// What stands between white space.
#pragma once

#include <algorithm>
#include <string_view>

namespace leasepool::detail::nats {

[[nodiscard]] constexpr std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

}  // namespace leasepool::detail::nats

// Text as it goes into a page that is HTML and well-formed XML at once.
#pragma once

#include <leasepool/duration.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace lpbench {

// For the inside of elements and of attributes in double quotes. What XML cannot hold becomes U+FFFD.
std::string escaped(std::string_view text);

// So many characters at most, the last of them "…" where something is left out.
std::string shortened(std::string_view text, std::size_t most);

// As human(), with the sign for micro.
std::string page_time(leasepool::Duration duration);

// "950", "12k", "1.5M": for axes.
std::string short_number(double number);

}  // namespace lpbench

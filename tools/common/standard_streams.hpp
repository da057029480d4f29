// Standard output and error of the tools: what cannot be written to the one is a failure, and never ends up elsewhere;
// what cannot be written to the other is lost, and changes nothing.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace tools {

// First in main(): a standard stream that was closed stays unusable. Otherwise the next socket or file gets its number,
// and what is printed goes there.
void hold_standard_streams();

// To standard output. All throw std::runtime_error, which says why.
void print_text(std::string_view text);
template <class... Arguments>
void print(fmt::format_string<Arguments...> format, const Arguments&... arguments) {
  print_text(fmt::vformat(format, fmt::make_format_args(arguments...)));
}
void flush_output();  // last in main(), too: until then it is not known whether all was written

// To standard error. Both throw std::bad_alloc alone.
void complain_text(std::string_view text);
template <class... Arguments>
void complain(fmt::format_string<Arguments...> format, const Arguments&... arguments) {
  complain_text(fmt::vformat(format, fmt::make_format_args(arguments...)));
}

}  // namespace tools

// Names of types and functions as the compiler prints them: for messages, and for the ids of functions.
#pragma once

#include <string_view>

namespace leasepool::detail {

// The text between `name = ` and the end of the template argument in __PRETTY_FUNCTION__, which Clang and GCC
// print as "[T = int]" and "[with T = int; std::string_view = ...]".
constexpr std::string_view template_argument(std::string_view pretty, std::string_view marker) {
  const auto begin = pretty.find(marker) + marker.size();
  auto end = pretty.find(';', begin);
  if (end == std::string_view::npos) end = pretty.rfind(']');
  return pretty.substr(begin, end - begin);
}

template <class T>
constexpr std::string_view type_name() {
  return template_argument(__PRETTY_FUNCTION__, "T = ");
}

// The qualified name of the function, without its parameters.
template <auto F>
constexpr std::string_view function_name() {
  std::string_view name = template_argument(__PRETTY_FUNCTION__, "F = ");
  if (name.starts_with('&')) name.remove_prefix(1);
  return name;
}

}  // namespace leasepool::detail

// Catch2's macros, whichever of its two generations the system has.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Matchers::ContainsSubstring;  // NOLINT(misc-unused-using-decls)
#else
#include <catch2/catch.hpp>

#include <string>
inline auto ContainsSubstring(const std::string& part) { return Catch::Matchers::Contains(part); }
// Of elements in the other generation, and so not for what is compiled with both.
#pragma GCC poison Contains
#endif

// The page at /.
#pragma once

#include <string_view>

std::string_view page() noexcept;

// Where log lines go: the manager's sink, or stderr from warnings on.
#pragma once

#include <string_view>

#include "leasepool/options.hpp"

namespace leasepool::detail {

void write_log(const LogSink& sink, LogLevel level, std::string_view text);

}  // namespace leasepool::detail

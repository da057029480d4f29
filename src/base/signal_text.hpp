// A signal's number and names, for messages.
#pragma once

#include <string>

namespace leasepool::detail {

// "signal 11 (SIGSEGV, Segmentation fault)"; what is known beyond that goes before the last parenthesis.
std::string signal_text(int signal, const std::string& more = {});

}  // namespace leasepool::detail

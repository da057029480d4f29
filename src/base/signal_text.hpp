// A signal's number and names, for messages.
#pragma once

#include <string>

namespace leasepool::detail {

// "signal 11 (SIGSEGV, Segmentation fault)".
std::string signal_text(int signal);

}  // namespace leasepool::detail

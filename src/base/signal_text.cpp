// The C library's names.
#include "base/signal_text.hpp"

#include <cstring>

namespace leasepool::detail {

std::string signal_text(int signal, const std::string& more) {
  const char* const name = ::sigabbrev_np(signal);
  return "signal " + std::to_string(signal) +
         (name == nullptr ? "" : " (SIG" + std::string(name) + ", " + ::sigdescr_np(signal) + more + ")");
}

}  // namespace leasepool::detail

// The C library's streams, whose errors are looked at.
#include "standard_streams.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>

namespace tools {

namespace {

[[noreturn]] void refuse(int error) {
  // A stream that failed earlier does not say any more why.
  throw std::runtime_error("cannot write to standard output" +
                           (error == 0 ? std::string() : ": " + std::generic_category().message(error)));
}

}  // namespace

void hold_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    // The lowest number that is free, so this one; opened for the other direction, so that it says EBADF as before.
    (void)::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

void print_text(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) refuse(errno);
}

void flush_output() {
  errno = 0;
  if (std::fflush(stdout) != 0) refuse(errno);
  if (std::ferror(stdout) != 0) refuse(0);
}

void complain_text(std::string_view text) {
  (void)std::fwrite(text.data(), 1, text.size(), stderr);
  (void)std::fflush(stderr);
}

}  // namespace tools

// The progress line on stderr.
#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstddef>

#include "../common/standard_streams.hpp"

namespace lpbench {

namespace {

// Often enough to look alive, and too seldom to take time from what is measured.
constexpr std::chrono::milliseconds kRedrawn(200);

constexpr std::string_view kStartOfLineAndErase = "\r\x1b[K";

// A line that is as wide as the terminal would wrap, and could not be redrawn.
std::size_t widest_line() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1U : 79U;
}

}  // namespace

Progress::Progress(std::chrono::steady_clock::duration elsewhere)
    : terminal_(isatty(STDERR_FILENO) == 1),
      interval_(terminal_ ? kRedrawn : elsewhere),
      next_(std::chrono::steady_clock::now()) {
  if (!terminal_) next_ += interval_;  // short work needs no line
}

void Progress::show(std::string_view text) {
  next_ = std::chrono::steady_clock::now() + interval_;
  if (terminal_) {
    tools::complain("{}{}", kStartOfLineAndErase, text.substr(0, widest_line()));
    shown_ = true;
  } else {
    tools::complain("{}\n", text);
  }
}

void Progress::clear() {
  if (!shown_) return;
  tools::complain_text(kStartOfLineAndErase);
  shown_ = false;
}

void Progress::note(std::string_view text) {
  clear();
  tools::complain("{}\n", text);
}

}  // namespace lpbench

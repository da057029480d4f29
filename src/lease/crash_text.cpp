// Reports of crashes for people.
#include <cstdio>
#include <string>

#include "base/log.hpp"
#include "base/signal_text.hpp"
#include "lease/text.hpp"
#include "leasepool/crash.hpp"

namespace leasepool {

namespace {

std::string hexadecimal(std::uint64_t number) {
  char text[2 + 16 + 1];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(number));
  return text;
}

std::string report_line(const char* what, const std::string& value) {
  std::string text = "  ";
  text.append(what).append(12 - std::min<std::size_t>(11, std::char_traits<char>::length(what)), ' ');
  return text + value + "\n";
}

std::string end_of(const WorkerCrash& crash) {
  std::string text = "how is not known: its fork server was gone";
  if (crash.signal) text = detail::signal_text(*crash.signal);
  if (crash.exit_code) text = "exit code " + std::to_string(*crash.exit_code);
  if (crash.stack_overflow) text += ", stack overflow";
  if (crash.out_of_memory) text += ", out of memory";
  return text;
}

}  // namespace

std::string to_text(const StackTrace& stack) {
  std::string text;
  for (std::size_t i = 0; i < stack.size(); ++i) {
    const StackFrame& frame = stack[i];
    text += "#" + std::to_string(i) + " " + (frame.function.empty() ? hexadecimal(frame.address) : frame.function);
    if (!frame.module.empty()) text += " (" + frame.module + "+" + hexadecimal(frame.offset) + ")";
    text += "\n";
  }
  return text;
}

std::string to_text(const WorkerCrash& crash) {
  std::string text = "worker " + std::to_string(crash.worker_id) + ", process " + std::to_string(crash.pid) + "\n";
  text += report_line("end", end_of(crash));
  text += report_line("call", crash.function + " (" + std::to_string(crash.call_id) + ") of " +
                                  detail::quoted_owner(crash.owner) + ", ran for " + detail::in_words(crash.ran_for));
  text +=
      report_line("used", detail::in_words(crash.user_time) + " of user and " + detail::in_words(crash.system_time) +
                              " of system time, at most " + std::to_string(crash.max_resident_bytes >> 10) + " KiB");
  if (!crash.stderr_tail.empty()) {
    text += "  stderr\n";
    detail::for_each_line(crash.stderr_tail,
                          [&](std::string_view said) { text.append("    | ").append(said).append("\n"); });
  }
  if (!crash.stack.empty()) {
    text += "  stack\n";
    detail::for_each_line(to_text(crash.stack),
                          [&](std::string_view frame) { text.append("    ").append(frame).append("\n"); });
  }
  return text;
}

}  // namespace leasepool

// The table of docs/sandbox.md.
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "attempts.hpp"
#include "hostile.hpp"

namespace hostile {

long tried(long result, const char* call) {
  if (result == -1) throw std::system_error(errno, std::generic_category(), call);
  return result;
}

namespace {

const char* in_words(Ending ending) {
  switch (ending) {
    case Ending::works: return "works";
    case Ending::refused: return "refused";
    case Ending::fatal: return "ends the worker";
    case Ending::exposed: return "ends the worker (protocol)";
    case Ending::too_large: return "`payload_too_large`";
    case Ending::too_late: return "killed at the deadline";
    case Ending::untried: return "not prevented";
  }
  throw std::logic_error("an ending without words");
}

}  // namespace

std::string table() {
  std::string text;
  const std::pair<const char*, std::vector<Attempt>> groups[] = {{"Files", file_attempts()},
                                                                 {"Processes", process_attempts()},
                                                                 {"Network", network_attempts()},
                                                                 {"Kernel and limits", kernel_attempts()},
                                                                 {"What a worker may do, to harm", channel_attempts()}};
  for (const auto& [title, attempts] : groups) {
    text += (text.empty() ? "### " : "\n### ") + std::string(title) +
            "\n\n| a function tries to | none | compute | files |\n|---|---|---|---|\n";
    for (const Attempt& attempt : attempts) {
      text += std::string("| ") + attempt.tried + " | " + in_words(attempt.none) + " | " + in_words(attempt.compute) +
              " | " + in_words(attempt.files) + " |\n";
    }
  }
  return text;
}

}  // namespace hostile

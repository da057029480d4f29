// Checks of options, in one wording: what was given, and what may be.
#include "cli.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <system_error>

namespace lpbench {

namespace {

template <class T>
CLI::Validator number_between(const char* kind, T least, T most) {
  const std::string wanted = fmt::format("{} from {} to {}", kind, least, most);
  return {[wanted, least, most](std::string& text) {
            T value{};
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            const bool read = error == std::errc() && end == text.data() + text.size();
            if (read && value >= least && value <= most) return std::string();
            return fmt::format("'{}' will not do: give {}", text, wanted);
          },
          ""};
}

}  // namespace

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  return number_between("a whole number", least, most);
}

CLI::Validator number_of_seconds(double least, double most) {
  return number_between("a number of seconds", least, most);
}

}  // namespace lpbench

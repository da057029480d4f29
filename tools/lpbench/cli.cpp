// Checks of options, in one wording: what was given, and what may be.
#include "cli.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>

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

CLI::Validator real_number(double least, double most) { return number_between("a number", least, most); }

CLI::Validator number_of_seconds(double least, double most) {
  return number_between("a number of seconds", least, most);
}

CLI::Validator one_of(std::vector<std::string> words) {
  return {[words = std::move(words)](std::string& text) {
            if (std::ranges::find(words, text) != words.end()) return std::string();
            return fmt::format("'{}' will not do: give {}", text, fmt::join(words, " or "));
          },
          ""};
}

CLI::Validator page_name() {
  return {[](std::string& text) {
            if (text.ends_with(".html")) return std::string();
            return fmt::format("'{}' will not do: give a file name that ends in .html", text);
          },
          ""};
}

CLI::Validator work_text() {
  return {[](std::string& text) {
            if (text == "noop") return std::string();
            const std::size_t colon = text.find(':');
            const std::string kind = text.substr(0, colon);
            if (kind != "spin" && kind != "sleep") {
              return fmt::format("'{}' will not do: give noop, spin:US or sleep:US", text);
            }
            std::string microseconds = colon == std::string::npos ? "" : text.substr(colon + 1);
            if (whole_number(0, 60'000'000)(microseconds).empty()) return std::string();
            return fmt::format("'{}' will not do: after '{}:' give whole microseconds from 0 to 60000000", text, kind);
          },
          ""};
}

Work parse_work(const std::string& text) {
  if (text == "noop") return {};
  const std::size_t colon = text.find(':');
  return {.text = text,
          .function = text.starts_with("spin") ? &spin : &sleep,
          .microseconds = std::stoull(text.substr(colon + 1))};
}

}  // namespace lpbench

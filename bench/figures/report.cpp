// The command line, the table and the JSON of the programs that measure whole figures.
#include "report.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace figures {

namespace {

std::string with_digits(double value) {
  char text[64];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
  return text;
}

std::string grouped(double value) {
  std::string digits = std::to_string(std::llround(value));
  for (std::size_t place = digits.size(); place > 3; place -= 3) digits.insert(place - 3, ",");
  return digits;
}

// By powers of a thousand, with the unit that leaves one to three digits.
std::string scaled(double value, std::initializer_list<std::string_view> units) {
  const auto* unit = units.begin();
  for (; unit + 1 != units.end() && value >= 1000; ++unit) value /= 1000;
  return with_digits(value) + ' ' + std::string(*unit);
}

std::string target_of(const Row& row) {
  if (row.at_most) return "at most " + text_of(*row.at_most, row.unit);
  if (row.at_least) return "at least " + text_of(*row.at_least, row.unit);
  return {};
}

// Texts here are our own: valid UTF-8, and no control characters but newlines.
std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    c == '\n' ? result += "\\n" : result += c;
  }
  return result + '"';
}

std::string number_text(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.17g", value);
  return std::isfinite(value) ? text : "null";
}

std::string_view name_of(Unit unit) {
  switch (unit) {
    case Unit::nanoseconds: return "ns";
    case Unit::bytes: return "bytes";
    case Unit::bytes_per_second: return "bytes/s";
    case Unit::per_second: return "1/s";
    case Unit::ratio: return "ratio";
    case Unit::percent: return "%";
    case Unit::count: return "count";
  }
  return "";
}

}  // namespace

Options::Options(int argc, char** argv, std::string_view about, std::initializer_list<Option> known,
                 std::initializer_list<Option> quick)
    : program_(argc > 0 ? argv[0] : "bench"), known_(known) {
  program_.erase(0, program_.rfind('/') + 1);
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  if (std::ranges::find(arguments, "--help") != arguments.end()) {
    std::printf("%s\n\nusage: %s [--json] [--quick] [--NAME=NUMBER]...\n", std::string(about).c_str(),
                program_.c_str());
    for (const Option& option : known_) {
      std::printf("  --%-14.*s %.*s (default: %g; at least %g)\n", static_cast<int>(option.name.size()),
                  option.name.data(), static_cast<int>(option.help.size()), option.help.data(), option.value,
                  option.least);
    }
    std::exit(0);
  }
  if (std::ranges::find(arguments, "--quick") != arguments.end()) {
    for (const Option& value : quick) std::ranges::find(known_, value.name, &Option::name)->value = value.value;
  }
  for (const std::string_view argument : arguments) {
    json_ = json_ || argument == "--json";
    if (argument == "--json" || argument == "--quick" || set(argument)) continue;
    std::fprintf(stderr, "%s: not an option with a number that is large enough for it: %s; see --help\n",
                 program_.c_str(), std::string(argument).c_str());
    std::exit(2);
  }
}

bool Options::set(std::string_view argument) {
  const std::size_t equals = argument.find('=');
  if (!argument.starts_with("--") || equals == std::string_view::npos) return false;
  const auto option = std::ranges::find(known_, argument.substr(2, equals - 2), &Option::name);
  const std::string text(argument.substr(equals + 1));
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (option == known_.end() || text.empty() || *end != '\0' || !(value >= option->least)) return false;
  option->value = value;
  return true;
}

double Options::number(std::string_view name) const {
  const auto option = std::ranges::find(known_, name, &Option::name);
  if (option == known_.end()) throw std::logic_error("no such option: " + std::string(name));
  return option->value;
}

leasepool::Duration Options::seconds(std::string_view name) const {
  return std::chrono::duration_cast<leasepool::Duration>(std::chrono::duration<double>(number(name)));
}

void Report::print() const {
  if (::isatty(STDERR_FILENO) != 0) std::fputs("\r\033[K", stderr);
  options_->json() ? print_json() : print_table();
}

void Report::print_table() const {
  std::size_t width = 0;
  for (const Row& row : rows_) width = std::max(width, row.what.size());
  std::printf("%-4s %-*s %14s  %-18s %s\n", "", static_cast<int>(width), "", "measured", "to reach", "reached");
  for (const Row& row : rows_) {
    std::printf("%-4s %-*s %14s  %-18s %s\n", row.figure.c_str(), static_cast<int>(width), row.what.c_str(),
                text_of(row.value, row.unit).c_str(), target_of(row).c_str(),
                !row.has_target() ? ""
                : row.reached()   ? "yes"
                                  : "NO");
  }
  for (const std::string& text : notes_) std::printf("%s\n", text.c_str());
}

void Report::print_json() const {
  std::string rows;
  for (const Row& row : rows_) {
    rows += rows.empty() ? "" : ", ";
    rows += "{\"figure\": " + json_string(row.figure) + ", \"what\": " + json_string(row.what) +
            ", \"value\": " + number_text(row.value) + ", \"unit\": " + json_string(name_of(row.unit)) +
            ", \"text\": " + json_string(text_of(row.value, row.unit));
    if (row.nanoseconds) rows += ", \"nanoseconds\": " + number_text(*row.nanoseconds);
    if (row.has_target()) {
      rows += ", \"target\": " + json_string(target_of(row)) + ", \"reached\": " + (row.reached() ? "true" : "false");
    }
    rows += '}';
  }
  std::string notes;
  for (const std::string& text : notes_) notes += (notes.empty() ? "" : ", ") + json_string(text);
  std::printf("{\"program\": %s, \"rows\": [%s], \"notes\": [%s]}\n", json_string(options_->program()).c_str(),
              rows.c_str(), notes.c_str());
}

void progress(const Options& options, const std::string& text) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  std::fprintf(stderr, terminal ? "\r\033[K%s: %s" : "%s: %s\n", options.program().c_str(), text.c_str());
}

std::string text_of(double value, Unit unit) {
  switch (unit) {
    case Unit::nanoseconds: return scaled(value, {"ns", "us", "ms", "s"});
    case Unit::bytes: return grouped(value) + " bytes";
    case Unit::bytes_per_second: return scaled(value, {"B/s", "kB/s", "MB/s", "GB/s"});
    case Unit::per_second: return grouped(value) + " /s";
    case Unit::ratio: return with_digits(value) + " x";
    case Unit::percent: return with_digits(value) + " %";
    case Unit::count: return grouped(value);
  }
  return {};
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

double to_seconds(leasepool::Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace figures

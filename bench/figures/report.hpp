// What the programs share that measure whole figures: their options, progress on stderr, and a table or JSON at the
// end.
#pragma once

#include <leasepool/duration.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace figures {

// A number that the command line may set: --name=VALUE.
struct Option {
  std::string_view name;
  double value = 0;
  std::string_view help;
  double least = 0;
};

// Reads the command line. --quick is for a look whether everything works: values that `quick` names replace the
// defaults. Ends the process on --help, and on what it does not know.
class Options {
 public:
  Options(int argc, char** argv, std::string_view about, std::initializer_list<Option> known,
          std::initializer_list<Option> quick = {});

  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const { return static_cast<std::size_t>(number(name)); }
  [[nodiscard]] leasepool::Duration seconds(std::string_view name) const;
  [[nodiscard]] bool json() const noexcept { return json_; }
  [[nodiscard]] const std::string& program() const noexcept { return program_; }

 private:
  bool set(std::string_view argument);

  std::string program_;
  std::vector<Option> known_;
  bool json_ = false;
};

enum class Unit { nanoseconds, bytes, bytes_per_second, per_second, ratio, percent, count };

// One measured value. With `at_most` or `at_least` it says whether that was reached.
struct Row {
  std::string figure;  // "M1"; empty: it only explains another
  std::string what;
  double value = 0;
  Unit unit = Unit::count;
  std::optional<double> at_most{};
  std::optional<double> at_least{};
  std::optional<double> nanoseconds{};  // where the value is a ratio: what to hold against the machine's limits

  [[nodiscard]] bool has_target() const noexcept { return at_most || at_least; }
  [[nodiscard]] bool reached() const noexcept {
    return (!at_most || value <= *at_most) && (!at_least || value >= *at_least);
  }
};

class Report {
 public:
  explicit Report(const Options& options) : options_(&options) {}

  void add(Row row) { rows_.push_back(std::move(row)); }
  // A sentence that belongs to the figures: how they were taken.
  void note(std::string text) { notes_.push_back(std::move(text)); }

  // To stdout.
  void print() const;

 private:
  void print_table() const;
  void print_json() const;

  const Options* options_;
  std::vector<Row> rows_;
  std::vector<std::string> notes_;
};

// One line on stderr that the next one replaces; where that is no terminal, a line of its own.
void progress(const Options& options, const std::string& text);

// "812 ns", "18.2 us", "3.41 ms", "1.50 x", "1,234,567 /s"
std::string text_of(double value, Unit unit);

double median(std::vector<double> values);

double to_seconds(leasepool::Duration duration);

}  // namespace figures

// Runs until one fails or a signal comes; then all outputs.
#include "series.hpp"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../common/standard_streams.hpp"
#include "exit_codes.hpp"
#include "interruption.hpp"
#include "page/page_file.hpp"

namespace lpbench {

namespace {

class Series {
 public:
  explicit Series(const OutputOptions& output) : json_wanted_(output.json) {
    if (!output.report.empty()) page_.emplace(output.report);
  }

  void measure(std::size_t count, const std::function<EndedRun(std::size_t)>& measure) {
    const HeldSignals held;
    try {
      while (runs_.size() < count) add(measure(runs_.size()));
    } catch (const Interrupted& interrupted) {
      interrupted_by_ = interrupted.signal;
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  void report(const std::string& note) {
    if (runs_.empty()) return;
    attempt([&] { print_all(note); });
    if (page_) attempt([&] { page_->write(runs_); });
  }

  void say_interrupted(std::size_t count) const {
    if (!interrupted_by_) return;
    const std::string ended =
        count == 1 ? "the run had not ended" : fmt::format("{} of {} runs had ended", runs_.size(), count);
    tools::complain("lpbench: interrupted by SIG{}: {}\n", ::sigabbrev_np(*interrupted_by_), ended);
  }

  [[nodiscard]] int exit_code() const {
    if (failure_) std::rethrow_exception(failure_);
    if (interrupted_by_) return kInterrupted + *interrupted_by_;
    for (const RunRecord& run : runs_) {
      if (run.failure_count() > 0) return kFailure;
    }
    return kSuccess;
  }

 private:
  void add(EndedRun ended) {
    const RunRecord& run = ended.record;
    if (run.succeeded + run.failure_count() == 0) {
      const char* const rate = run.command == "grind" ? " or a higher --rate" : "";
      throw std::runtime_error(fmt::format("{}: no {} ended in the measured time: give a longer --duration{}",
                                           run.command, run.thing(), rate));
    }
    runs_.push_back(std::move(ended.record));
    json_.push_back(std::move(ended.json));
    notes_ += ended.note;
  }

  void print_all(const std::string& note) const {
    if (json_wanted_) {
      print_json(json_);
    } else {
      print_runs(runs_);
      tools::print_text(note + notes_);
    }
    tools::flush_output();
  }

  // The first failure is the one that is told.
  template <class Step>
  void attempt(Step step) {
    try {
      step();
    } catch (...) {
      if (!failure_) failure_ = std::current_exception();
    }
  }

  bool json_wanted_;
  std::optional<PageFile> page_;
  std::vector<RunRecord> runs_;
  std::vector<Json> json_;
  std::string notes_;
  std::exception_ptr failure_;
  std::optional<int> interrupted_by_;
};

}  // namespace

int measure_series(std::size_t count, const OutputOptions& output, const std::string& note,
                   const std::function<EndedRun(std::size_t)>& measure) {
  Series series(output);
  series.measure(count, measure);
  series.report(note);
  series.say_interrupted(count);
  return series.exit_code();
}

}  // namespace lpbench

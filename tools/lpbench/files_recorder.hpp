// RunRecorder: what the runs of `lpbench files` have in common.
#pragma once

#include <fmt/format.h>
#include <leasepool/loop.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "files.hpp"
#include "loop_watch.hpp"
#include "progress.hpp"
#include "units.hpp"

namespace lpbench {

// One run in the making: hands out the files, and keeps what comes of them.
class RunRecorder {
 public:
  RunRecorder(leasepool::Loop& loop, const FilesReport& report, FilesRun& run, Progress& progress)
      : report_(&report), run_(&run), progress_(&progress), watch_(loop) {
    run.digests.resize(report.files.paths.size());
  }

  std::optional<std::size_t> next_file() {
    if (!again_.empty()) {
      const std::size_t file = again_.back();
      again_.pop_back();
      return file;
    }
    if (next_ == report_->files.paths.size()) return std::nullopt;
    return next_++;
  }
  // Its call has not run.
  void make_again(std::size_t file) { again_.push_back(file); }
  [[nodiscard]] bool files_left() const { return !again_.empty() || next_ < report_->files.paths.size(); }
  [[nodiscard]] bool past_the_middle() const { return next_ >= report_->files.paths.size() / 2; }
  [[nodiscard]] std::uint64_t ended() const { return run_->call_times.count(); }
  [[nodiscard]] const std::string& path(std::size_t file) const { return report_->files.paths[file]; }

  void succeeded(std::size_t file, const FileDigest& digest, std::chrono::steady_clock::time_point begin) {
    run_->digests[file] = digest;
    call_ended(begin);
  }
  void failed(std::string what, std::string error, std::chrono::steady_clock::time_point begin) {
    run_->failed.push_back({std::move(what), std::move(error)});
    call_ended(begin);
  }
  void finish() {
    run_->elapsed = std::chrono::steady_clock::now() - start_;
    run_->loop_blocked = watch_.longest_block();
    progress_->clear();
  }

 private:
  void call_ended(std::chrono::steady_clock::time_point begin) {
    const auto now = std::chrono::steady_clock::now();
    run_->call_times.record(now - begin);
    if (!progress_->due()) return;
    const double per_second = static_cast<double>(run_->call_times.count()) / seconds(now - start_);
    progress_->show(fmt::format("{}: {} of {}, {} files/s, {} failed", run_->name, grouped(run_->call_times.count()),
                                counted(report_->files.paths.size(), "file"), grouped(per_second),
                                run_->failed.size()));
  }

  const FilesReport* report_;
  FilesRun* run_;
  Progress* progress_;
  LoopWatch watch_;
  std::size_t next_ = 0;
  std::vector<std::size_t> again_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline FileFunction function_of(const FilesOptions& options) {
  return options.operation == "hash" ? &hash_file : &deflate_file;
}

// Holds `pools` leases of nodes at once, and looks for another when one is lost. Kills a node in the middle if that is
// wanted. The run is the report's last.
leasepool::Task<> run_on_nodes(leasepool::Loop& loop, FilesReport& report, Progress& progress);

}  // namespace lpbench

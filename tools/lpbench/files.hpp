// `lpbench files`: its options, what came of it, and how that is shown.
#pragma once

#include <leasepool/duration.hpp>
#include <leasepool/histogram.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cores.hpp"
#include "file_list.hpp"
#include "workloads.hpp"

namespace lpbench {

struct FilesOptions {
  std::string directory = "/usr/share/doc";
  std::string operation = "deflate";
  std::size_t workers = core_count();
  std::size_t in_flight = 0;  // 0: four times the workers
  std::size_t max_files = 10'000'000;
  bool crash = true;
  bool json = false;
};

// A call that failed: of a file, or the one that was to crash.
struct FailedCall {
  std::string what;
  std::string error;
};

// All files once, by one way of running them.
struct FilesRun {
  std::string name;
  std::size_t workers = 0;
  std::vector<std::optional<FileDigest>> digests{};  // in the order of the files; none where the call failed
  std::vector<FailedCall> failed{};
  leasepool::Histogram call_times{};  // from handing a call in to having its result
  leasepool::Duration elapsed{};
  leasepool::Duration loop_blocked{};  // the longest time in which the loop could do nothing
};

// The call that was made to crash, and what the manager says of it.
struct CrashOutcome {
  std::string error = "it did not fail";
  bool reported_as_crash = false;
  std::uint64_t workers_crashed = 0;
  std::optional<leasepool::Duration> replacement_time{};
};

struct FilesReport {
  FilesOptions options;
  FileList files;
  std::vector<FilesRun> runs{};  // inline, threads, processes
  std::optional<CrashOutcome> crash{};

  // The files whose runs do not all give the same result.
  [[nodiscard]] std::vector<std::string> differing_files() const;
  // Whether all results agree, and exactly the call failed that was to crash.
  [[nodiscard]] bool as_it_should_be() const;
};

FilesReport run_files(const FilesOptions& options);

void print_table(const FilesReport& report);
void print_json(const FilesReport& report);

}  // namespace lpbench

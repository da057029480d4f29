// `lpbench files`: its options, what came of it, and how that is shown.
#pragma once

#include <leasepool/duration.hpp>
#include <leasepool/histogram.hpp>
#include <leasepool/remote_options.hpp>

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
  leasepool::RemoteOptions remote{};  // no servers: not on nodes
  std::size_t pools = 1;              // of nodes, at once
  std::int64_t kill_node = 0;         // the process to kill in the middle of the run on nodes; 0: none
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

// The node that was killed, and what became of its calls. Those that may have run are failures of the run, too.
struct KilledNode {
  std::int64_t process = 0;
  std::uint64_t files_before = 0;                      // how many had ended then
  std::optional<leasepool::Duration> noticed_after{};  // by the first call that failed for it
  std::size_t had_not_run = 0;                         // and were made again
  std::vector<std::size_t> may_have_run{};             // their files
};

struct FilesReport {
  FilesOptions options;
  FileList files;
  std::vector<FilesRun> runs{};  // inline, threads, processes, and nodes where there is a server
  std::optional<CrashOutcome> crash{};
  std::optional<KilledNode> killed{};

  [[nodiscard]] bool on_nodes() const { return !options.remote.servers.empty(); }
  // How many calls are to fail in that run: the one that was to crash, and those that the killed node may have run.
  [[nodiscard]] std::size_t expected_failures(const FilesRun& run) const;
  // The files whose runs do not all give the same result. Those that the killed node may have run have none from there.
  [[nodiscard]] std::vector<std::string> differing_files() const;
  // Whether all results agree, and no call failed but those expected to.
  [[nodiscard]] bool as_it_should_be() const;
};

FilesReport run_files(const FilesOptions& options);

void print_table(const FilesReport& report);
void print_json(const FilesReport& report);

}  // namespace lpbench

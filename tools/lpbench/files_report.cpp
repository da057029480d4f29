// What `lpbench files` found, judged and shown: as a table or as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "../common/standard_streams.hpp"
#include "files.hpp"
#include "json.hpp"
#include "table.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

constexpr std::size_t kMaxLines = 10;  // of each kind of complaint in the text; JSON has all

// All digests of a run added up.
FileDigest total(const FilesRun& run) {
  FileDigest sum;
  for (const auto& digest : run.digests) {
    if (!digest) continue;
    sum.bytes_read += digest->bytes_read;
    sum.bytes_made += digest->bytes_made;
    sum.checksum += digest->checksum;
  }
  return sum;
}

double files_per_second(const FilesRun& run) {
  const auto done = std::ranges::count_if(run.digests, [](const auto& digest) { return digest.has_value(); });
  return static_cast<double>(done) / seconds(run.elapsed);
}

double bytes_per_second(const FilesRun& run) {
  return static_cast<double>(total(run).bytes_read) / seconds(run.elapsed);
}

std::string runs_table(const FilesReport& report) {
  Table table({"run", "files/s", "MB/s", "p50", "p99", "workers", "failed", "loop blocked"});
  for (const FilesRun& run : report.runs) {
    table.add({run.name, grouped(files_per_second(run)), fmt::format("{:.1f}", bytes_per_second(run) / 1e6),
               human(run.call_times.percentile(50)), human(run.call_times.percentile(99)),
               run.workers == 0 ? "-" : std::to_string(run.workers), grouped(std::uint64_t{run.failed.size()}),
               human(run.loop_blocked)});
  }
  return table.text();
}

void print_lines(const std::string& title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  tools::print("\n{}\n", title);
  for (std::size_t i = 0; i < std::min(lines.size(), kMaxLines); ++i) tools::print("  {}\n", printable(lines[i]));
  if (lines.size() > kMaxLines) tools::print("  ... and {} more (--json names all)\n", lines.size() - kMaxLines);
}

void print_crash(const CrashOutcome& crash) {
  tools::print("\nOne call was made to crash: {}\n", printable(crash.error));
  if (crash.replacement_time) {
    tools::print("Workers crashed: {}. From its death to its replacement's being ready: {}.\n", crash.workers_crashed,
                 human(*crash.replacement_time));
  } else {
    tools::print("Workers crashed: {}. No replacement was ready within 10 s.\n", crash.workers_crashed);
  }
}

void print_killed(const FilesReport& report, const KilledNode& killed) {
  tools::print("\nA node was killed, process {}, after {}. ", killed.process, counted(killed.files_before, "file"));
  if (!killed.noticed_after) {
    tools::print("No call was lost by that: was it one of those in use?\n");
    return;
  }
  tools::print("The first error came {} later.\n", human(*killed.noticed_after));
  tools::print("Of its calls {} had not run and were made again on another node.\n", killed.had_not_run);
  std::vector<std::string> lines;
  for (const FailedCall& call : report.runs.back().failed) {
    const bool lost = std::ranges::any_of(
        killed.may_have_run, [&](const std::size_t file) { return report.files.paths[file] == call.what; });
    if (lost) lines.push_back(fmt::format("{}: {}", call.what, call.error));
  }
  print_lines(fmt::format("{} may have run, and that is what their errors say:", counted(lines.size(), "call")), lines);
}

void print_verdict(const FilesReport& report) {
  const std::vector<std::string> differing = report.differing_files();
  print_lines(fmt::format("{} not given the same result by all runs:", counted(differing.size(), "file")), differing);
  for (const FilesRun& run : report.runs) {
    std::vector<std::string> lines;
    lines.reserve(run.failed.size());
    for (const FailedCall& call : run.failed) {
      const bool named = call.error.starts_with(call.what);  // as our own functions' errors are
      lines.push_back(named ? call.error : fmt::format("{}: {}", call.what, call.error));
    }
    if (run.failed.size() != report.expected_failures(run))
      print_lines(fmt::format("{} failed in run {}:", counted(lines.size(), "call"), run.name), lines);
  }
  tools::print("\n{}\n", report.as_it_should_be() ? "OK: all runs gave the same results, and nothing else failed."
                                                  : "NOT OK: see above.");
}

// The sums are what a test can compare with another implementation of the same operation.
Json run_json(const FilesRun& run) {
  JsonArray failed;
  for (const FailedCall& call : run.failed) {
    failed.add(JsonObject().add("what", call.what).add("error", call.error).json());
  }
  const FileDigest sum = total(run);
  return JsonObject()
      .add("name", run.name)
      .add("workers", run.workers)
      .add("bytes_made", sum.bytes_made)
      .add("checksum_sum", sum.checksum)
      .add("elapsed_s", seconds(run.elapsed))
      .add("files_per_s", files_per_second(run))
      .add("bytes_per_s", bytes_per_second(run))
      .add("p50_ns", run.call_times.percentile(50).count())
      .add("p99_ns", run.call_times.percentile(99).count())
      .add("max_ns", run.call_times.max().count())
      .add("loop_blocked_ns", run.loop_blocked.count())
      .add("failed", failed.json())
      .json();
}

Json crash_json(const CrashOutcome& crash) {
  JsonObject json;
  json.add("error", crash.error).add("workers_crashed", crash.workers_crashed);
  if (crash.replacement_time) json.add("replacement_ns", crash.replacement_time->count());
  return json.json();
}

Json killed_json(const FilesReport& report, const KilledNode& killed) {
  JsonArray may_have_run;
  for (const std::size_t file : killed.may_have_run) may_have_run.add(report.files.paths[file]);
  JsonObject json;
  json.add("process", killed.process).add("files_before", killed.files_before);
  if (killed.noticed_after) json.add("noticed_after_ns", killed.noticed_after->count());
  return json.add("had_not_run", killed.had_not_run).add("may_have_run", may_have_run.json()).json();
}

}  // namespace

std::size_t FilesReport::expected_failures(const FilesRun& run) const {
  if (run.name == "processes") return crash ? 1 : 0;
  return run.name == "nodes" && killed ? killed->may_have_run.size() : 0;
}

std::vector<std::string> FilesReport::differing_files() const {
  std::vector<std::string> differing;
  for (std::size_t file = 0; file < files.paths.size(); ++file) {
    const auto& expected = runs.front().digests[file];
    const bool excused = killed && std::ranges::binary_search(killed->may_have_run, file);
    const bool same = std::ranges::all_of(runs, [&](const FilesRun& run) {
      return run.digests[file] == expected || (excused && run.name == "nodes" && !run.digests[file]);
    });
    if (!same || !expected) differing.push_back(files.paths[file]);
  }
  return differing;
}

bool FilesReport::as_it_should_be() const {
  const auto only_expected = [this](const FilesRun& run) { return run.failed.size() == expected_failures(run); };
  if (!differing_files().empty() || !std::ranges::all_of(runs, only_expected)) return false;
  if (options.kill_node != 0 && !(killed && killed->noticed_after)) return false;
  if (!options.crash) return true;
  return crash && crash->reported_as_crash && crash->workers_crashed == 1 && crash->replacement_time;
}

void print_table(const FilesReport& report) {
  const FilesOptions& options = report.options;
  tools::print("{} of {} below {}, each read once before; operation: {}\n\n",
               counted(report.files.paths.size(), "file"), human_bytes(report.files.bytes),
               printable(options.directory), options.operation);
  tools::print_text(runs_table(report));
  tools::print("\np50, p99: from handing a call in to having its result; {} calls in flight on a pool, 1 inline\n"
               "loop blocked: the worst delay of a 1 ms timer on the loop\n",
               options.in_flight);

  std::vector<std::string> unreadable;
  unreadable.reserve(report.files.unreadable.size());
  for (const UnreadableFile& file : report.files.unreadable) unreadable.push_back(file.path + ": " + file.reason);
  print_lines(fmt::format("{} left out as unreadable:", counted(unreadable.size(), "path")), unreadable);
  if (report.crash) print_crash(*report.crash);
  if (report.killed) print_killed(report, *report.killed);
  print_verdict(report);
}

void print_json(const FilesReport& report) {
  JsonArray unreadable;
  for (const UnreadableFile& file : report.files.unreadable) {
    unreadable.add(JsonObject().add("path", file.path).add("reason", file.reason).json());
  }
  JsonArray runs;
  for (const FilesRun& run : report.runs) runs.add(run_json(run));
  JsonArray differing;
  for (const std::string& path : report.differing_files()) differing.add(path);

  JsonObject json;
  json.add("command", "files")
      .add("directory", report.options.directory)
      .add("operation", report.options.operation)
      .add("cores", core_count())
      .add("files", report.files.paths.size())
      .add("bytes", report.files.bytes)
      .add("in_flight", report.options.in_flight)
      .add("unreadable", unreadable.json())
      .add("runs", runs.json());
  if (report.crash) json.add("crash", crash_json(*report.crash));
  if (report.killed) json.add("killed_node", killed_json(report, *report.killed));
  json.add("differing", differing.json()).add("ok", report.as_it_should_be());
  tools::print("{}\n", json.json().text);
}

}  // namespace lpbench

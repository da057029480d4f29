// `lpbench files`: works on every file below a directory on the loop's own thread, on threads, on worker
// processes and, where there is a server, on nodes.
#include "files.hpp"

#include <leasepool/leasepool.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>

#include "files_recorder.hpp"
#include "progress.hpp"

namespace lpbench {

namespace {

using std::chrono::steady_clock;

// One after the other on the loop's own thread: what an event loop must not do. Each has a turn of its own.
leasepool::Task<> run_inline(leasepool::Loop& loop, const FilesOptions& options, RunRecorder& recorder) {
  const FileFunction function = function_of(options);
  while (const auto file = recorder.next_file()) {
    co_await loop.sleep(leasepool::Duration::zero());
    const auto begin = steady_clock::now();
    try {
      recorder.succeeded(*file, function(recorder.path(*file)), begin);
    } catch (const std::exception& error) {
      recorder.failed(recorder.path(*file), error.what(), begin);
    }
  }
  recorder.finish();
}

// One more call, between those of the files.
leasepool::Task<> crash_one_call(const leasepool::ExecutorLease& lease, RunRecorder& recorder, CrashOutcome& outcome) {
  const auto begin = steady_clock::now();
  try {
    co_await lease.run(crash_on_purpose);
  } catch (const leasepool::LeasePoolError& error) {
    outcome.error = error.what();
    outcome.reported_as_crash = error.code() == leasepool::Errc::worker_crashed;
    recorder.failed("(the call that was to crash)", error.what(), begin);
  }
}

// Keeps one call in flight until no file is left. The first to come past the middle crashes one, if that is wanted.
leasepool::Task<> keep_one_in_flight(const leasepool::ExecutorLease& lease, FileFunction function,
                                     RunRecorder& recorder, std::optional<CrashOutcome>& crash, bool& crash_due) {
  while (const auto file = recorder.next_file()) {
    if (crash_due && recorder.past_the_middle()) {
      crash_due = false;
      crash.emplace();
      co_await crash_one_call(lease, recorder, *crash);
    }
    const auto begin = steady_clock::now();
    try {
      auto call = lease.run(function, recorder.path(*file));
      const FileDigest digest = co_await call;
      recorder.succeeded(*file, digest, begin);
    } catch (const std::exception& error) {
      recorder.failed(recorder.path(*file), error.what(), begin);
    }
  }
}

// The replacement of the last worker that died may still be on its way.
leasepool::Task<> note_replacement(leasepool::Loop& loop, const leasepool::LeasedExecutorManager& manager,
                                   CrashOutcome& crash) {
  const auto give_up = steady_clock::now() + std::chrono::seconds(10);
  while (!manager.stats().last_replacement_time && steady_clock::now() < give_up) {
    co_await loop.sleep(std::chrono::milliseconds(1));
  }
  const leasepool::ManagerStats stats = manager.stats();
  crash.workers_crashed = stats.workers_crashed;
  crash.replacement_time = stats.last_replacement_time;
}

leasepool::ManagerOptions manager_options(leasepool::ExecutorBackend backend, const FilesOptions& options,
                                          Progress& progress) {
  leasepool::ManagerOptions manager;
  manager.backend = backend;
  manager.max_pools = 1;
  manager.workers_per_pool = options.workers;
  manager.name_prefix = "lpbench";
  manager.log = [&progress](const leasepool::LogRecord& record) {
    if (record.level >= leasepool::LogLevel::warning) progress.note(record.text);
  };
  return manager;
}

// With a bounded number of calls in flight, so that a directory of any size takes the same memory.
leasepool::Task<> run_on_pool(leasepool::Loop& loop, leasepool::ExecutorBackend backend, FilesReport& report,
                              FilesRun& run, Progress& progress) {
  leasepool::LeasedExecutorManager manager(loop, manager_options(backend, report.options, progress));
  co_await manager.start();
  {
    const leasepool::ExecutorLease lease =
        co_await manager.acquire({.owner = "lpbench files", .lease_duration = leasepool::Duration::max()});
    bool crash_due = report.options.crash && backend == leasepool::ExecutorBackend::process;
    RunRecorder recorder(loop, report, run, progress);
    std::vector<leasepool::Task<>> in_flight;
    in_flight.reserve(report.options.in_flight);
    for (std::size_t i = 0; i < report.options.in_flight; ++i) {
      in_flight.push_back(keep_one_in_flight(lease, function_of(report.options), recorder, report.crash, crash_due));
    }
    co_await leasepool::when_all(std::move(in_flight));
    recorder.finish();
    if (report.crash) co_await note_replacement(loop, manager, *report.crash);
  }
  co_await manager.stop();
}

leasepool::Task<> run_all(leasepool::Loop& loop, FilesReport& report, Progress& progress) {
  report.runs = {{.name = "inline"},
                 {.name = "threads", .workers = report.options.workers},
                 {.name = "processes", .workers = report.options.workers}};
  {
    RunRecorder recorder(loop, report, report.runs[0], progress);
    co_await run_inline(loop, report.options, recorder);
  }
  co_await run_on_pool(loop, leasepool::ExecutorBackend::thread, report, report.runs[1], progress);
  co_await run_on_pool(loop, leasepool::ExecutorBackend::process, report, report.runs[2], progress);
  if (!report.on_nodes()) co_return;
  report.runs.push_back({.name = "nodes", .workers = report.options.workers * report.options.pools});
  co_await run_on_nodes(loop, report, progress);
}

}  // namespace

FilesReport run_files(const FilesOptions& options) {
  Progress progress(std::chrono::seconds(5));
  FilesReport report{.options = options, .files = find_files(options.directory, options.max_files, progress)};
  if (report.options.in_flight == 0) report.options.in_flight = 4 * options.workers;
  leasepool::Loop loop;
  loop.block_on(run_all(loop, report, progress));
  return report;
}

}  // namespace lpbench

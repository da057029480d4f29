// `lpbench files` on nodes: calls go on where one is lost, and those that certainly have not run are made again.
#include <leasepool/leasepool.hpp>

#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <optional>
#include <system_error>
#include <utility>

#include "files_recorder.hpp"
#include "run_options.hpp"

namespace lpbench {

namespace {

using leasepool::Errc;
using std::chrono::steady_clock;

class NodesRun {
 public:
  NodesRun(leasepool::LeasedExecutorManager& manager, FilesReport& report) : manager_(&manager), report_(&report) {}

  // All leases before the first call, so that none is behind the others.
  leasepool::Task<> acquire() {
    while (leases_.size() < report_->options.pools) {
      auto acquired = manager_->acquire(acquire_options());
      leases_.push_back(co_await acquired);
    }
  }

  leasepool::Task<> run(RunRecorder& recorder) {
    recorder_ = &recorder;
    holders_ = leases_.size();
    std::vector<leasepool::Task<>> groups;
    groups.reserve(holders_);
    for (leasepool::ExecutorLease& lease : std::exchange(leases_, {})) groups.push_back(keep_leased(std::move(lease)));
    co_await leasepool::when_all(std::move(groups));
    if (report_->killed) std::ranges::sort(report_->killed->may_have_run);
  }

 private:
  static leasepool::AcquireOptions acquire_options() {
    return {.owner = "lpbench files", .lease_duration = leasepool::Duration::max(), .timeout = kNodePatience};
  }

  // One lease after the other until no file is left.
  leasepool::Task<> keep_leased(std::optional<leasepool::ExecutorLease> lease) {
    for (;;) {
      std::vector<leasepool::Task<>> in_flight;
      in_flight.reserve(report_->options.in_flight);
      for (std::size_t i = 0; i < report_->options.in_flight; ++i) in_flight.push_back(keep_one_in_flight(*lease));
      co_await leasepool::when_all(std::move(in_flight));
      lease.reset();
      --holders_;
      while (!lease && recorder_->files_left()) lease = co_await acquire_another();
      if (!recorder_->files_left()) co_return;
      ++holders_;
    }
  }

  // None where others hold all that there are: these may lose theirs, or be done.
  leasepool::Task<std::optional<leasepool::ExecutorLease>> acquire_another() {
    try {
      auto acquired = manager_->acquire(acquire_options());
      co_return co_await acquired;
    } catch (const leasepool::LeasePoolError& error) {
      if (error.code() != Errc::timed_out || holders_ == 0) throw;
    }
    co_return std::nullopt;
  }

  // Until no file is left or the lease is lost.
  leasepool::Task<> keep_one_in_flight(const leasepool::ExecutorLease& lease) {
    while (const auto file = recorder_->next_file()) {
      kill_if_due();
      const auto begin = steady_clock::now();
      try {
        auto call = lease.run(function_of(report_->options), recorder_->path(*file));
        const FileDigest digest = co_await call;
        recorder_->succeeded(*file, digest, begin);
      } catch (const leasepool::LeasePoolError& error) {
        const bool lost = error.code() == Errc::node_lost || error.code() == Errc::lease_expired;
        note_failure(*file, error, lost, begin);
        if (lost) co_return;
      } catch (const std::exception& error) {
        recorder_->failed(recorder_->path(*file), error.what(), begin);
      }
    }
  }

  void kill_if_due() {
    const std::int64_t process = report_->options.kill_node;
    if (process == 0 || report_->killed || !recorder_->past_the_middle()) return;
    report_->killed = {.process = process, .files_before = recorder_->ended()};
    killed_at_ = steady_clock::now();
    if (::kill(static_cast<pid_t>(process), SIGKILL) != 0) {
      throw std::system_error(errno, std::generic_category(), fmt::format("--kill-node {}", process));
    }
  }

  void note_failure(std::size_t file, const leasepool::LeasePoolError& error, bool lost,
                    steady_clock::time_point begin) {
    KilledNode* const killed = lost && report_->killed ? &*report_->killed : nullptr;
    if (killed != nullptr && !killed->noticed_after) killed->noticed_after = steady_clock::now() - killed_at_;
    if (lost && !error.may_have_run()) {
      if (killed != nullptr) ++killed->had_not_run;
      return recorder_->make_again(file);
    }
    if (killed != nullptr) killed->may_have_run.push_back(file);
    recorder_->failed(recorder_->path(file), error.what(), begin);
  }

  leasepool::LeasedExecutorManager* manager_;
  FilesReport* report_;
  RunRecorder* recorder_ = nullptr;
  std::vector<leasepool::ExecutorLease> leases_;
  std::size_t holders_ = 0;  // groups that have a lease
  steady_clock::time_point killed_at_;
};

leasepool::ManagerOptions manager_options(const FilesOptions& options, Progress& progress) {
  leasepool::ManagerOptions manager;
  manager.backend = leasepool::ExecutorBackend::remote;
  manager.remote = options.remote;
  manager.max_pools = options.pools;
  manager.min_pools = 0;
  manager.workers_per_pool = options.workers;
  manager.name_prefix = "lpbench";
  manager.log = [&progress](const leasepool::LogRecord& record) {
    if (record.level >= leasepool::LogLevel::warning) progress.note(record.text);
  };
  return manager;
}

}  // namespace

leasepool::Task<> run_on_nodes(leasepool::Loop& loop, FilesReport& report, Progress& progress) {
  leasepool::LeasedExecutorManager manager(loop, manager_options(report.options, progress));
  co_await manager.start();
  NodesRun run(manager, report);
  co_await run.acquire();
  RunRecorder recorder(loop, report, report.runs.back(), progress);
  co_await run.run(recorder);
  recorder.finish();
  co_await manager.stop();
}

}  // namespace lpbench

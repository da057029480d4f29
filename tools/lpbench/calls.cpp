// `lpbench calls`: keeps a number of calls in flight on one lease, and measures what each takes.
#include "calls.hpp"

#include <fmt/format.h>
#include <leasepool/leasepool.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "cpu_time.hpp"
#include "progress.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMostPayload = std::size_t{64} << 20;

leasepool::Duration to_duration(double seconds) {
  return std::chrono::duration_cast<leasepool::Duration>(std::chrono::duration<double>(seconds));
}

// A closed loop of calls: each that ends starts the next. Warms up, then measures, then stops the loop.
class CallLoop {
 public:
  CallLoop(leasepool::Loop& loop, CallsReport& report)
      : loop_(&loop), report_(&report), payload_(report.options.payload) {}

  // Calls still in flight at the end are left to the manager's stop: this object outlives it.
  void run(const leasepool::ExecutorLease& lease) {
    lease_ = &lease;
    phase_end_ = loop_->call_after(to_duration(report_->options.warm_up_seconds), [this] { begin_measuring(); });
    show_progress();
    for (std::size_t i = 0; i < report_->options.depth; ++i) submit();
    loop_->run();
    progress_.clear();
  }

 private:
  enum class Phase { warming_up, measuring, ended };

  void submit() {
    const auto begin = steady_clock::now();
    const Work& work = report_->options.work;
    lease_->run_async(work.function, work.microseconds, payload_,
                      [this, begin](const leasepool::Result<std::uint64_t>& result) { ended(result, begin); });
  }

  void ended(const leasepool::Result<std::uint64_t>& result, steady_clock::time_point begin) {
    if (phase_ == Phase::ended) return;
    if (phase_ == Phase::measuring) note(result, begin);
    submit();
  }

  void note(const leasepool::Result<std::uint64_t>& result, steady_clock::time_point begin) {
    if (!result) {
      note_failure(result.error().code().message(), result.error().message());
    } else if (*result != payload_.size()) {
      note_failure("wrong result", fmt::format("{} instead of {}", *result, payload_.size()));
    } else {
      report_->latency.record(steady_clock::now() - begin);
    }
  }

  void note_failure(const std::string& kind, const std::string& message) {
    FailureKind& failure = report_->failures[kind];
    if (failure.count++ == 0) failure.first_message = message;
  }

  void begin_measuring() {
    processes_ = descendants();
    cpu_here_ = own_cpu_time();
    cpu_in_workers_ = cpu_time_of(processes_);
    begin_ = steady_clock::now();
    phase_ = Phase::measuring;
    phase_end_ = loop_->call_after(to_duration(report_->options.seconds), [this] { end_measuring(); });
  }

  void end_measuring() {
    report_->elapsed = steady_clock::now() - begin_;
    report_->cpu_here = own_cpu_time() - cpu_here_;
    report_->cpu_in_workers = cpu_time_of(processes_) - cpu_in_workers_;
    phase_ = Phase::ended;
    loop_->stop();
  }

  void show_progress() {
    if (progress_.due() && phase_ == Phase::measuring) {
      const leasepool::Duration elapsed = steady_clock::now() - begin_;
      const double per_second = static_cast<double>(report_->latency.count()) / seconds(elapsed);
      progress_.show(fmt::format("calls: {:.1f} of {:.1f} s, {} calls/s, p50 {}, {} failed", seconds(elapsed),
                                 report_->options.seconds, grouped(per_second), human(report_->latency.percentile(50)),
                                 report_->failure_count()));
    } else if (progress_.due()) {
      progress_.show("calls: warming up");
    }
    progress_timer_ = loop_->call_after(std::chrono::milliseconds(100), [this] { show_progress(); });
  }

  leasepool::Loop* loop_;
  CallsReport* report_;
  const leasepool::ExecutorLease* lease_ = nullptr;
  std::vector<std::uint8_t> payload_;
  Progress progress_;
  Phase phase_ = Phase::warming_up;
  leasepool::Timer phase_end_;
  leasepool::Timer progress_timer_;
  steady_clock::time_point begin_;
  std::vector<pid_t> processes_;
  leasepool::Duration cpu_here_{};
  leasepool::Duration cpu_in_workers_{};
};

leasepool::ManagerOptions manager_options(const CallsOptions& options) {
  leasepool::ManagerOptions manager;
  manager.backend = options.backend;
  manager.max_pools = 1;
  manager.workers_per_pool = options.workers;
  manager.name_prefix = "lpbench";
  manager.max_payload = kMostPayload + 64;  // the payload, its length and the microseconds
  return manager;
}

leasepool::Task<leasepool::ExecutorLease> start_and_acquire(leasepool::LeasedExecutorManager& manager) {
  co_await manager.start();
  co_return co_await manager.acquire({.owner = "lpbench calls", .lease_duration = leasepool::Duration::max()});
}

// Calls that still wait are cancelled. One that runs gets ten seconds.
leasepool::Task<> stop(leasepool::LeasedExecutorManager& manager) { co_await manager.stop(); }

}  // namespace

CallsReport run_calls(const CallsOptions& options) {
  CallsReport report{.options = options};
  if (report.options.depth == 0) report.options.depth = 4 * options.workers;
  leasepool::Loop loop;
  CallLoop calls(loop, report);
  leasepool::LeasedExecutorManager manager(loop, manager_options(options));
  const leasepool::ExecutorLease lease = loop.block_on(start_and_acquire(manager));
  calls.run(lease);
  loop.block_on(stop(manager));
  return report;
}

namespace {

// noop, spin:US or sleep:US. Throws what CLI11 shows as the option's error.
Work parse_work(const std::string& text) {
  if (text == "noop") return {};
  const std::size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  std::string microseconds = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (kind != "spin" && kind != "sleep") {
    throw CLI::ValidationError("--work", fmt::format("'{}' will not do: give noop, spin:US or sleep:US", text));
  }
  if (const std::string error = whole_number(0, 60'000'000)(microseconds); !error.empty()) {
    throw CLI::ValidationError(
        "--work", fmt::format("'{}' will not do: after '{}:' give whole microseconds from 0 to 60000000", text, kind));
  }
  return {.text = text, .function = kind == "spin" ? &spin : &sleep, .microseconds = std::stoull(microseconds)};
}

}  // namespace

void add_calls_command(CLI::App& app, Action& action) {
  CLI::App* const command =
      app.add_subcommand("calls", "Keep calls in flight on one lease: calls per second, latency, CPU time per call");
  command->footer("Exit code 0: calls ended in the measured time, and none failed.");
  const auto options = std::make_shared<CallsOptions>();
  const auto backend = std::make_shared<std::string>("thread");
  command->add_option("--backend", *backend, "thread or process")
      ->check(CLI::IsMember({"thread", "process"}))
      ->capture_default_str();
  command->add_option("--workers", options->workers, "Threads or processes of the pool")
      ->check(whole_number(1, kMostWorkers))
      ->capture_default_str();
  command->add_option("--depth", options->depth, "Calls that run or wait at once [4 times --workers]")
      ->check(whole_number(1, 1'000'000));
  command->add_option("--payload", options->payload, "Bytes of each call's argument")
      ->check(whole_number(0, kMostPayload))
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--work", [options](const std::string& text) { options->work = parse_work(text); },
          "What each call does: noop, spin:US (burn so many microseconds of CPU time) or sleep:US")
      ->default_str("noop");
  command->add_option("--duration", options->seconds, "Seconds to measure")
      ->check(number_of_seconds(0.001, 86'400))
      ->capture_default_str();
  command->add_option("--warm-up", options->warm_up_seconds, "Seconds of the same before that")
      ->check(number_of_seconds(0, 86'400))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON instead of a table");
  command->callback([options, backend, &action] {
    using enum leasepool::ExecutorBackend;
    options->backend = *backend == "process" ? process : thread;
    action = [options] {
      const CallsReport report = run_calls(*options);
      if (report.latency.count() + report.failure_count() == 0) {
        throw std::runtime_error("calls: no call ended in the measured time: give a longer --duration");
      }
      options->json ? print_json(report) : print_table(report);
      return report.failure_count() == 0 ? kSuccess : kFailure;
    };
  });
}

}  // namespace lpbench

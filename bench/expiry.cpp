// D1: from the hard expiry of a lease whose functions hang in worker processes to their callers hearing of it, and to
// the replaced pool being lent again, while the program itself has a lot of memory.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "figures/manager.hpp"
#include "figures/report.hpp"

using figures::Unit;
using leasepool::Duration;
using leasepool::Errc;
using leasepool::ExecutorLease;
using leasepool::Histogram;
using leasepool::Result;
using leasepool::TimePoint;

namespace bench_expiry {
void sleep_for_ever() {
  for (;;) ::pause();
}
}  // namespace bench_expiry
LEASEPOOL_REGISTER(bench_expiry::sleep_for_ever);

namespace {

// Memory that is there, in the small pages that a fork of this process would have to copy the tables of.
void make_resident(std::size_t bytes) {
  if (bytes == 0) return;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory: lower --resident-gib");
  ::madvise(memory, bytes, MADV_NOHUGEPAGE);
  auto* const first = static_cast<volatile std::byte*>(memory);
  for (std::size_t i = 0; i < bytes; i += 4096) first[i] = std::byte{1};
}

double resident_gib() {
  std::size_t all = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 30);
}

struct Times {
  Histogram heard;     // from the hard expiry to the last caller
  Histogram replaced;  // from the hard expiry to the next lease
};

// One lease after the other expires, with so many calls each; while one hangs, the next is waited for already.
class Expiries {
 public:
  Expiries(leasepool::Loop& loop, leasepool::LeasedExecutorManager& manager, const figures::Options& options,
           std::size_t calls)
      : loop_(loop), manager_(manager), options_(options), calls_(calls), left_(options.count("leases")) {}

  void run() {
    acquire();
    loop_.run();
    lease_ = {};
  }

  Times times;
  std::size_t stacks = 0;  // calls of which it is known where they hung
  std::string wrong;       // what went otherwise than it should

 private:
  void acquire() {
    manager_.acquire_async({.owner = "bench", .lease_duration = options_.seconds("lease")},
                           [this](Result<ExecutorLease> lease) { granted(std::move(lease)); });
  }

  void granted(Result<ExecutorLease> lease) {
    if (!lease) return give_up(lease.error().message());
    if (expired_at_)
      times.replaced.record(std::chrono::steady_clock::now() - *std::exchange(expired_at_, std::nullopt));
    if (left_-- == 0) return loop_.stop();
    if (left_ % 50 == 0) figures::progress(options_, std::to_string(left_) + " leases left");
    lease_ = std::move(*lease);
    running_ = calls_;
    for (std::size_t i = 0; i < calls_; ++i) {
      lease_.run_async(bench_expiry::sleep_for_ever, [this](const Result<void>& result) { ended(result); });
    }
    acquire();
  }

  void ended(const Result<void>& result) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (result || result.error().code() != Errc::lease_expired) {
      return give_up(result ? "the function returned" : result.error().message());
    }
    if (!result.error().stack().empty()) ++stacks;
    if (--running_ > 0) return;
    expired_at_ = lease_.hard_expires_at();
    times.heard.record(now - *expired_at_);
  }

  void give_up(const std::string& reason) {
    wrong = reason;
    loop_.stop();
  }

  leasepool::Loop& loop_;
  leasepool::LeasedExecutorManager& manager_;
  const figures::Options& options_;
  const std::size_t calls_;
  std::size_t left_;
  std::size_t running_ = 0;
  ExecutorLease lease_;
  std::optional<TimePoint> expired_at_;
};

double nanoseconds(Duration duration) { return static_cast<double>(duration.count()); }

// Lets the leases of a pool expire after this grace, with so many calls each. Nothing where anything else happens.
std::optional<Times> measure(const figures::Options& options, Duration grace, std::size_t calls, std::size_t workers) {
  leasepool::Loop loop;
  auto settings = figures::manager_options(leasepool::ExecutorBackend::process, 1, workers);
  settings.lease_grace = grace;
  leasepool::LeasedExecutorManager manager(loop, settings);
  figures::start(loop, manager);
  Expiries expiries(loop, manager, options, calls);
  expiries.run();
  if (expiries.wrong.empty() && grace > Duration(0) && expiries.stacks == 0) expiries.wrong = "no stack was noted";
  if (!expiries.wrong.empty()) {
    std::fprintf(stderr, "%s: %s\n", options.program().c_str(), expiries.wrong.c_str());
    return std::nullopt;
  }
  return expiries.times;
}

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();
  const figures::Options options(argc, argv, "From a lease's hard expiry to its caller, and to its replacement.",
                                 {{"resident-gib", 4, "memory of this program, in GiB"},
                                  {"leases", 400, "how many expire"},
                                  {"lease", 0.02, "duration of each, in seconds"},
                                  {"grace", 0.02, "its grace where stacks are noted in it, in seconds"},
                                  {"workers", 2, "worker processes of the pool"}},
                                 {{"resident-gib", 0, {}}, {"leases", 20, {}}});
  figures::progress(options, "making memory resident");
  make_resident(static_cast<std::size_t>(options.number("resident-gib") * (1 << 30)));

  constexpr std::size_t kCalls = 4;
  const auto alone = measure(options, Duration(0), 1, options.count("workers"));
  if (!alone) return 1;
  const auto noted = measure(options, options.seconds("grace"), kCalls, kCalls);
  if (!noted) return 1;

  figures::Report report(options);
  const double ms = 1e6;
  report.add({.figure = {},
              .what = "to the caller, p50",
              .value = nanoseconds(alone->heard.percentile(50)),
              .unit = Unit::nanoseconds});
  report.add({.figure = "D1",
              .what = "from the hard expiry to the caller, p99",
              .value = nanoseconds(alone->heard.percentile(99)),
              .unit = Unit::nanoseconds,
              .at_most = ms});
  report.add({.figure = "D1",
              .what = "to the last of four callers, stacks noted in the grace, p50",
              .value = nanoseconds(noted->heard.percentile(50)),
              .unit = Unit::nanoseconds,
              .at_most = ms});
  report.add({.figure = {},
              .what = "to the next lease, p50",
              .value = nanoseconds(alone->replaced.percentile(50)),
              .unit = Unit::nanoseconds});
  report.add({.figure = "D1",
              .what = "from the hard expiry to the replacement lent, p99",
              .value = nanoseconds(alone->replaced.percentile(99)),
              .unit = Unit::nanoseconds,
              .at_most = 3 * ms});
  char text[200];
  std::snprintf(text, sizeof text,
                "%zu leases of %g ms on one pool of %zu worker processes; %.2f GiB resident in pages of 4 KiB.",
                options.count("leases"), options.number("lease") * 1e3, options.count("workers"), resident_gib());
  report.note(text);
  report.print();
}

// S1: what those who watch a program cost its calls: p99 of calls with many leases out, while lptop, browsers and
// Prometheus read its stats and while they do not, in turn. The viewers are processes of their own, but of the same
// machine: the processor time that they take shows in the figures, too.
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "figures/manager.hpp"
#include "figures/report.hpp"

using leasepool::ExecutorBackend;
using leasepool::ExecutorLease;
using leasepool::Result;
using std::chrono::steady_clock;

namespace {

std::uint64_t same(std::uint64_t value) { return value; }

// What the program tells its viewers, in memory of both.
struct Shared {
  std::atomic<bool> watched = false;
  std::atomic<std::uint64_t> answers = 0;
  std::atomic<std::uint64_t> bytes = 0;
  std::atomic<std::uint64_t> failures = 0;
  std::uint16_t port = 0;
  std::array<char, 200> path{};
};

Shared& map_shared() {
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("there is no memory to share with the viewers");
  return *new (memory) Shared;
}

// As lptop and curl do: a connection for each reading, to the end of the answer.
leasepool::Task<> read_once(Shared& shared, leasepool::Stream stream, std::string request) {
  auto writing = stream.write(request);
  co_await writing;
  std::vector<std::byte> buffer(65'536);
  for (;;) {
    auto reading = stream.read(buffer);
    const std::size_t size = co_await reading;
    if (size == 0) break;
    shared.bytes += size;
  }
  ++shared.answers;
}

leasepool::Task<> view(leasepool::Loop& loop, Shared& shared, bool scrapes, leasepool::Duration first,
                       leasepool::Duration interval) {
  auto waiting = loop.sleep(first);
  co_await waiting;
  for (;;) {
    auto pausing = loop.sleep(interval);
    co_await pausing;
    if (!shared.watched) continue;
    try {
      if (scrapes) {
        auto connecting = leasepool::connect(loop, leasepool::Endpoint{.host = "127.0.0.1", .port = shared.port});
        auto reading = read_once(shared, co_await connecting, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n");
        co_await reading;
      } else {
        auto connecting = leasepool::connect(loop, leasepool::UnixEndpoint{.path = shared.path.data()});
        auto reading = read_once(shared, co_await connecting, "GET /stats.json HTTP/1.0\r\n\r\n");
        co_await reading;
      }
    } catch (const std::exception&) {
      ++shared.failures;
    }
  }
}

// They come at different moments.
void run_viewers(const figures::Options& options, Shared& shared) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_IDLE, &none);
  leasepool::Loop loop;
  const std::size_t count = options.count("viewers");
  const leasepool::Duration interval = options.seconds("interval");
  for (std::size_t i = 0; i < count; ++i) {
    const auto first = interval * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(count);
    loop.spawn(view(loop, shared, i < options.count("scrapers"), first, interval));
  }
  loop.run();
}

double percentile(std::vector<std::uint32_t>& latencies, double percent) {
  const auto at =
      latencies.begin() + static_cast<std::ptrdiff_t>(percent / 100 * static_cast<double>(latencies.size()));
  std::ranges::nth_element(latencies, at);
  return *at;
}

// Calls of one round: one after the other, or at so many a second whatever has become of those before. A call at a rate
// counts from the moment for which it was meant, so that one that this thread was late for does not look better.
class Round {
 public:
  Round(leasepool::Loop& loop, const ExecutorLease& lease, double rate) : loop_(loop), lease_(lease), rate_(rate) {}

  double p99(leasepool::Duration time) {
    const leasepool::Timer end = loop_.call_after(time, [this] { loop_.stop(); });
    next_ = steady_clock::now();
    rate_ > 0 ? arrive() : call_again();
    loop_.run();
    over_ = true;
    timer_ = {};
    const leasepool::Timer rest = loop_.call_after(std::chrono::milliseconds(50), [this] { loop_.stop(); });
    loop_.run();  // calls under way are this object's
    return percentile(latencies_, 99);
  }

 private:
  void call(steady_clock::time_point begin) {
    lease_.run_async(same, latencies_.size(), [this, begin](const Result<std::uint64_t>& result) {
      if (!result) throw std::runtime_error(result.error().message());
      if (over_) return;
      latencies_.push_back(static_cast<std::uint32_t>((steady_clock::now() - begin).count()));
      if (rate_ == 0) call_again();
    });
  }
  void call_again() { call(steady_clock::now()); }
  void arrive() {
    const auto gap = std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 / rate_));
    for (; next_ <= steady_clock::now(); next_ += gap) call(next_);
    timer_ = loop_.call_after(std::max<leasepool::Duration>(next_ - steady_clock::now(), std::chrono::nanoseconds(0)),
                              [this] { arrive(); });
  }

  leasepool::Loop& loop_;
  const ExecutorLease& lease_;
  double rate_;
  bool over_ = false;
  steady_clock::time_point next_;
  leasepool::Timer timer_;
  std::vector<std::uint32_t> latencies_;
};

struct Measured {
  std::vector<double> alone;
  std::vector<double> watched;
  std::vector<double> ratios;
};

// Which of the two comes first changes from round to round.
Measured measure(leasepool::Loop& loop, const ExecutorLease& lease, const figures::Options& options, double rate,
                 Shared& shared) {
  Measured measured;
  (void)Round(loop, lease, rate).p99(std::chrono::milliseconds(200));
  for (std::size_t round = 0; round < options.count("rounds"); ++round) {
    figures::progress(options, "round " + std::to_string(round + 1));
    for (const bool watched : {round % 2 == 0, round % 2 == 1}) {
      shared.watched = watched;
      Round one(loop, lease, rate);
      (watched ? measured.watched : measured.alone).push_back(one.p99(options.seconds("seconds")));
    }
    measured.ratios.push_back(measured.watched.back() / measured.alone.back());
  }
  shared.watched = false;
  return measured;
}

void add_rows(figures::Report& report, const std::string& what, const Measured& measured) {
  report.add({.figure = "S1",
              .what = what + ": p99 watched, of the same alone",
              .value = figures::median(measured.ratios),
              .unit = figures::Unit::ratio,
              .at_most = 1.05});
  report.add({.figure = "",
              .what = "... alone",
              .value = figures::median(measured.alone),
              .unit = figures::Unit::nanoseconds});
  report.add({.figure = "",
              .what = "... watched",
              .value = figures::median(measured.watched),
              .unit = figures::Unit::nanoseconds});
}

std::vector<ExecutorLease> acquire_all(leasepool::Loop& loop, leasepool::LeasedExecutorManager& manager,
                                       std::size_t count) {
  std::vector<ExecutorLease> leases;
  for (std::size_t i = 0; i < count; ++i) {
    manager.acquire_async({.owner = "request " + std::to_string(i), .lease_duration = leasepool::Duration::max()},
                          [&](Result<ExecutorLease> lease) {
                            leases.push_back(std::move(*lease));
                            if (leases.size() == count) loop.stop();
                          });
  }
  loop.run();
  return leases;
}

void run_program(const figures::Options& options, Shared& shared, figures::Report& report) {
  const std::size_t count = options.count("leases");
  leasepool::Loop loop;
  leasepool::LeasedExecutorManager manager(loop, figures::manager_options(ExecutorBackend::thread, count, 1));
  figures::start(loop, manager);
  const std::vector<ExecutorLease> leases = acquire_all(loop, manager, count);
  const std::string path = "/tmp/leasepool-viewers-" + std::to_string(::getpid()) + ".sock";
  (void)loop.serve_stats(leasepool::UnixEndpoint{.path = path});
  shared.port = loop.serve_stats(leasepool::Endpoint{}).port;
  std::memcpy(shared.path.data(), path.data(), path.size());
  add_rows(report, "calls one at a time", measure(loop, leases.front(), options, 0, shared));
  const double rate = options.number("rate");
  add_rows(report, std::to_string(static_cast<int>(rate)) + " calls/s",
           measure(loop, leases.front(), options, rate, shared));
}

}  // namespace

int main(int argc, char** argv) {
  const figures::Options options(argc, argv, "What those who watch a program cost its calls.",
                                 {{"leases", 1000, "that are out, each of a pool of one thread"},
                                  {"viewers", 10, "at once"},
                                  {"scrapers", 5, "of them, as Prometheus; the others as lptop"},
                                  {"interval", 1, "seconds from an answer to the next question"},
                                  {"rate", 10'000, "calls a second"},
                                  {"rounds", 30, "of which each is measured alone and watched"},
                                  {"seconds", 0.25, "of each"}},
                                 {{"leases", 50, {}}, {"rounds", 2, {}}, {"seconds", 0.2, {}}, {"interval", 0.1, {}}});
  Shared& shared = map_shared();
  const pid_t viewers = ::fork();
  if (viewers == 0) {
    run_viewers(options, shared);
    return 0;
  }
  figures::Report report(options);
  run_program(options, shared, report);
  ::kill(viewers, SIGKILL);
  ::waitpid(viewers, nullptr, 0);
  report.note("S1: " + std::to_string(shared.answers.load()) + " answers of " +
              figures::text_of(static_cast<double>(shared.bytes.load()) /
                                   std::max<double>(1, static_cast<double>(shared.answers.load())),
                               figures::Unit::bytes) +
              " were read, and " + std::to_string(shared.failures.load()) +
              " failed; medians of the rounds, ratios within a round.");
  report.print();
  return shared.answers == 0 || shared.failures != 0 ? 1 : 0;
}

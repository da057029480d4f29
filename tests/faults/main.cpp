// Runs the scenario with one thing going wrong, for each thing that can.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#ifdef LEASEPOOL_TEST_REMOTE
#include "nats/nats_server.hpp"
#endif
#include "plan.hpp"
#include "report.hpp"
#include "run.hpp"
#include "scenario.hpp"

namespace {

using namespace faults;

constexpr int kSkipped = 77;
constexpr const char* kUsage =
    "usage: test_faults [calls | memory] [--backend NAME]... [--long] [--call NAME]... [--only CALL:ERRNO:ROLE:N]... "
    "[-v]\n"
    "  calls, memory    system calls and operations on the ring alone; allocations alone\n"
    "  --backend NAME   threads, processes, sockets (no shared memory), sandboxed, files (a sandbox with files), io,\n"
    "                   epoll (the loop's engine, without shared memory), io_epoll, clean (a worker serves one "
    "lease),\n"
    "                   remote (a node and its manager in one program)\n"
    "  --long           each occurrence of each call on each backend, not the first and the last on one alone\n"
    "  --call NAME      the rows of this call alone (\"new\" is an allocation)\n"
    "  --only FAULT     this run alone: sendmsg:ENOBUFS:parent:3; N may be all; role is parent, server or worker\n"
    "  --list           how many calls there are of each, by role\n"
    "  -v               all that each run says, and the stacks of what hangs\n";

struct Options {
  std::string kind;
  std::vector<const Backend*> backends;
  Occurrences occurrences = Occurrences::first_and_last;
  std::vector<std::string> calls;
  std::vector<Fault> only;
  bool list = false;
  bool verbose = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int at = 1; at < argc; ++at) {
    const std::string_view word = argv[at];
    const auto value = [&] {
      if (++at >= argc) throw std::invalid_argument(std::string(word) + " needs a value");
      return std::string(argv[at]);
    };
    if (word == "calls" || word == "memory")
      options.kind = word;
    else if (word == "--backend")
      options.backends.push_back(&backend_of(value()));
    else if (word == "--long")
      options.occurrences = Occurrences::all;
    else if (word == "--call")
      options.calls.push_back(value());
    else if (word == "--only")
      options.only.push_back(fault_of(value()));
    else if (word == "--list")
      options.list = true;
    else if (word == "-v")
      options.verbose = true;
    else
      throw std::invalid_argument(std::string(word) + " is no option\n" + kUsage);
  }
  if (options.backends.empty()) {
    for (const Backend& backend : backends()) options.backends.push_back(&backend);
  }
  return options;
}

void list(const Backend& backend, const Baseline& baseline) {
  std::printf("%s: %d descriptors, %d processes\n", std::string(backend.name).c_str(), baseline.open_descriptors,
              baseline.processes);
  for (const auto& [call, counts] : baseline.calls) {
    std::printf("  %-24s parent %5ld  server %5ld  worker %5ld\n", call.c_str(), counts.of[0], counts.of[1],
                counts.of[2]);
  }
}

// A run in a process of its own, whose outcome comes through a pipe.
class RunInFlight {
 public:
  RunInFlight(const Run& run, const Baseline& baseline) : run_(&run) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe for a run");
    std::fflush(stdout);
    process_ = ::fork();
    if (process_ == 0) {
      const Outcome outcome = faults::run(run, baseline);
      std::string text(1, static_cast<char>(outcome.verdict));
      text += outcome.said + '\0' + outcome.output;
      for (std::size_t at = 0; at < text.size();) {
        const ssize_t written = ::write(ends[1], text.data() + at, text.size() - at);
        if (written <= 0) break;
        at += static_cast<std::size_t>(written);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    outcome_from_ = ends[0];
  }

  [[nodiscard]] int outcome_from() const noexcept { return outcome_from_; }
  [[nodiscard]] const Run& run() const noexcept { return *run_; }

  [[nodiscard]] Outcome finish() const {
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t length = 0; (length = ::read(outcome_from_, buffer.data(), buffer.size())) > 0;) {
      text.append(buffer.data(), static_cast<std::size_t>(length));
    }
    ::close(outcome_from_);
    ::waitpid(process_, nullptr, 0);
    if (text.empty()) return {.verdict = Verdict::ended, .said = "the supervisor itself", .output = {}};
    const std::size_t end = text.find('\0', 1);
    return {.verdict = static_cast<Verdict>(text[0]), .said = text.substr(1, end - 1), .output = text.substr(end + 1)};
  }

 private:
  const Run* run_;
  pid_t process_ = -1;
  int outcome_from_ = -1;
};

// Two at a time: they mostly wait.
void run_all(const std::vector<Run>& runs, const std::map<const Backend*, Baseline>& baselines, Report& report) {
  constexpr std::size_t kAtOnce = 2;
  std::vector<RunInFlight> in_flight;
  for (std::size_t next = 0; next < runs.size() || !in_flight.empty();) {
    while (next < runs.size() && in_flight.size() < kAtOnce) {
      in_flight.emplace_back(runs[next], baselines.at(runs[next].backend));
      ++next;
    }
    std::vector<pollfd> ended;
    for (const RunInFlight& run : in_flight)
      ended.push_back({.fd = run.outcome_from(), .events = POLLIN, .revents = 0});
    ::poll(ended.data(), ended.size(), -1);
    for (std::size_t at = in_flight.size(); at-- > 0;) {
      if (ended[at].revents == 0) continue;
      report.add(in_flight[at].run(), in_flight[at].finish());
      in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
}

#ifdef LEASEPOOL_TEST_REMOTE
// The server of all scenarios that need one; without one they are left out.
std::unique_ptr<leasepool::test::NatsServer> serve_nats(Options& options) {
  const auto wants = [](const Backend* backend) { return backend->remote; };
  if (std::ranges::none_of(options.backends, wants)) return nullptr;
  if (leasepool::test::NatsServer::program().empty()) {
    std::printf("skipped: faults of nodes: nats-server is not installed\n");
    std::erase_if(options.backends, wants);
    return nullptr;
  }
  auto server = std::make_unique<leasepool::test::NatsServer>();
  ::setenv(kNatsVariable, server->url().c_str(), 1);  // NOLINT(concurrency-mt-unsafe): there is one thread
  return server;
}
#endif

int run_tables(const Options& options) {
  std::map<const Backend*, Baseline> baselines;
  std::vector<Run> runs;
  for (const Backend* const backend : options.backends) {
    const Baseline& baseline = baselines[backend] = measure(*backend);
    if (options.list) list(*backend, baseline);
    for (const Fault& fault : options.only) runs.push_back({.fault = fault, .backend = backend, .with_stacks = true});
    if (!options.only.empty()) continue;
    for (Run& run : plan(*backend, baseline, options.occurrences, options.kind)) {
      if (options.calls.empty() || std::ranges::find(options.calls, run.fault.call) != options.calls.end()) {
        run.with_stacks = options.verbose;
        runs.push_back(std::move(run));
      }
    }
  }
  if (options.list) return 0;
  if (options.occurrences == Occurrences::first_and_last && options.only.empty() && options.backends.size() > 1) {
    leave_out_repeated(runs);
  }
  if (options.backends.size() == backends().size()) {
    for (const std::string& row : never_made(baselines)) std::printf("never made: %s\n", row.c_str());
  }
  Report report(runs.size(), options.verbose);
  run_all(runs, baselines, report);
  return report.finish() == 0 ? 0 : 1;
}

// In a process of its own, so that a server is not among those that runs look for what they have left.
int run_tables_beside_server(Options options) {
  const std::string reason = why_not_supervised();
  if (!reason.empty()) {
    std::printf("skipped: faults: %s\n", reason.c_str());
    return kSkipped;
  }
#ifdef LEASEPOOL_TEST_REMOTE
  const auto nats = serve_nats(options);
#endif
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int result = run_tables(options);
    std::fflush(stdout);
    ::_exit(result);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::string_view(argv[1]) == "--scenario") return run_scenario(argv[2]);
    return run_tables_beside_server(parse(argc, argv));
  } catch (const std::exception& thrown) {
    std::fprintf(stderr, "test_faults: %s\n", thrown.what());
    return 2;
  }
}

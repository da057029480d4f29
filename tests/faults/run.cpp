// Starts a scenario, supervises it to its end and that of all it started, and judges.
#include "run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "family.hpp"
#include "leasepool/fd.hpp"
#include "shared.hpp"
#include "supervisor.hpp"
#include "system_calls.hpp"

namespace faults {

namespace {

using Clock = std::chrono::steady_clock;
using leasepool::Fd;

constexpr auto kHangsAfter = std::chrono::seconds(60);
constexpr auto kProcessesEndWithin = std::chrono::seconds(2);

// The shared memory, in the supervisor.
class SharedMemory {
 public:
  SharedMemory() : file_(::memfd_create("faults", 0)) {  // inherited by exec
    if (::ftruncate(file_.get(), sizeof(Shared)) != 0) throw std::runtime_error("no memory for a run");
    void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory for a run");
    shared_ = new (memory) Shared;
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(shared_, sizeof(Shared)); }

  [[nodiscard]] int file() const noexcept { return file_.get(); }
  Shared& operator*() const noexcept { return *shared_; }
  Shared* operator->() const noexcept { return shared_; }

 private:
  Fd file_;
  Shared* shared_;
};

void set_fault(Shared& shared, const Fault& fault) {
  shared.failing_operation.fill(-1);
  shared.counts_allocations = fault.call == "new";
  if (fault.call == "new") shared.failing_allocation[static_cast<std::size_t>(fault.role)] = fault.nth;
  for (std::size_t at = 0; at < ring_rows().size(); ++at) {
    if (fault.call == ring_rows()[at].name) shared.failing_operation[at] = fault.nth;
  }
  shared.operation_error = fault.error;
}

// Which system calls the supervisor is asked about: of one fault only its own, as each question takes time.
std::vector<long> watched(const Fault& fault) {
  std::vector<long> numbers;
  for (const SystemCall& row : system_calls()) {
    if (row.errnos.empty() || (!fault.call.empty() && fault.call != row.name)) continue;
    numbers.insert(numbers.end(), row.numbers.begin(), row.numbers.end());
  }
  return numbers;
}

[[noreturn]] void become_scenario(Shared& shared, const Fault& fault, const Backend& backend, int memory, int output) {
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::setenv(kSharedVariable, std::to_string(memory).c_str(), 1);
  const std::string name(backend.name);
  be_supervised(shared, watched(fault));
  ::execl("/proc/self/exe", "test_faults", "--scenario", name.c_str(), nullptr);
  ::_exit(2);
}

std::string read_all(int file) {
  std::string text(static_cast<std::size_t>(::lseek(file, 0, SEEK_END)), '\0');
  const ssize_t length = ::pread(file, text.data(), text.size(), 0);
  text.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  return text;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Where the processes of a run that hangs wait.
std::string where_they_are(bool with_stacks) {
  std::string text;
  for (const Process& process : descendants_of(::getpid())) {
    const std::string directory = "/proc/" + std::to_string(process.id);
    text += process.name + ' ' + std::to_string(process.id) + (process.is_zombie ? " is a zombie" : "") + " in " +
            first_line(directory + "/wchan") + ", system call " + first_line(directory + "/syscall") + '\n';
    if (!with_stacks || process.is_zombie) continue;
    const std::string command = "gdb -p " + std::to_string(process.id) +
                                " -batch -nx -ex 'thread apply all bt 25' 2>/dev/null | grep -E '^(#|Thread)'";
    FILE* const output = ::popen(command.c_str(), "r");  // NOLINT(cert-env33-c): a developer's own machine
    char line[512];
    while (output != nullptr && std::fgets(line, sizeof line, output) != nullptr) text += line;
    if (output != nullptr) ::pclose(output);
  }
  return text;
}

void kill_all() {
  for (const Process& process : descendants_of(::getpid())) {
    if (!process.is_zombie) ::kill(process.id, SIGKILL);
  }
}

// How the scenario and what it started came to their ends.
struct End {
  std::optional<int> status;
  bool hung = false;
  std::string left;  // processes that outlived it
};

// Reaps what there is; false: there is nobody left.
bool reap(pid_t scenario, End& end) {
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, WNOHANG);
    if (ended == 0) return true;
    if (ended < 0) return false;
    if (ended == scenario) end.status = status;
  }
}

End see_to_the_end(pid_t scenario, Supervisor& supervisor, const Run& run, std::string& where) {
  End end;
  Clock::time_point limit = Clock::now() + kHangsAfter;
  bool exited = false;
  for (;;) {
    pollfd question{.fd = supervisor.descriptor(), .events = POLLIN, .revents = 0};
    if (::poll(&question, 1, 5) > 0) {
      if ((question.revents & POLLIN) != 0) supervisor.answer();
      if ((question.revents & POLLHUP) != 0)
        ::usleep(1000);
      else if (Clock::now() < limit)
        continue;
    }
    if (!reap(scenario, end)) return end;
    if (end.status && !std::exchange(exited, true)) limit = Clock::now() + kProcessesEndWithin;
    if (Clock::now() < limit) continue;
    if (exited) {
      for (const Process& process : descendants_of(::getpid())) end.left += process.name + ' ';
    } else {
      end.hung = true;
      where = where_they_are(run.with_stacks);
    }
    kill_all();
    while (reap(scenario, end)) ::usleep(1000);
    return end;
  }
}

std::string in_words(int status) {
  if (WIFSIGNALED(status)) return std::string("killed by ") + ::strsignal(WTERMSIG(status));
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

Outcome judge(const Run& run, const Baseline& baseline, const Shared& shared, const End& end) {
  Outcome outcome;
  const auto say = [&](Verdict verdict, std::string text) {
    outcome.verdict = verdict;
    outcome.said = std::move(text);
    return outcome;
  };
  const std::string failures(shared.failures.view());
  if (end.hung) return say(Verdict::hung, failures);
  if (!shared.finished || !end.status || *end.status != 0) {
    return say(Verdict::ended, (end.status ? in_words(*end.status) : "no end") + ", after: " + failures);
  }
  if (shared.wrong.size > 0) return say(Verdict::wrong, std::string(shared.wrong.view()) + "; " + failures);
  if (shared.second_failures.size > 0) {
    return say(Verdict::unclean,
               "the second time: " + std::string(shared.second_failures.view()) + "; the first: " + failures);
  }
  if (!end.left.empty()) return say(Verdict::leaked, "processes that outlived it: " + end.left + "; " + failures);
  const bool refuses = run.fault.nth != 0 || run.fault.error != 0;
  if (refuses && shared.open_descriptors != baseline.open_descriptors) {
    return say(Verdict::leaked, std::to_string(shared.open_descriptors) + " descriptors instead of " +
                                    std::to_string(baseline.open_descriptors) + "; " + failures);
  }
  if (refuses && shared.processes != baseline.processes) {
    return say(Verdict::leaked, std::to_string(shared.processes) + " processes instead of " +
                                    std::to_string(baseline.processes) + "; " + failures);
  }
  if (shared.late.size > 0) return say(Verdict::late, std::string(shared.late.view()) + "; " + failures);
  if (refuses && shared.injected == 0) return say(Verdict::not_reached, failures);
  return say(failures.empty() ? Verdict::succeeded : Verdict::typed_error, failures);
}

Outcome run_and_count(const Run& run, const Baseline& baseline, Baseline& counted) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const SharedMemory shared;
  set_fault(*shared, run.fault);
  if (baseline.open_descriptors != 0) shared->expected_descriptors = baseline.open_descriptors;
  if (baseline.processes != 0) shared->expected_processes = baseline.processes;
  const Fd output(::memfd_create("output", MFD_CLOEXEC));
  ::fcntl(output.get(), F_SETFL, O_APPEND);
  const pid_t scenario = ::fork();
  if (scenario == 0) become_scenario(*shared, run.fault, *run.backend, shared.file(), output.get());
  Supervisor supervisor(*shared, run.fault, scenario);
  std::string where;
  const bool attached = supervisor.attach();
  const End end = see_to_the_end(scenario, supervisor, run, where);
  Outcome outcome = judge(run, baseline, *shared, end);
  if (!attached) outcome.said = "it could not be supervised; " + outcome.said;
  outcome.output = where + std::string(shared->log.view()) + read_all(output.get());

  counted.open_descriptors = shared->open_descriptors;
  counted.processes = shared->processes;
  counted.calls = supervisor.calls();
  for (std::size_t role = 0; role < kRoles; ++role) counted.calls["new"].of[role] = shared->allocations[role];
  for (std::size_t at = 0; at < ring_rows().size(); ++at) {
    counted.calls[std::string(ring_rows()[at].name)].of[0] = shared->operations[at];
  }
  return outcome;
}

}  // namespace

const char* name_of(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::succeeded: return "succeeded";
    case Verdict::typed_error: return "typed error";
    case Verdict::not_reached: return "not reached";
    case Verdict::late: return "late";
    case Verdict::wrong: return "wrong";
    case Verdict::hung: return "hung";
    case Verdict::ended: return "ended";
    case Verdict::leaked: return "leaked";
    case Verdict::unclean: return "unclean";
  }
  return "?";
}

std::string why_not_supervised() {
  const SharedMemory shared;
  const pid_t child = ::fork();
  if (child == 0) {
    be_supervised(*shared, {});
    ::_exit(0);
  }
  const Fault nothing;
  Supervisor supervisor(*shared, nothing, child);
  const bool attached = supervisor.attach();
  if (!attached) ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return attached ? "" : "the system refuses to let one process decide on another's system calls";
}

Baseline measure(const Backend& backend) {
  Baseline counted;
  const auto run_once = [&](const Fault& fault, Baseline& into) {
    const Outcome outcome = run_and_count({.fault = fault, .backend = &backend, .with_stacks = true}, {}, into);
    if (outcome.verdict == Verdict::succeeded) return;
    throw std::runtime_error("with nothing refused, " + std::string(backend.name) + ' ' + name_of(outcome.verdict) +
                             ": " + outcome.said + '\n' + outcome.output);
  };
  run_once({}, counted);
  Baseline allocating;
  run_once({.call = "new"}, allocating);
  counted.calls["new"] = allocating.calls["new"];
  return counted;
}

Outcome run(const Run& run, const Baseline& baseline) {
  Baseline counted;
  return run_and_count(run, baseline, counted);
}

}  // namespace faults

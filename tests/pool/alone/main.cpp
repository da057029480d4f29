// Runs each test in a process of its own, and sees to it that nothing of it is left.
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "alone.hpp"
#include "pool/processes.hpp"
#include "public/errors_table.hpp"
#include "run_tests.hpp"
#include "support/eventually.hpp"
#include "support/skip.hpp"
#include "support/waitable_children.hpp"

namespace alone {

namespace {

constexpr char kFamily[] = "LEASEPOOL_TEST_FAMILY";

constexpr int kSkipped = 77;
bool skipped = false;

std::vector<const char*>& names() {
  static std::vector<const char*> all;
  return all;
}

// The environment that a process was started with.
std::string environment_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/environ", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Relative> family_named(const std::string& value) {
  const std::string entry = kFamily + std::string("=") + value + '\0';
  std::vector<Relative> found;
  for (const pid_t process : leasepool::test::all_processes()) {
    if (process == ::getpid() || environment_of(process).find(entry) == std::string::npos) continue;
    found.push_back({.pid = process, .name = leasepool::test::process_name(process)});
  }
  return found;
}

// One test in a fresh copy of this program. True if it passed and left nothing.
bool run_one(const char* self, const char* name, int number) {
  const std::string value = std::to_string(::getpid()) + "." + std::to_string(number);
  ::setenv(kFamily, value.c_str(), 1);
  const char* const arguments[] = {self, name, "--reporter", "compact", nullptr};
  const leasepool::test::WaitableChildren waitable;
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    leasepool::test::WaitableChildren::put_back();
    ::execv("/proc/self/exe", const_cast<char**>(arguments));
    ::_exit(127);
  }
  ::unsetenv(kFamily);

  const auto begin = std::chrono::steady_clock::now();
  bool passed = leasepool::test::ProcessHandle(child).wait(std::chrono::seconds(100));
  if (!passed) std::fprintf(stderr, "%s: hangs\n", name);
  if (!passed) ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  const bool was_skipped = WIFEXITED(status) && WEXITSTATUS(status) == kSkipped;
  if (status != 0 && !was_skipped) passed = false;
  if (WIFSIGNALED(status)) std::fprintf(stderr, "%s: killed by signal %d\n", name, WTERMSIG(status));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;

  if (!leasepool::test::eventually([&] { return family_named(value).empty(); }, std::chrono::seconds(10))) {
    passed = false;
    for (const Relative& relative : family_named(value)) {
      std::fprintf(stderr, "%s: left process %d (%s)\n", name, relative.pid, relative.name.c_str());
      ::kill(relative.pid, SIGKILL);
    }
  }
  std::printf("%s %6.3f s  %s\n", !passed ? "FAIL" : was_skipped ? "skip" : "ok  ", took.count(), name);
  std::fflush(stdout);
  return passed;
}

}  // namespace

// To Catch2 a comma is a list of names, none of which would be found, and none found is no failure.
Name::Name(const char* name) {
  if (std::strchr(name, ',') != nullptr) {
    std::fprintf(stderr, "a test's name with a comma: %s\n", name);
    std::abort();
  }
  names().push_back(name);
}

std::vector<Relative> family() {
  const char* const value = std::getenv(kFamily);
  if (value == nullptr) throw std::runtime_error("run this program without arguments");
  return family_named(value);
}

std::vector<pid_t> fork_servers() {
  std::vector<pid_t> found;
  for (const Relative& relative : family()) {
    if (relative.name == "lp-forkserver") found.push_back(relative.pid);
  }
  return found;
}

std::vector<pid_t> both_fork_servers() {
  if (!leasepool::test::eventually([] { return fork_servers().size() == 2; })) {
    throw std::runtime_error("there are no two fork servers");
  }
  return fork_servers();
}

bool skip(const char* reason) {
  leasepool::test::skip(reason);
  skipped = true;
  return false;
}

void check_row(const char* heading, std::string_view message) {
  auto rows = read_errors_table(LEASEPOOL_DOCS_DIR "/errors.md", "test", "\"owner\"");
  INFO(heading << ": " << message);
  const ErrorRow* row = find_row(rows, heading, message);
  if (row == nullptr) row = find_row(rows, heading, message.substr(0, message.rfind(": ")));
  REQUIRE(row != nullptr);
  CHECK(needs_own_process(*row));
  CHECK_FALSE(row->marked);
}

bool become_somebody() {
  if (::geteuid() != 0) {
    return skip("only root can become a user of its own, to whom the limit of processes applies");
  }
  const auto id = static_cast<uid_t>(100'000 + ::getpid());
  ::prctl(PR_SET_KEEPCAPS, 1);
  if (::setresgid(id, id, id) != 0 || ::setresuid(id, id, id) != 0) throw std::runtime_error("setresuid");
  // It still reads every file: whatever the rights of the folders above are, they are not what is tested.
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> capabilities{};
  capabilities[0].effective = capabilities[0].permitted = 1U << CAP_DAC_OVERRIDE;
  if (::syscall(SYS_capset, &header, capabilities.data()) != 0) throw std::runtime_error("capset");
  ::prctl(PR_SET_DUMPABLE, 1);  // else /proc/self belongs to root
  return true;
}

}  // namespace alone

// The program's arguments: those that begin with ~ name a test to leave out of all.
int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!std::ranges::all_of(arguments, [](const std::string& each) { return each.starts_with('~'); })) {
    const int result = run_tests(argc, argv);
    return result == 0 && alone::skipped ? alone::kSkipped : result;
  }
  std::vector<const char*> failed;
  int number = 0;
  for (const char* const name : alone::names()) {
    if (std::ranges::find(arguments, std::string("~") + name) != arguments.end()) continue;
    if (!alone::run_one(argv[0], name, ++number)) failed.push_back(name);
  }
  // Once more, as of a long output only the end is shown.
  for (const char* const name : failed) std::printf("FAIL %s\n", name);
  return failed.empty() ? 0 : 1;
}

// Starting and ending a part of a cluster.
#include "cluster/part_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "support/eventually.hpp"
#include "support/process_state.hpp"

namespace cluster {

using namespace std::chrono_literals;

std::string text_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

std::size_t lines_with(const std::string& text, const std::string& beginning) {
  std::size_t count = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) count += line.starts_with(beginning) ? 1U : 0U;
  return count;
}

PartProcess::PartProcess(PartOptions options, void (*before)(void*), void* with) : options_(std::move(options)) {
  const std::string id = std::to_string(options_.id);
  const std::string heartbeat = std::to_string(options_.heartbeat.count());
  const std::string node_timeout = std::to_string(options_.node_timeout.count());
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    leasepool::test::WaitableChildren::put_back();
    if (before != nullptr) before(with);
    // What goes wrong in it, a sanitizer's report, too, is in its log.
    const int log = ::open(options_.log.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0600);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execl("/proc/self/exe", "test_cluster", "--part", options_.part.c_str(), options_.servers.c_str(),
            options_.log.c_str(), id.c_str(), heartbeat.c_str(), node_timeout.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
}

std::string PartProcess::log() const { return text_of(options_.log); }

std::size_t PartProcess::lines(const std::string& with) const { return lines_with(log(), with); }

bool PartProcess::is_up() const {
  return leasepool::test::eventually([this] { return lines("up") > 0; });
}

std::vector<pid_t> PartProcess::children() const {
  const std::vector<long> all = leasepool::test::proc::numbers_in("/proc").values;
  std::vector<pid_t> found;
  for (const long number : all) {
    std::error_code gone;
    const auto errors = std::filesystem::read_symlink("/proc/" + std::to_string(number) + "/fd/2", gone);
    if (number != pid_ && !gone && errors == options_.log) found.push_back(static_cast<pid_t>(number));
  }
  const std::vector<pid_t> servers = found;
  for (const long number : all) {
    const pid_t parent = leasepool::test::proc::parent_of(static_cast<pid_t>(number));
    const bool is_new = std::ranges::find(found, static_cast<pid_t>(number)) == found.end();
    if (is_new && std::ranges::find(servers, parent) != servers.end()) found.push_back(static_cast<pid_t>(number));
  }
  return found;
}

void PartProcess::signal(int number) const { ::kill(pid_, number); }

void PartProcess::kill() noexcept {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

bool PartProcess::ends() {
  signal(SIGTERM);
  int status = 0;
  if (!leasepool::test::eventually([&] { return ::waitpid(pid_, &status, WNOHANG) != 0; }, 60s)) return false;
  pid_ = -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace cluster

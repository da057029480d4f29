// Starting and killing the parts.
#include "nodes.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace lpbench::chaos {

namespace {

using std::chrono::steady_clock;

// Ends with this process. The limits of descriptors and processes are what they can be: they may be low now.
pid_t start_process(const std::vector<std::string>& command, const std::string& output) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));  // NOLINT: exec's type
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const auto kind : {RLIMIT_NOFILE, RLIMIT_NPROC}) {
    rlimit limit{};
    if (::getrlimit(kind, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(kind, &limit);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  ::dup2(nowhere, STDIN_FILENO);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(nowhere, STDERR_FILENO);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

std::string own_program() {
  std::string path(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length < 0) throw std::system_error(errno, std::generic_category(), "/proc/self/exe");
  path.resize(static_cast<std::size_t>(length));
  return path;
}

}  // namespace

std::string Nodes::find_server() {
  const char* const path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  std::istringstream places(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/usr/local/bin");
  for (std::string place; std::getline(places, place, ':');) {
    std::string candidate = place + "/nats-server";
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

Nodes::Nodes(std::string server, std::string directory)
    : server_(std::move(server)), directory_(std::move(directory)), parts_(kParts) {
  for (std::size_t part = 0; part < kParts; ++part) parts_[part].output = directory_ + "/part" + std::to_string(part);
  try {
    start(0);
    wait_for_server();
    for (std::size_t part = 1; part < kParts; ++part) start(part);
  } catch (...) {
    for (std::size_t part = 0; part < kParts; ++part) kill(part);
    throw;
  }
}

Nodes::~Nodes() {
  for (std::size_t part = kParts; part-- > 0;) kill(part);
}

leasepool::RemoteOptions Nodes::remote_options() const {
  using namespace std::chrono_literals;
  leasepool::RemoteOptions remote{.servers = "nats://127.0.0.1:" + std::to_string(port_)};
  remote.heartbeat = 100ms;
  remote.reconnect_grace = 200ms;
  remote.node_timeout = 1s;  // above the heartbeat of a node
  return remote;
}

std::vector<std::string> Nodes::command(std::size_t part) const {
  if (part == 0) return {server_, "-c", directory_ + "/nats.conf", "-l", directory_ + "/nats.log"};
  return {own_program(), "node", "--servers", remote_options().servers, "--pools", "2", "--workers", "2"};
}

// On any port at first, and on the same one ever after.
void Nodes::write_configuration() const {
  std::ofstream file(directory_ + "/nats.conf");
  file << "listen: \"127.0.0.1:" << (port_ == 0 ? "-1" : std::to_string(port_)) << "\"\nports_file_dir: \""
       << directory_ << "\"\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + directory_ + "/nats.conf");
}

void Nodes::wait_for_server() {
  const std::string file = directory_ + "/nats-server_" + std::to_string(parts_[0].pid) + ".ports";
  for (const auto give_up = steady_clock::now() + std::chrono::seconds(10); steady_clock::now() < give_up;) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    const std::string ports = text.str();
    const std::size_t at = ports.find("127.0.0.1:");
    if (at != std::string::npos && ports.find(']') != std::string::npos) {
      port_ = static_cast<std::uint16_t>(std::stoi(ports.substr(at + 10)));
      write_configuration();
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  throw std::runtime_error(server_ + " does not start: see " + directory_ + "/nats.log");
}

void Nodes::start(std::size_t part) {
  if (parts_[part].pid > 0) return;
  if (part == 0 && port_ == 0) write_configuration();
  ::unlink(parts_[part].output.c_str());
  const pid_t pid = start_process(command(part), parts_[part].output);
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  parts_[part].pid = pid;
}

bool Nodes::is_up(std::size_t part) const {
  struct stat file{};
  return parts_[part].pid > 0 && ::stat(parts_[part].output.c_str(), &file) == 0 && file.st_size > 0;
}

void Nodes::kill(std::size_t part) {
  const pid_t pid = std::exchange(parts_[part].pid, 0);
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<std::string> Nodes::tend() {
  std::optional<std::string> wrong;
  for (std::size_t part = 0; part < kParts; ++part) {
    int status = 0;
    if (parts_[part].pid <= 0 || ::waitpid(parts_[part].pid, &status, WNOHANG) == 0) continue;
    if (part == 0 || is_up(part) || WIFSIGNALED(status)) {
      wrong = (part == 0 ? std::string("the NATS server") : "node " + std::to_string(part)) + " ended by itself, " +
              (WIFSIGNALED(status) ? "by signal " + std::to_string(WTERMSIG(status))
                                   : "with exit code " + std::to_string(WEXITSTATUS(status)));
    }
    parts_[part].pid = 0;
    start(part);
  }
  return wrong;
}

}  // namespace lpbench::chaos

// Reading /proc.
#include "processes.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace lpbench::chaos {

namespace {

// The beginning of a file; empty where it cannot be read.
std::string beginning_of(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::array<char, 1024> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  const ssize_t got = ::read(fd, text.data(), text.size());
  ::close(fd);
  return {text.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

struct Stat {
  char state = 'Z';  // gone
  pid_t parent = 0;
};

Stat stat_of(pid_t pid) {
  const std::string text = beginning_of("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_end = text.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos || name_end + 4 >= text.size()) return {};
  Stat stat{.state = text[name_end + 2]};
  std::from_chars(text.data() + name_end + 4, text.data() + text.size(), stat.parent);
  return stat;
}

// By the title that the library gives to its processes.
Role role_of(pid_t pid) {
  const std::string line = beginning_of("/proc/" + std::to_string(pid) + "/cmdline");
  const std::string_view title(line.c_str());
  if (title.find(": leasepool worker ") != std::string_view::npos) return Role::worker;
  if (title.ends_with(": leasepool fork server in reserve")) return Role::reserve;
  return title.ends_with(": leasepool fork server") ? Role::fork_server : Role::other;
}

}  // namespace

std::vector<Relative> descendants() {
  const std::unique_ptr<DIR, decltype([](DIR* open) { ::closedir(open); })> listing(::opendir("/proc"));
  if (listing == nullptr) return {};
  std::multimap<pid_t, pid_t> children;
  while (const dirent* const entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    const Stat stat = stat_of(pid);
    if (stat.state != 'Z' && stat.state != 'X') children.emplace(stat.parent, pid);
  }
  std::vector<Relative> found = {{.pid = ::getpid()}};
  for (std::size_t next = 0; next < found.size(); ++next) {
    const Relative parent = found[next];
    const auto [first, last] = children.equal_range(parent.pid);
    for (auto child = first; child != last; ++child) {
      Role role = role_of(child->second);
      // A worker is a copy of its fork server until it has a title of its own.
      if (role == Role::fork_server && parent.role == Role::fork_server) role = Role::starting;
      found.push_back({.pid = child->second, .parent = parent.pid, .role = role});
    }
  }
  found.erase(found.begin());
  std::ranges::sort(found, {}, &Relative::pid);
  return found;
}

void reap_children() {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

ProcessRef::ProcessRef(pid_t pid) : fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
ProcessRef::ProcessRef(ProcessRef&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
ProcessRef& ProcessRef::operator=(ProcessRef&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
ProcessRef::~ProcessRef() {
  if (fd_ >= 0) ::close(fd_);
}

bool ProcessRef::signal(int number) const {
  return fd_ >= 0 && ::syscall(SYS_pidfd_send_signal, fd_, number, nullptr, 0) == 0;
}

bool ProcessRef::is_dead() const {
  pollfd end{.fd = fd_, .events = POLLIN, .revents = 0};
  return fd_ < 0 || ::poll(&end, 1, 0) == 1;
}

}  // namespace lpbench::chaos

// mkdir, cgroup.procs, cgroup.kill, cgroup.subtree_control, memory.max, memory.events.
#include "pool/worker_cgroup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "leasepool/error.hpp"
#include "pool/worker_settings.hpp"

namespace leasepool::detail {

namespace {

// 0 or an errno.
int write_to(int directory, const char* file, std::string_view text) noexcept {
  const UniqueFd opened(::openat(directory, file, O_WRONLY | O_CLOEXEC));
  if (!opened) return errno;
  return ::write(opened.get(), text.data(), text.size()) < 0 ? errno : 0;
}

// What a file of a cgroup says, as far as it is of interest; empty if it is not there.
std::string read_from(int directory, const char* file) noexcept {
  const UniqueFd opened(::openat(directory, file, O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled as far as it is used
  const ssize_t size = opened ? ::read(opened.get(), text.data(), text.size()) : 0;
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

constexpr std::string_view kPrefix = "leasepool-";

// The process that made a worker's cgroup of that name; 0 if it is not such a name.
pid_t maker_of(std::string_view name) noexcept {
  if (!name.starts_with(kPrefix)) return 0;
  name.remove_prefix(kPrefix.size());
  pid_t pid = 0;
  std::uint64_t worker = 0;
  const auto first = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (first.ec != std::errc{} || first.ptr == name.data() + name.size() || *first.ptr != '-') return 0;
  const auto second = std::from_chars(first.ptr + 1, name.data() + name.size(), worker);
  return second.ec == std::errc{} && second.ptr == name.data() + name.size() ? pid : 0;
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw LeasePoolError(Errc::unsupported,
                       "ManagerOptions::worker_cgroup = " + path + " cannot be used: " + why +
                           "; give a directory of the cgroup v2 hierarchy that this program may write to (for a "
                           "service of systemd: Delegate=yes), or leave it empty");
}

}  // namespace

std::shared_ptr<const UniqueFd> open_delegated_cgroup(const std::string& path) {
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) refuse(path, std::strerror(errno));
  struct statfs system{};
  if (::fstatfs(directory.get(), &system) != 0) refuse(path, std::strerror(errno));
  if (system.f_type != CGROUP2_SUPER_MAGIC) refuse(path, "it is not in a cgroup v2 hierarchy");
  if (::faccessat(directory.get(), ".", W_OK, AT_EACCESS) != 0) refuse(path, std::strerror(errno));
  // Where the controller is not there, or this cgroup has processes of its own, the limits of address space hold alone.
  (void)write_to(directory.get(), "cgroup.subtree_control", "+memory");
  remove_leftover_cgroups(directory.get());
  return std::make_shared<const UniqueFd>(above_standard_streams(std::move(directory)));
}

// Not killed is what is in them: where there are several namespaces of process ids, the maker may live all the same.
void remove_leftover_cgroups(int delegated) noexcept {
  const std::unique_ptr<DIR, decltype([](DIR* open) { ::closedir(open); })> entries(
      ::fdopendir(::openat(delegated, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!entries) return;
  while (const dirent* const entry = ::readdir(entries.get())) {
    const pid_t maker = maker_of(entry->d_name);
    if (maker > 0 && ::kill(maker, 0) != 0 && errno == ESRCH) ::unlinkat(delegated, entry->d_name, AT_REMOVEDIR);
  }
}

WorkerCgroup::WorkerCgroup(std::shared_ptr<const UniqueFd> delegated, std::uint64_t worker_id, std::uint64_t memory)
    : delegated_(std::move(delegated)),
      name_(std::string(kPrefix) + std::to_string(::getpid()) + "-" + std::to_string(worker_id)) {
  if (::mkdirat(delegated_->get(), name_.c_str(), 0755) != 0) {
    throw std::system_error(errno, std::generic_category(), "a cgroup could not be made below worker_cgroup");
  }
  directory_ = UniqueFd(::openat(delegated_->get(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int error = directory_ ? 0 : errno;
  if (error == 0 && memory != WorkerSettings::kNoLimit) {
    error = write_to(directory_.get(), "memory.max", std::to_string(memory));
    bounds_memory_ = error == 0;
    if (error == ENOENT) error = 0;  // the controller was not delegated: the limit of the address space holds alone
    if (bounds_memory_) (void)write_to(directory_.get(), "memory.swap.max", "0");  // which kernels may lack
  }
  if (error != 0) {
    (void)remove();
    throw std::system_error(error, std::generic_category(), "a cgroup could not be set up below worker_cgroup");
  }
}

UniqueFd WorkerCgroup::share() const noexcept {
  return UniqueFd(::fcntl(directory_.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

bool WorkerCgroup::kills_all() const noexcept { return ::faccessat(directory_.get(), "cgroup.kill", W_OK, 0) == 0; }

bool WorkerCgroup::ran_out_of_memory() const noexcept {
  constexpr std::string_view kKey = "\noom_kill ";
  const std::string events = "\n" + read_from(directory_.get(), "memory.events");
  const auto at = events.find(kKey);
  return at != std::string::npos && at + kKey.size() < events.size() && events[at + kKey.size()] != '0';
}

bool WorkerCgroup::remove() const noexcept {
  kill_cgroup(directory_.get());
  return ::unlinkat(delegated_->get(), name_.c_str(), AT_REMOVEDIR) == 0 || errno != EBUSY;
}

int enter_cgroup(int directory) noexcept { return write_to(directory, "cgroup.procs", "0"); }

void kill_cgroup(int directory) noexcept {
  if (directory >= 0) (void)write_to(directory, "cgroup.kill", "1");
}

}  // namespace leasepool::detail

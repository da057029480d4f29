// mkdir, cgroup.procs, cgroup.kill, cgroup.subtree_control, memory.max, memory.events.
#include "shared/worker_cgroup.hpp"

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
#include "shared/worker_settings.hpp"

namespace leasepool::detail {

namespace {

// 0 or an errno.
int write_to(int directory, const char* file, std::string_view text) noexcept {
  const UniqueFd opened(::openat(directory, file, O_WRONLY | O_CLOEXEC));
  if (!opened) return errno;
  while (::write(opened.get(), text.data(), text.size()) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// A number that is written to a file of a cgroup.
class Decimal {
 public:
  explicit Decimal(std::uint64_t number) noexcept
      : end_(std::to_chars(text_.data(), text_.data() + text_.size(), number).ptr) {}
  Decimal(const Decimal&) = delete;
  Decimal& operator=(const Decimal&) = delete;
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), end_}; }

 private:
  std::array<char, 20> text_{};
  const char* end_;
};

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
    error = write_to(directory_.get(), "memory.max", Decimal(memory).text());
    bounds_memory_ = error == 0;
    if (error == ENOENT) error = 0;  // the controller was not delegated: the limit of the address space holds alone
    if (bounds_memory_) (void)write_to(directory_.get(), "memory.swap.max", "0");  // which kernels may lack
  }
  if (error != 0) {
    (void)remove();
    throw std::system_error(error, std::generic_category(), "a cgroup could not be set up below worker_cgroup");
  }
}

UniqueFd WorkerCgroup::share() const noexcept { return duplicate_above_standard_streams(directory_.get()); }

bool WorkerCgroup::kills_all() const noexcept { return ::faccessat(directory_.get(), "cgroup.kill", W_OK, 0) == 0; }

bool WorkerCgroup::ran_out_of_memory() const noexcept {
  constexpr std::string_view kKey = "\noom_kill ";
  const UniqueFd opened(::openat(directory_.get(), "memory.events", O_RDONLY | O_CLOEXEC));
  if (!opened) return false;
  std::array<char, 1024> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled as far as it is used
  text[0] = '\n';
  ssize_t size = 0;
  do {
    size = ::read(opened.get(), text.data() + 1, text.size() - 1);
  } while (size < 0 && errno == EINTR);
  const std::string_view events(text.data(), size > 0 ? static_cast<std::size_t>(size) + 1 : 0);
  const auto at = events.find(kKey);
  return at != std::string_view::npos && at + kKey.size() < events.size() && events[at + kKey.size()] != '0';
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

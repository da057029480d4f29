// mkdir, cgroup.procs, cgroup.kill, memory.max.
#include "pool/worker_cgroup.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
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
  return std::make_shared<const UniqueFd>(above_standard_streams(std::move(directory)));
}

WorkerCgroup::WorkerCgroup(std::shared_ptr<const UniqueFd> delegated, std::uint64_t worker_id, std::uint64_t memory)
    : delegated_(std::move(delegated)),
      name_("leasepool-" + std::to_string(::getpid()) + "-" + std::to_string(worker_id)) {
  if (::mkdirat(delegated_->get(), name_.c_str(), 0755) != 0) {
    throw std::system_error(errno, std::generic_category(), "a cgroup could not be made below worker_cgroup");
  }
  directory_ = UniqueFd(::openat(delegated_->get(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int error = directory_ ? 0 : errno;
  if (error == 0 && memory != WorkerSettings::kNoLimit) {
    error = write_to(directory_.get(), "memory.max", std::to_string(memory));
    if (error == ENOENT) error = 0;  // the controller was not delegated: the limit of the address space holds alone
  }
  if (error != 0) {
    (void)remove();
    throw std::system_error(error, std::generic_category(), "a cgroup could not be set up below worker_cgroup");
  }
}

UniqueFd WorkerCgroup::share() const noexcept {
  return UniqueFd(::fcntl(directory_.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
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

// The rules, by libseccomp. Arguments that the kernel takes as 32 bits are compared as 32 bits, so that bits which it
// ignores make no difference.
#include "sandbox/system_call_filter.hpp"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "sandbox/blocked_call.hpp"
#include "sandbox/system_call_lists.hpp"

namespace leasepool::detail {

namespace {

constexpr std::uint64_t kLow32 = 0xffffffff;
constexpr int kSetVma = 0x53564d41;  // PR_SET_VMA, of Linux 5.17: allocators name their memory

scmp_arg_cmp argument(unsigned index, std::uint64_t value, std::uint64_t mask = kLow32) {
  return {.arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}
scmp_arg_cmp null_pointer(unsigned index) { return {.arg = index, .op = SCMP_CMP_EQ, .datum_a = 0, .datum_b = 0}; }

class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(EPERM)), &::seccomp_release) {
    if (!context_) throw std::runtime_error("seccomp_init failed");
    set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
    set(SCMP_FLTATR_CTL_TSYNC, 1);
    set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree: as many comparisons as the logarithm of the calls
  }

  // A call that this architecture does not have, or whose name libseccomp does not know, has no rule.
  void rule(std::uint32_t action, const char* call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    const int number = ::seccomp_syscall_resolve_name(call);
    if (number < 0) return;
    const int error = ::seccomp_rule_add_array(context_.get(), action, number, static_cast<unsigned>(conditions.size()),
                                               conditions.begin());
    if (error != 0)
      throw std::runtime_error("seccomp_rule_add for " + std::string(call) + ": " + std::strerror(-error));
  }
  void allow(const char* call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    rule(SCMP_ACT_ALLOW, call, conditions);
  }
  void allow_all(std::span<const char* const> calls) {
    for (const char* const call : calls) allow(call);
  }
  // With this value of an argument, or that one.
  void allow_with(const char* call, unsigned index, std::initializer_list<std::uint64_t> values) {
    for (const std::uint64_t value : values) allow(call, {argument(index, value)});
  }

  void load() {
    const int error = ::seccomp_load(context_.get());
    if (error != 0) throw std::runtime_error(std::string("seccomp_load: ") + std::strerror(-error));
  }

 private:
  void set(scmp_filter_attr attribute, std::uint32_t value) {
    const int error = ::seccomp_attr_set(context_.get(), attribute, value);
    if (error != 0) throw std::runtime_error(std::string("seccomp_attr_set: ") + std::strerror(-error));
  }

  std::unique_ptr<void, decltype(&::seccomp_release)> context_;
};

void allow_compute(Filter& filter, bool renews_cpu_limit) {
  filter.allow_all(kComputeCalls);
  // Nothing that a descriptor's other owners would see: no flags, no owner, no lease.
  filter.allow_with("fcntl", 1, {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_ADD_SEALS, F_GET_SEALS});
  filter.allow("madvise", {argument(2, 0, kLow32 & ~0x1fU)});  // not the advice from 100 on, which breaks pages for all
  filter.allow_with("ioctl", 1, {TCGETS, FIONREAD, FIOCLEX, FIONCLEX});
  filter.allow_with("prctl", 0, {PR_SET_NAME, PR_GET_NAME, kSetVma});
  const auto self = static_cast<std::uint64_t>(::getpid());
  filter.allow_with("kill", 0, {self});
  filter.allow_with("tgkill", 0, {self});
  filter.allow("prlimit64", {argument(0, 0), null_pointer(2)});  // to read its own
  if (renews_cpu_limit) filter.allow("prlimit64", {argument(0, 0), argument(1, RLIMIT_CPU)});
  filter.rule(SCMP_ACT_ERRNO(ENOSYS), "clone3");  // so that the C library says what clone() says
}

void allow_files(Filter& filter, bool landlock_guards_truncate) {
  filter.allow_all(kFileCalls);
  filter.allow_with("fcntl", 1, {F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW});
  if (landlock_guards_truncate) {
    for (const char* const call : {"open", "openat", "openat2", "truncate"}) filter.allow(call);
    return;
  }
  // An older Landlock lets a file that may only be read be emptied, by its path or by O_RDONLY | O_TRUNC.
  constexpr std::uint64_t kMask = O_TRUNC | O_ACCMODE;
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_TRUNC}) {
    filter.allow("open", {argument(1, static_cast<std::uint64_t>(flags), kMask)});
    filter.allow("openat", {argument(2, static_cast<std::uint64_t>(flags), kMask)});
  }
  filter.rule(SCMP_ACT_ERRNO(ENOSYS), "openat2");  // whose flags no filter sees
}

}  // namespace

std::optional<std::string> missing_for_filter() {
  for (const std::uint32_t action : {SECCOMP_RET_ERRNO, SECCOMP_RET_TRAP}) {
    if (::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0) {
      return std::string(
                 "seccomp is missing: this kernel was built without it, or a filter around this program forbids "
                 "it (seccomp(SECCOMP_GET_ACTION_AVAIL): ") +
             std::strerror(errno) + ")";
    }
  }
  return std::nullopt;
}

std::optional<std::string> enter_filter(const FilterOptions& options) {
  try {
    Filter filter;
    allow_compute(filter, options.renews_cpu_limit);
    for (const char* const call : kFatalCalls) filter.rule(SCMP_ACT_TRAP, call);
    if (options.profile == Sandbox::Profile::files) {
      allow_files(filter, options.landlock_guards_truncate);
    } else if (kStandsInForFstat) {
      filter.rule(SCMP_ACT_TRAP, "newfstatat", {argument(3, AT_EMPTY_PATH)});
    }
    filter.load();
  } catch (const std::exception& failure) {
    return failure.what();
  }
  return std::nullopt;
}

std::string system_call_name(std::uint32_t architecture, std::uint32_t number) {
  const std::unique_ptr<char, decltype(&std::free)> name(
      ::seccomp_syscall_resolve_num_arch(architecture, static_cast<int>(number)), &std::free);
  return name ? std::string(name.get()) + "()" : "system call " + std::to_string(number);
}

}  // namespace leasepool::detail

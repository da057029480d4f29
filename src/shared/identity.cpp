// setresuid(2), setgroups(2), capset(2), chroot(2), in the order in which each still may be done.
#include "shared/identity.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace leasepool::detail {

namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

constexpr __user_cap_header_struct kSelf{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};

std::uint64_t both_halves(std::uint32_t low, std::uint32_t high) { return std::uint64_t{high} << 32U | low; }

Identity::Capabilities own_capabilities() noexcept {
  __user_cap_header_struct header = kSelf;
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return {};
  Identity::Capabilities own{.effective = both_halves(sets[0].effective, sets[1].effective),
                             .permitted = both_halves(sets[0].permitted, sets[1].permitted),
                             .inheritable = both_halves(sets[0].inheritable, sets[1].inheritable),
                             .known = 1};
  for (int capability = 0; capability < 64; ++capability) {
    const int held = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held < 0) break;  // the kernel knows no more
    if (held == 1) own.bounding |= std::uint64_t{1} << static_cast<unsigned>(capability);
  }
  return own;
}

bool set_capabilities(const Identity::Capabilities& wanted) noexcept {
  __user_cap_header_struct header = kSelf;
  Sets sets{};
  for (unsigned half = 0; half < sets.size(); ++half) {
    sets[half] = {.effective = static_cast<std::uint32_t>(wanted.effective >> 32U * half),
                  .permitted = static_cast<std::uint32_t>(wanted.permitted >> 32U * half),
                  .inheritable = static_cast<std::uint32_t>(wanted.inheritable >> 32U * half)};
  }
  return ::syscall(SYS_capset, &header, sets.data()) == 0;
}

bool drop_from_bounding_set(std::uint64_t dropped) noexcept {
  for (int capability = 0; capability < 64; ++capability) {
    const bool is_dropped = (dropped >> static_cast<unsigned>(capability) & 1U) != 0;
    if (is_dropped && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return false;
  }
  return true;
}

// The groups of the process that made the socket, in ascending order. Nothing where the kernel does not tell.
std::optional<std::vector<gid_t>> groups_of_maker(int socket) {
  std::vector<gid_t> groups(64);
  auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  while (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
    if (errno != ERANGE) return std::nullopt;
    groups.resize(size / sizeof(gid_t));
  }
  groups.resize(size / sizeof(gid_t));
  std::ranges::sort(groups);
  return groups;
}

std::optional<std::vector<gid_t>> own_groups() {
  const int count = ::getgroups(0, nullptr);
  if (count < 0) return std::nullopt;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  if (::getgroups(count, groups.data()) != count) return std::nullopt;
  std::ranges::sort(groups);
  return groups;
}

std::string described(const Identity& identity) {
  return "user " + std::to_string(identity.user.effective) + ", group " + std::to_string(identity.group.effective);
}

// The name of the call that is refused, null if none is; errno says why.
const char* refused_call(const WantedIdentity& wanted) {
  const Identity& identity = wanted.identity;
  const Identity& own = wanted.own;
  if (wanted.root >= 0 && (::fchdir(wanted.root) != 0 || ::chroot(".") != 0)) return "chroot";
  const auto groups = groups_of_maker(wanted.connection);
  if (!groups) return "getsockopt(SO_PEERGROUPS)";
  if (groups != own_groups() && ::setgroups(groups->size(), groups->data()) != 0) return "setgroups";
  if (identity == own) return nullptr;

  const bool knows_capabilities = identity.capabilities.known != 0;
  if (knows_capabilities && !drop_from_bounding_set(own.capabilities.bounding & ~identity.capabilities.bounding)) {
    return "prctl(PR_CAPBSET_DROP)";
  }
  if (identity.group != own.group &&
      ::setresgid(identity.group.real, identity.group.effective, identity.group.saved) != 0) {
    return "setresgid";
  }
  if (knows_capabilities) ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);  // those that the program kept, too
  if (identity.user != own.user && ::setresuid(identity.user.real, identity.user.effective, identity.user.saved) != 0) {
    return "setresuid";
  }
  ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  if (knows_capabilities && !set_capabilities(identity.capabilities)) return "capset";
  if (identity.no_new_privs == 1 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "prctl(PR_SET_NO_NEW_PRIVS)";
  ::prctl(PR_SET_DUMPABLE, identity.dumpable == 1 ? 1 : 0, 0, 0, 0);
  return nullptr;
}

}  // namespace

Identity own_identity() noexcept {
  Identity own;
  (void)::getresuid(&own.user.real, &own.user.effective, &own.user.saved);
  (void)::getresgid(&own.group.real, &own.group.effective, &own.group.saved);
  own.capabilities = own_capabilities();
  own.no_new_privs = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 1 : 0;
  own.dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 1 : 0;
  return own;
}

UniqueFd open_root() noexcept { return UniqueFd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)); }

bool is_same_directory(int one, int other) noexcept {
  struct stat first{};
  struct stat second{};
  if (one < 0 || other < 0 || ::fstat(one, &first) != 0 || ::fstat(other, &second) != 0) return true;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

std::optional<Error> take_on(const WantedIdentity& wanted) {
  const char* const call = refused_call(wanted);
  if (call == nullptr) return std::nullopt;
  const int error = errno;
  return Error(Errc::unsupported, "cannot take on the identity that the program has now (" +
                                      described(wanted.identity) + "; its fork server has " + described(wanted.own) +
                                      "): " + call + ": " + std::strerror(error) +
                                      "; call leasepool::init() after the program has changed its user, its groups, "
                                      "its capabilities or its root directory");
}

}  // namespace leasepool::detail

// Identity: on whose behalf and with which rights a process acts. A worker takes on the one that its program has, which
// need not be the fork server's: programs give up privileges after init().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/unique_fd.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

// Crosses the control socket as it is. Without the supplementary groups, which the kernel tells of a socket's peer, and
// the root directory, which is a descriptor.
struct Identity {
  struct Ids {
    std::uint32_t real = 0;
    std::uint32_t effective = 0;
    std::uint32_t saved = 0;
    friend bool operator==(const Ids&, const Ids&) = default;
  };
  struct Capabilities {
    std::uint64_t effective = 0;
    std::uint64_t permitted = 0;
    std::uint64_t inheritable = 0;
    std::uint64_t bounding = 0;
    std::uint64_t known = 0;  // 1 where they could be asked for; a process may well have none
    friend bool operator==(const Capabilities&, const Capabilities&) = default;
  };

  Ids user;
  Ids group;
  Capabilities capabilities;
  std::int32_t no_new_privs = 0;
  std::int32_t dumpable = 1;
  friend bool operator==(const Identity&, const Identity&) = default;
};

Identity own_identity() noexcept;

// The root directory of the calling process, as an O_PATH descriptor. Empty, and errno says why, where it is refused.
UniqueFd open_root() noexcept;

// Whether both are the same directory. Without one of them, that is assumed.
bool is_same_directory(int one, int other) noexcept;

// What a process is to become.
struct WantedIdentity {
  const Identity& identity;
  const Identity& own;  // that it has
  int connection = -1;  // a socket that the process made whose groups it is to have
  int root = -1;        // the root directory; -1 where it is its own
};

// For good. Returns why it cannot be done (unsupported). Throws std::bad_alloc.
std::optional<Error> take_on(const WantedIdentity& wanted);

}  // namespace leasepool::detail

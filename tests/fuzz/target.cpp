// The list of all targets.
#include "fuzz/target.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

#include "fuzz/targets.hpp"

namespace leasepool::fuzz {

namespace {

constexpr std::array kTargets = {
    &kFrameDecoder, &kResults,      &kControlSocket, &kHttpRequests,   &kSharedRing, &kWorker, &kSpawner,
#ifdef LEASEPOOL_FUZZ_REMOTE
    &kNats,         &kNodeMessages, &kNode,          &kNatsConnection, &kManager,
#endif
};

}  // namespace

std::span<const Target* const> targets() noexcept { return kTargets; }

void require(bool holds, const char* what) noexcept {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace leasepool::fuzz

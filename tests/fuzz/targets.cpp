// The list of all targets.
#include "fuzz/targets.hpp"

#include <array>

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

}  // namespace leasepool::fuzz

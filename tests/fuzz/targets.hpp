// All targets, each of a file by its name.
#pragma once

#include <span>

#include "fuzz/target.hpp"

namespace leasepool::fuzz {

extern const Target kFrameDecoder;
extern const Target kResults;
extern const Target kControlSocket;
extern const Target kHttpRequests;
extern const Target kSharedRing;
extern const Target kWorker;
extern const Target kSpawner;
extern const Target kNats;
extern const Target kNatsConnection;
extern const Target kNodeMessages;
extern const Target kNode;
extern const Target kManager;

[[nodiscard]] std::span<const Target* const> targets() noexcept;

}  // namespace leasepool::fuzz

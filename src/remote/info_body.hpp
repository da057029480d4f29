// What a node answers to who asks what it is: NodeInfo in the body of a frame, as much of it as one message takes.
// Pure.
#pragma once

#include <cstddef>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/node_info.hpp"

namespace leasepool::detail::remote {

// The most bytes of a body, and how many leases it has.
inline constexpr std::size_t kMaxInfo = std::size_t{128} << 10;
inline constexpr std::size_t kMaxInfoLeases = 256;

// Leaves out functions and leases for which there is no room; their counts stay.
void put(Bytes& out, const NodeInfo& info);

// Throws DecodeError.
[[nodiscard]] NodeInfo get_node_info(ByteReader& reader);

}  // namespace leasepool::detail::remote

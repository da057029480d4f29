// A failure of a call, with all that is known of it, as bytes. Pure.
#pragma once

#include <span>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail::remote {

// Code, message, whether the call may have run, and how its worker crashed or where it was; long texts are cut.
void put_failure(Bytes& out, const Error& error);

// Throws DecodeError.
[[nodiscard]] Error get_failure(std::span<const std::byte> bytes);

}  // namespace leasepool::detail::remote

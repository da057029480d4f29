// Exceptions and failures as bytes, between a worker and its parent.
#pragma once

#include <span>
#include <string_view>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

// Appends the exception being handled: its standard type, or its type's name, and what().
void encode_current_exception(Bytes& out);

// The exception as an Error that raises the same standard type, or LeasePoolError (remote_exception) with the type's
// name. Throws DecodeError.
Error decode_exception(std::string_view function, std::span<const std::byte> bytes);

// A failure that is not the function's: its code and message.
void encode_failure(Bytes& out, Errc code, std::string_view message);
Error decode_failure(std::span<const std::byte> bytes);

}  // namespace leasepool::detail

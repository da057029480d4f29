// Exceptions and failures as bytes, between a worker and its parent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

// The most bytes of a report, be it an exception or a failure: why a call failed is told however small max_payload is.
constexpr std::size_t report_limit(std::size_t max_payload) {
  return std::clamp(max_payload, std::size_t{64} << 10, std::size_t{1} << 30);
}

// Appends the exception being handled: its standard type, or its type's name, and what(), which is cut where the report
// would be longer than `limit` (at least report_limit(0)).
void encode_current_exception(Bytes& out, std::size_t limit);

// The exception as an Error that raises the same standard type, or LeasePoolError (remote_exception) with the type's
// name. Throws DecodeError.
Error decode_exception(std::string_view function, std::span<const std::byte> bytes);

// What a failure's message is preceded by.
inline constexpr std::size_t kFailureOverhead = 2 * sizeof(std::uint32_t);

// A failure that is not the function's: its code, its message, cut to report_limit(0), and whether the function may
// have run by then.
void encode_failure(Bytes& out, Errc code, std::string_view message, bool may_have_run = true);
Error decode_failure(std::span<const std::byte> bytes);

}  // namespace leasepool::detail

// Options that make no sense are refused with the field, the value and what it may be.
#pragma once

#include <cstddef>
#include <string_view>

#include "leasepool/lease.hpp"
#include "leasepool/options.hpp"

namespace leasepool::detail {

// Throw std::invalid_argument.
void check_manager_options(const ManagerOptions& options);
// ManagerOptions::spare_workers, or what stands for it.
[[nodiscard]] std::size_t spare_workers(const ManagerOptions& options) noexcept;
// ManagerOptions::max_decoded_bytes, or what stands for it.
[[nodiscard]] std::size_t most_decoded(const ManagerOptions& options) noexcept;
void check_acquire_options(const AcquireOptions& options);
void check_range(std::string_view field, std::size_t value, std::size_t least, std::size_t most);
void check_positive(std::string_view field, Duration value);
void check_not_negative(std::string_view field, Duration value);
void check_name(std::string_view field, std::string_view name);
void check_callback(std::string_view verb, bool given);

}  // namespace leasepool::detail

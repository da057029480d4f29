// The limits of each option.
#include "grinder/grinder_options_check.hpp"

#include <cstdint>
#include <stdexcept>
#include <string>

#include "lease/options_check.hpp"

namespace leasepool::detail {

void check_grinder_options(const GrinderOptions& options) {
  constexpr std::size_t kMaxBatch = 65'536;
  check_range("GrinderOptions::batch_size_threshold", options.batch_size_threshold, 1, kMaxBatch);
  check_positive("GrinderOptions::max_wait", options.max_wait);
  check_positive("GrinderOptions::lease_duration", options.lease_duration);
  check_name("GrinderOptions::owner_prefix", options.owner_prefix);
  check_positive("GrinderOptions::ageing", options.ageing);
  check_not_negative("GrinderOptions::stop_timeout", options.stop_timeout);
}

void check_item_options(const ItemOptions& options) {
  constexpr int kHighestPriority = 1000;
  if (options.priority < -kHighestPriority || options.priority > kHighestPriority) {
    throw std::invalid_argument("leasepool: ItemOptions::priority = " + std::to_string(options.priority) +
                                " must be -1000 to 1000");
  }
  if (options.timeout) check_positive("ItemOptions::timeout", *options.timeout);
}

}  // namespace leasepool::detail

// What stands for pools on other machines in a build without them.
#include "pool/pool.hpp"

namespace leasepool::detail {

void check_remote_options(const RemoteOptions& /*options*/) {}

}  // namespace leasepool::detail
